// The page looks anew at its parts whenever its stream of events says that something happened.
import { localTimes, copying } from "./telling.js";

const connection = document.getElementById("connection");
let busy = false;
let again = false;
let last = 0;
let leaving = false;

export function follow(address) {
  const events = new EventSource(address);
  const changed = () => soon();
  for (const name of ["change", "state", "progress", "attention", "checkpoint", "resumed", "started"]) {
    events.addEventListener(name, changed);
  }
  events.addEventListener("log", (event) => {
    document.dispatchEvent(new CustomEvent("sieve:log", { detail: JSON.parse(event.data) }));
  });
  events.addEventListener("end", () => { events.close(); say(""); soon(); });
  events.addEventListener("open", () => say("live"));
  events.addEventListener("error", () => say("not connected, trying again", true));
  if (!address.includes("/events")) setInterval(soon, 30000);
  // Whoever goes elsewhere is not brought back by a page that grows meanwhile; who only fetched a file is still here.
  addEventListener("beforeunload", () => {
    leaving = true;
    setTimeout(() => { leaving = false; soon(); }, 5000);
  });
}

function say(text, lost = false) {
  connection.textContent = text;
  connection.classList.toggle("lost", lost);
}

function soon() {
  if (busy) { again = true; return; }
  busy = true;
  const wait = Math.max(0, 1000 - (performance.now() - last));
  setTimeout(async () => {
    try {
      await refresh();
    } catch {
      // The stream says that the server is away, and tries again.
    }
    last = performance.now();
    busy = false;
    if (again) { again = false; soon(); }
  }, wait);
}

async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  const text = await answer.text();
  if (leaving) return;
  if (answer.redirected || answer.status === 401) { location.reload(); return; }
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(text, "text/html");
  const changed = [];
  for (const part of document.querySelectorAll("[data-part]")) {
    const now = fresh.getElementById(part.id);
    if (now) replace(part, now, changed);
  }
  for (const now of fresh.querySelectorAll("[data-part]")) {
    if (!document.getElementById(now.id)) { location.reload(); return; }  // the page has grown: a study's results
  }
  if (document.querySelector(".plot")) (await import("./plots.js")).refresh(changed);
  document.dispatchEvent(new CustomEvent("sieve:fresh"));
}

const before = new WeakMap();

function replace(part, now, changed) {
  const html = now.innerHTML;
  if ((before.get(part) ?? null) === html) return;
  const known = before.has(part);
  before.set(part, html);
  if (!known && part.dataset.first === undefined) part.dataset.first = "";
  const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
  const ticked = [...part.querySelectorAll("input:checked")].map((input) => input.id);
  const open = [...part.querySelectorAll("details[open]")].map((details) => details.id);
  const [left, top] = [part.scrollLeft, part.scrollTop];
  part.innerHTML = html;
  for (const id of ticked) { const input = id && document.getElementById(id); if (input) input.checked = true; }
  for (const id of open) { const details = id && document.getElementById(id); if (details) details.open = true; }
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  part.scrollTo(left, top);
  localTimes(part);
  copying(part);
  changed.push(part);
}
