// The log: new lines come with the stream; what is searched for is marked, and the rest put away.

export function start() {
  const log = document.getElementById("log");
  const search = document.getElementById("log-search");
  const found = document.getElementById("log-found");
  let last = Number(log.dataset.last || 0);

  function look() {
    const wanted = search.value.trim().toLowerCase();
    let shown = 0;
    for (const line of log.children) {
      const text = line.lastElementChild;
      const said = text.textContent;
      const at = wanted ? said.toLowerCase().indexOf(wanted) : -1;
      line.hidden = Boolean(wanted) && at < 0;
      if (line.hidden) continue;
      shown += 1;
      if (at >= 0) {
        const mark = document.createElement("mark");
        mark.textContent = said.slice(at, at + wanted.length);
        text.replaceChildren(said.slice(0, at), mark, said.slice(at + wanted.length));
      } else if (text.firstElementChild) {
        text.textContent = said;
      }
    }
    found.textContent = wanted ? `${shown} of ${log.children.length} lines` : "";
  }

  document.addEventListener("sieve:log", ({ detail }) => {
    if (detail.id <= last) return;
    last = detail.id;
    const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    const line = document.createElement("li");
    const time = document.createElement("time");
    const text = document.createElement("span");
    time.dateTime = detail.at;
    time.textContent = new Date(detail.at).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
    text.textContent = detail.data.message;
    line.append(time, text);
    log.append(line);
    log.hidden = false;
    document.getElementById("log-empty")?.remove();
    look();
    if (follows) log.scrollTop = log.scrollHeight;
  });
  search.addEventListener("input", look);
  search.closest("form").addEventListener("submit", (event) => event.preventDefault());
  log.scrollTop = log.scrollHeight;
}
