// A form made of the model's columns.

import { load } from "./predictor.js";

const form = document.getElementById("row");
const fields = form.querySelector("fieldset");
const answer = document.getElementById("answer");

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function control(column) {
  const { field, name } = column;
  const examples = field.examples ?? [];
  const levels = (field.enum ?? []).filter((value) => value !== null);
  if (levels.length) {
    const options = levels.map((level) => element("option", { value: level }, level));
    const chosen = element("select", { name }, element("option", { value: "" }, "(missing)"), ...options);
    if (examples.length) chosen.value = examples[0];
    return chosen;
  }
  const numeric = column.dtype === "float32";
  // Not type=number: a column may be written with a unit or with marks between thousands.
  const input = element("input", { name, type: "text", inputMode: numeric ? "decimal" : "text", autocomplete: "off" });
  input.value = examples[0] ?? "";
  return input;
}

function labelled(column) {
  const about = column.field.description ?? "";
  return element("label", {}, element("span", {}, column.name), control(column), element("small", {}, about));
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

function show(target, found) {
  const lines = [element("strong", {}, `${target}: ${found.prediction}`)];
  for (const [label, share] of Object.entries(found.probabilities ?? {})) {
    const bar = element("progress", { max: 1, value: share });
    lines.push(element("div", {}, element("span", {}, label), bar, element("span", {}, percent(share))));
  }
  if (found.lower !== undefined) lines.push(element("div", {}, `from ${found.lower} to ${found.upper}`));
  answer.replaceChildren(...lines);
}

function fail(problem) {
  answer.replaceChildren(element("strong", { className: "error" }, problem.message));
}

async function start() {
  const predictor = await load();
  const { name, task, columns } = predictor.schema;
  document.title = name;
  document.getElementById("title").textContent = `${name}: ${task.target}`;
  fields.append(...columns.map(labelled), element("button", {}, "Predict"));
  fields.disabled = false;
  answer.replaceChildren();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const row = Object.fromEntries(columns.map((column) => [column.name, form.elements.namedItem(column.name).value]));
    try {
      const [found] = await predictor.predict([row]);
      show(task.target, found);
    } catch (problem) {
      fail(problem);
    }
  });
}

start().catch(fail);
