// Every page: the switch between light and dark, times as people count them, copying, and what is live.
import { localTimes, copying } from "./telling.js";
import { follow } from "./live.js";

const root = document.body.dataset.root;

function theme() {
  const button = document.getElementById("theme");
  const wanted = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (document.documentElement.dataset.theme || (wanted.matches ? "dark" : "light")) === "dark";
  const say = () => {
    button.textContent = dark() ? "Light" : "Dark";
    button.setAttribute("aria-label", dark() ? "Switch to light colours" : "Switch to dark colours");
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    const now = dark() ? "light" : "dark";
    document.documentElement.dataset.theme = now;
    document.cookie = `sieve_theme=${now}; path=${root || "/"}; max-age=31536000; samesite=strict`;
    say();
  });
  wanted.addEventListener("change", say);
  say();
}

theme();
localTimes(document);
copying(document);
if (document.body.dataset.live) follow(document.body.dataset.live);
if (document.querySelector(".plot")) import("./plots.js").then((plots) => plots.draw(document));
if (document.getElementById("spec-form")) import("./form.js").then((form) => form.start());
if (document.getElementById("log")) import("./log.js").then((log) => log.start());
if (document.getElementById("wall-form")) import("./wall.js").then((wall) => wall.start());
document.documentElement.dataset.ready = "";
