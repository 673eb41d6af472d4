/* ---- the page ---- */

let model = null;
let fields = [];
let language = "curl";

function show({ models }) {
  const select = byId("model");
  select.append(...models.map((known, index) => element("option", { value: index }, known.name)));
  byId("choose").hidden = models.length < 2;
  select.addEventListener("change", () => choose(models[Number(select.value)]));
  byId("row").addEventListener("submit", (event) => { event.preventDefault(); predict(); });
  byId("row").addEventListener("input", tellProgram);
  byId("explain").addEventListener("click", explain);
  byId("reset").addEventListener("click", () => write((column) => model.example[column.name]));
  byId("draw").addEventListener("click", () => write((column) => drawn(column, model.example[column.name])));
  byId("copy").addEventListener("click", (event) => copyText(byId("snippet").textContent, event.target));
  for (const button of document.querySelectorAll("[data-language]")) {
    button.addEventListener("click", () => { language = button.dataset.language; tellProgram(); });
  }
  choose(models[0]);
  watch();
  if (document.documentElement.dataset.drift === "yes") watchDrift();
}

function choose(chosen) {
  model = chosen;
  document.title = model.name;
  byId("head").replaceChildren(...headParts(model));
  fields = model.inputs.map((column, index) => makeField(column, `field-${index}`));
  byId("fields").replaceChildren(...fields.map((field) => field.box));
  write((column) => model.example[column.name]);
  showNothing(byId("answer"));
}

function write(valueOf) {
  for (const field of fields) field.write(valueOf(field.column));
  tellProgram();
}

function row() {
  return Object.fromEntries(fields.map((field) => [field.column.name, field.read()]));
}

function tellProgram() {
  byId("snippet").textContent = snippetOf(language, new URL(model.paths.predict, location.href).href, row());
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", String(button.dataset.language === language));
  }
}

async function asking(work) {
  const box = byId("answer");
  const buttons = [byId("predict"), byId("explain")];
  box.setAttribute("aria-busy", "true");
  for (const button of buttons) button.disabled = true;
  try {
    box.replaceChildren(...await work());
    if (innerWidth < 900) box.scrollIntoView({ block: "nearest", behavior: "smooth" });
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    showFault(box, error);
  } finally {
    box.removeAttribute("aria-busy");
    for (const button of buttons) button.disabled = false;
  }
}

async function predicted(given) {
  const began = performance.now();
  const answer = await (await post(model.paths.predict, { rows: [given] })).json();
  return predictionParts(model, answer.predictions[0], (performance.now() - began) / 1000);
}

function predict() {
  return asking(() => predicted(row()));
}

function explain() {
  return asking(async () => {
    const given = row();
    const parts = await predicted(given);
    const explained = await (await post(model.paths.explain, { rows: [given] })).json();
    return [...parts, ...explanationParts(model, explained.rows[0], given)];
  });
}

/* ---- what the model is ---- */

const TASKS = {
  number: (known) => `predicts the number ${known.target}`,
  binary: (known) => `tells ${known.classes[1]} from ${known.classes[0]} in ${known.target}`,
  multiclass: (known) => `finds one of ${known.classes.length} classes of ${known.target}`,
};

function headParts(known) {
  const scores = known.metrics;
  return [
    element("p", { class: "eyebrow" }, TASKS[known.task](known)),
    element("h1", {}, known.name),
    known.description ? element("p", { class: "description" }, known.description) : null,
    element("dl", { class: "facts" }, facts(known).flatMap(([name, value, more]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, value, more ? element("small", {}, ` ${more}`) : null)))),
    scores.length > 1 ? element("details", {}, element("summary", {}, `All scores on ${known.part} rows`), scoreTable(scores)) : null,
  ].filter(Boolean);
}

function facts(known) {
  const found = [];
  const [best] = known.metrics;
  if (best) found.push([`${best.title} on ${known.part} rows`, number(best.value, 3), intervalText(best)]);
  if (known.data.rows) found.push(["Learned from", `${number(known.data.rows, 12)} rows`, known.data.source.length ? `of ${known.data.source.join(", ")}` : ""]);
  for (const [column, [first, last]] of Object.entries(known.data.period)) found.push([`${column} in training`, `${first} to ${last}`]);
  found.push(["Columns", String(known.inputs.length)]);
  found.push(["Digest", element("code", { title: known.digest }, known.version)]);
  return found;
}

function intervalText(score) {
  return score.interval ? `${number(score.interval[0], 3)} to ${number(score.interval[1], 3)}` : "";
}

function scoreTable(scores) {
  const rows = scores.map((score) => element("tr", {},
    element("th", { scope: "row" }, score.title),
    element("td", { class: "number" }, number(score.value, 4)),
    element("td", { class: "number quiet" }, intervalText(score))));
  const head = element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "Score"),
    element("th", { scope: "col", class: "number" }, "Value"), element("th", { scope: "col", class: "number" }, "95 % interval")));
  return element("div", { class: "scroll" }, element("table", { class: "scores" }, head, element("tbody", {}, rows)));
}

enter("models", show);
