// The form of a new job: fields that count, what the preset would fill in, and the estimate while one types.

export function start() {
  const form = document.getElementById("spec-form");
  const presets = JSON.parse(document.getElementById("presets").textContent);
  const plan = document.getElementById("plan");
  const other = document.getElementById("other");
  const fields = [...form.querySelectorAll("[data-default]")];

  // What is not shown is not sent.
  function show(place, wanted) {
    place.hidden = !wanted;
    for (const input of place.querySelectorAll("input, select, textarea")) input.disabled = !wanted;
  }

  function counting() {
    for (const field of form.querySelectorAll("[data-when]")) {
      const chosen = form.elements[field.dataset.when];
      const value = chosen.value || chosen.dataset.default;
      show(field, !value || field.dataset.is.split(" ").includes(value));
    }
    for (const box of form.querySelectorAll("[data-opens]")) {
      const given = presets[form.elements.preset?.value]?.[box.name] === "on";
      show(document.getElementById(box.dataset.opens), box.checked || given);
    }
  }

  function preset() {
    const values = presets[form.elements.preset?.value] ?? {};
    for (const field of fields) {
      if (field.name === "preset") continue;
      const value = values[field.name] ?? field.dataset.default;
      if (field.tagName === "SELECT") {
        const first = field.options[0];
        if (first.value !== "") continue;
        const called = [...field.options].slice(1).find((option) => option.value === value)?.textContent ?? value;
        first.textContent = called ? `${called} (default)` : "–";
      } else {
        field.placeholder = value || field.placeholder;
      }
    }
  }

  function wrong(errors) {
    for (const place of form.querySelectorAll(".field > .error")) {
      const field = place.parentElement;
      const input = document.getElementById(place.id.replace(/-error$/, ""));
      const said = errors[input.name] ?? "";
      place.textContent = said;
      field.classList.toggle("wrong", Boolean(said));
      if (said) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
      if (said) for (let details = field.closest("details"); details; details = details.parentElement.closest("details")) details.open = true;
    }
  }

  let asked = 0;
  let timer = 0;
  let touched = false;

  async function estimate() {
    const mine = ++asked;
    const body = new URLSearchParams(new FormData(form));
    const answer = await fetch(`${form.action}/estimate`, { method: "POST", body, headers: { Accept: "application/json" } });
    if (mine !== asked) return;
    if (!answer.ok) { other.textContent = "The estimate cannot be had now."; return; }
    const found = await answer.json();
    // Before anything was filled in, nobody wants to hear what is missing.
    wrong(touched ? found.errors : {});
    other.replaceChildren(...(touched ? found.other : []).map((text) => {
      const line = document.createElement("p");
      line.className = "error";
      line.textContent = text;
      return line;
    }));
    const open = plan.querySelector("details")?.open;
    plan.innerHTML = found.html;
    const details = plan.querySelector("details");
    if (details && open) details.open = true;
    if (found.pending) { clearTimeout(timer); timer = setTimeout(estimate, 3000); }
  }

  form.addEventListener("input", (event) => {
    touched = true;
    if (event.target.name === "preset") preset();
    counting();
    clearTimeout(timer);
    timer = setTimeout(estimate, 500);
  });
  preset();
  counting();
  if (!form.querySelector(".wrong")) estimate();
  document.querySelector(".field.wrong input, .field.wrong select, .field.wrong textarea")?.focus();
}
