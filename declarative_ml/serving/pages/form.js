/* ---- the form: one field for each column ---- */

const LONG = 30; /* levels beyond which a list is typed into */
const DAY = 86400000;

function makeField(column, id) {
  const hint = element("p", { class: "hint", id: `${id}-hint` });
  const control = controlOf(column, id);
  const picture = column.edges && column.edges.length > 4 ? spread(column) : null;
  const box = element(
    "div",
    { class: `field ${column.kind === "text" ? "wide" : ""}` },
    element("label", { for: id }, column.name),
    control,
    column.levels && column.levels.length > LONG ? options(column, id) : null,
    picture ? picture.svg : null,
    hint,
  );
  const field = { column, control, box, read: () => readField(column, control) };
  field.write = (value) => { writeField(column, control, value); field.tell(); };
  field.tell = () => {
    const value = field.read();
    const [words, odd] = remark(column, value);
    hint.textContent = words;
    box.classList.toggle("odd", odd);
    if (picture) picture.mark(place(column, value));
  };
  control.addEventListener("input", field.tell);
  return field;
}

function controlOf(column, id) {
  const about = { id, name: column.name, "aria-describedby": `${id}-hint`, autocomplete: "off" };
  if (column.kind === "choice" && column.levels.length <= LONG) {
    const levels = column.levels.map((level, index) => element("option", { value: index }, String(level)));
    return element("select", about, element("option", { value: "" }, "not known"), levels);
  }
  if (column.kind === "choice") return element("input", { ...about, list: `${id}-levels`, placeholder: "not known" });
  if (column.kind === "text") return element("textarea", { ...about, rows: 3, placeholder: "not known" });
  if (column.kind === "number") {
    return element("input", { ...about, type: "number", step: "any", inputmode: "decimal", placeholder: "not known" });
  }
  return element("input", { ...about, type: column.kind === "date" ? "date" : "datetime-local" });
}

function options(column, id) {
  const levels = column.levels.map((level) => element("option", { value: String(level) }));
  return element("datalist", { id: `${id}-levels` }, levels);
}

function readField(column, control) {
  if (control.tagName === "SELECT") return control.value === "" ? null : column.levels[Number(control.value)];
  const text = control.value;
  if (column.kind === "number") return text === "" ? null : Number(text);
  return text.trim() === "" ? null : text;
}

function writeField(column, control, value) {
  if (value === null || value === undefined) control.value = "";
  else if (control.tagName === "SELECT") {
    const place = column.levels.findIndex((level) => String(level) === String(value));
    control.value = place < 0 ? "" : String(place);
  } else if (column.kind === "date") control.value = String(value).slice(0, 10);
  else if (column.kind === "datetime") control.value = String(value).slice(0, 16);
  else control.value = String(value);
}

/* A value on the axis of the column's bins: dates are days since 1970. */
function place(column, value) {
  if (value === null) return null;
  return column.kind === "number" ? value : Date.parse(`${value}${column.kind === "date" ? "" : "Z"}`) / DAY;
}

function edgeText(column, edge) {
  if (column.kind === "number") return number(edge, 6);
  return new Date(edge * DAY).toISOString().slice(0, 10);
}

/* What to say below a field, and whether training has not seen the like. */
function remark(column, value) {
  if (value === null) return ["not known", false];
  if (column.levels) {
    const index = column.levels.findIndex((level) => String(level) === String(value));
    const total = column.counts.reduce((sum, count) => sum + count, 0);
    if (index < 0) return ["not seen in training", true];
    return [total ? `${percent(column.counts[index] / total)} of training rows` : "", false];
  }
  if (!column.edges) return ["", false];
  const [low, high] = [column.edges[0], column.edges[column.edges.length - 1]];
  const words = `${edgeText(column, low)} to ${edgeText(column, high)} in training`;
  const at = place(column, value);
  return at < low || at >= high + (column.kind === "number" ? 1e-9 * Math.abs(high) : 1)
    ? [`outside of ${words}`, at !== high]
    : [words, false];
}

/* The histogram of a column as a small picture, with a mark where the value lies. */
function spread(column) {
  const { edges, counts } = column;
  const low = edges[0];
  const span = edges[edges.length - 1] - low || 1;
  const density = counts.map((count, index) => count / (edges[index + 1] - edges[index] || span));
  const most = Math.max(...density) || 1;
  const pieces = density.map((value, index) => {
    const left = (edges[index] - low) / span * 100;
    const right = (edges[index + 1] - low) / span * 100;
    const top = 18 - 17 * Math.sqrt(value / most); /* by area the long tail would be invisible */
    return value ? `M${left} 18V${top}H${Math.max(right - 0.4, left + 0.4)}V18Z` : "";
  });
  const mark = element("line", { class: "mark", y1: 0, y2: 18, x1: 0, x2: 0 });
  const svg = element(
    "svg",
    { class: "spread", viewBox: "0 0 100 18", preserveAspectRatio: "none", "aria-hidden": "true" },
    element("path", { class: "area", d: pieces.join("") }),
    mark,
  );
  return {
    svg,
    mark: (value) => {
      const at = Math.max(0.4, Math.min(99.6, (value - low) / span * 100));
      mark.setAttribute("visibility", value === null || isNaN(value) ? "hidden" : "visible");
      if (value !== null && !isNaN(value)) for (const side of ["x1", "x2"]) mark.setAttribute(side, at);
    },
  };
}

/* A value drawn from the column's histogram alone: no row of the training data is known here. */
function drawn(column, typical) {
  const { edges, counts } = column;
  const total = (counts || []).reduce((sum, count) => sum + count, 0);
  if (!total || (edges && edges.length < 5)) return typical;
  let left = Math.random() * total;
  let index = counts.findIndex((count) => (left -= count) < 0);
  if (index < 0) index = counts.length - 1;
  if (column.levels) return column.levels[index];
  const value = edges[index] + Math.random() * (edges[index + 1] - edges[index]);
  if (column.kind === "number") return column.whole ? Math.round(value) : Number(value.toPrecision(3));
  return new Date(value * DAY).toISOString().slice(0, column.kind === "date" ? 10 : 16);
}

