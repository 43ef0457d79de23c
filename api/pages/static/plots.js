// Draws every plot from the JSON that stands beside it; the library is fetched when the first plot comes near.

let library;

function plotly() {
  library ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `${document.body.dataset.static}/plotly.min.js`;
    script.onload = () => resolve(window.Plotly);
    script.onerror = reject;
    document.head.append(script);
  });
  return library;
}

const near = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    near.unobserve(entry.target);
    paint(entry.target);
  }
}, { rootMargin: "400px" });

async function paint(place) {
  const values = document.getElementById(`values-${place.dataset.key}`);
  if (!values) return;
  const { data, layout } = JSON.parse(values.textContent);
  const Plotly = await plotly();
  await Plotly.react(place, data, layout, { responsive: true, displayModeBar: false });
  place.dataset.drawn = "";
}

export function draw(within) {
  for (const place of within.querySelectorAll(".plot")) near.observe(place);
}

// After parts of the page were replaced: what was drawn is drawn anew with its new values.
export function refresh(parts) {
  for (const part of parts) {
    draw(part);
    if (part.tagName !== "SCRIPT") continue;
    const place = document.getElementById(part.id.replace("values-", "plot-"));
    if (place && "drawn" in place.dataset) paint(place);
  }
}
