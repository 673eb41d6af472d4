/* ---- drift: how far requests and answers are from the training rows, where the service watches that ---- */

const DRIFT_EVERY = 10000;
const MOST_COLUMNS = 15;

async function lookAtDrift() {
  if (document.hidden || !model) return;
  try {
    showDrift(await (await answered(model.paths.predict.replace(/predict$/, "drift"))).json());
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    byId("drift").hidden = true;
  }
}

function watchDrift() {
  lookAtDrift();
  setInterval(lookAtDrift, DRIFT_EVERY);
  byId("model").addEventListener("change", lookAtDrift);
}

function showDrift(report) {
  const found = report.last || report.current;
  byId("drift").hidden = false;
  byId("drift-words").textContent = driftWords(report, found);
  const rows = [
    ...found.predictions.map((item) => ({ ...item, title: `answers: ${item.column}` })),
    ...found.columns.map((item) => ({ ...item, title: item.column })),
  ];
  rows.sort((one, other) => Number(other.moved) - Number(one.moved) || other.psi - one.psi);
  const most = Math.max(2 * report.alert, ...rows.map((item) => item.psi));
  const shown = rows.slice(0, MOST_COLUMNS);
  const lines = shown.flatMap((item) => [
    element("span", { class: item.moved ? "name chosen" : "name" }, item.title,
      otherReasons(item) ? element("small", {}, ` ${otherReasons(item)}`) : null),
    bar(item.psi / most, item.moved ? "bad" : "muted"),
    element("span", { class: "value" }, item.psi.toFixed(2)),
  ]);
  const more = rows.length > shown.length ? `The other ${rows.length - shown.length} columns are nearer. ` : "";
  byId("drift-content").replaceChildren(
    element("div", { class: "bars drift" }, lines),
    element("p", { class: "quiet" }, `${more}Bars are population stability indexes; what is beyond ${report.alert} and beyond chance has moved.`));
}

/* Why it counts as moved, beside the index that the bar shows. */
function otherReasons(item) {
  return item.reasons.filter((reason) => !reason.startsWith("psi ")).join("; ");
}

function driftWords(report, found) {
  const span = found.began ? `, from ${moment(found.began)}${found.ended ? ` to ${moment(found.ended)}` : " on"}` : "";
  const rows = `${number(found.rows, 12)} rows${span}`;
  if (found.verdict === "too few rows") return `No verdict yet: ${rows}; it takes ${number(found.rows_needed, 12)}.`;
  if (found.verdict === "no drift") return `No drift in ${rows}.`;
  const names = found.moved.slice(0, 5).join(", ");
  const more = found.moved.length > 5 ? ` and ${found.moved.length - 5} more` : "";
  return `Moved in ${rows}: ${names}${more}.`;
}

function moment(text) {
  return new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

