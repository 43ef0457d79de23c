// The picture wall: choosing shows at once, and all differences can be seen together.

export function start() {
  const form = document.getElementById("wall-form");
  const added = document.getElementById("wall-added");
  const table = () => document.getElementById("wall-table");
  added.addEventListener("change", () => table().classList.toggle("adding", added.checked));
  let asked = 0;
  async function choose() {
    const mine = ++asked;
    const wanted = new URL(form.action.split("#")[0], location.href);
    for (const name of ["class", "index"]) wanted.searchParams.set(name, form.elements[name].value);
    const answer = await fetch(wanted, { headers: { Accept: "text/html" } });
    if (!answer.ok || mine !== asked) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("wall-table");
    table().innerHTML = fresh.innerHTML;
    history.replaceState(null, "", wanted);
  }
  form.addEventListener("change", (event) => { if (event.target !== added) choose(); });
  form.addEventListener("submit", (event) => { event.preventDefault(); choose(); });
}
