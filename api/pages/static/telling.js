// Times in the reader's own zone, and buttons that copy.

const short = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export function localTimes(within) {
  for (const time of within.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    time.textContent = (time.closest(".log") ? clock : short).format(at);
    time.title = exact.format(at);
  }
}

export function copying(within) {
  for (const button of within.querySelectorAll("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = button.dataset.copy ?? document.getElementById(button.dataset.from).textContent;
      try {
        await navigator.clipboard.writeText(text);
        said(button, "copied");
      } catch {
        said(button, "select and copy it by hand");
      }
    });
  }
}

function said(button, text) {
  const before = button.innerHTML;
  button.textContent = text;
  setTimeout(() => { button.innerHTML = before; }, 1500);
}
