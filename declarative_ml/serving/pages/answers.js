/* ---- what the model answers ---- */

const MOST_BARS = 12;

function showNothing(box) {
  box.replaceChildren(element("p", { class: "quiet" }, "The answer will stand here."));
}

function showFault(box, error) {
  const hint = error.hint ? element("p", { class: "quiet" }, error.hint) : null;
  box.replaceChildren(element("p", { class: "fault", role: "alert" }, error.message), hint || "");
}

function predictionParts(model, answer, seconds) {
  const parts = [
    element("p", { class: "eyebrow" }, model.target),
    element("p", { class: "outcome" }, outcomeText(answer.prediction)),
  ];
  if (answer.probabilities) parts.push(probabilityBars(model, answer));
  if (answer.lower !== undefined) parts.push(rangePicture(model, answer));
  parts.push(element("p", { class: "quiet" }, `answered in ${number(seconds * 1000, 2)} ms, the way here included`));
  return parts;
}

function outcomeText(value) {
  return typeof value === "number" ? number(value, 6) : String(value);
}

function probabilityBars(model, answer) {
  let entries = Object.entries(answer.probabilities);
  const chosen = String(answer.prediction);
  if (entries.length > MOST_BARS) entries = entries.sort((one, other) => other[1] - one[1]).slice(0, MOST_BARS);
  const rows = entries.flatMap(([label, share]) => [
    element("span", { class: label === chosen ? "name chosen" : "name" }, label),
    bar(share, label === chosen ? "accent" : "muted"),
    element("span", { class: "value" }, percent(share)),
  ]);
  const more = Object.keys(answer.probabilities).length - entries.length;
  const words = [];
  if (more > 0) words.push(`and ${more} more classes`);
  if (model.task === "binary" && model.threshold !== null) {
    words.push(`${model.classes[1]} from ${percent(model.threshold)} on`);
  }
  return element("div", { class: "bars" }, rows, words.length ? element("p", { class: "quiet whole" }, words.join("; ")) : null);
}

function rangePicture(model, answer) {
  const share = model.interval ? `${number(100 * model.interval, 3)} % of such rows` : "most such rows";
  const width = answer.upper - answer.lower || 1;
  const dot = element("i", { class: "dot" });
  dot.style.left = `${Math.max(0, Math.min(1, (answer.prediction - answer.lower) / width)) * 100}%`;
  return element(
    "div",
    { class: "range" },
    element("span", { class: "track", "aria-hidden": "true" }, element("i", { class: "band" }), dot),
    element("div", { class: "ends" }, element("span", {}, number(answer.lower, 5)), element("span", {}, number(answer.upper, 5))),
    element("p", { class: "quiet" }, `${share} lie between these`),
  );
}

/* ---- why: SHAP values ---- */

function explanationParts(model, row, given) {
  const outputs = typeof row.base === "number" ? [null] : Object.keys(row.base);
  const of = (value, output) => (output === null ? value : value[output]);
  const asShare = model.task !== "number";
  const body = element("div");
  const draw = (output) => body.replaceChildren(...effects(row, output, of, asShare, given, model));
  let best = outputs[0];
  for (const output of outputs) if (of(row.prediction, output) > of(row.prediction, best)) best = output;
  let choice = null;
  if (outputs.length > 1) {
    const entries = outputs.map((output) => element("option", { value: output, selected: output === best }, output));
    choice = element("label", { class: "of" }, "Why ", element("select", { on: { change: (event) => draw(event.target.value) } }, entries), "?");
  }
  draw(best);
  const title = element("h3", {}, outputs.length > 1 ? "What speaks for it" : "What pushed it there");
  return [element("div", { class: "why" }, title, choice, body)];
}

function effects(row, output, of, asShare, given, model) {
  const shown = (value, sign) => {
    const text = asShare ? `${(100 * value).toFixed(1)}` : number(value, 3);
    return `${sign && value > 0 ? "+" : ""}${text}`.replace("-", "−") + (asShare && !sign ? "\u00a0%" : "");
  };
  const all = Object.entries(row.values).map(([name, value]) => [name, of(value, output)]);
  all.sort((one, other) => Math.abs(other[1]) - Math.abs(one[1]));
  const rows = all.slice(0, MOST_BARS);
  const rest = all.slice(MOST_BARS).reduce((sum, [, value]) => sum + value, 0);
  if (all.length > MOST_BARS) rows.push([`${all.length - MOST_BARS} other columns`, rest]);
  const most = Math.max(...rows.map(([, value]) => Math.abs(value))) || 1;
  const lines = rows.flatMap(([name, value]) => [
    element("span", { class: "name" }, name, given[name] === undefined ? "" : element("small", {}, ` ${shortText(given[name])}`)),
    twoSided(value / most),
    element("span", { class: "value" }, shown(value, true)),
  ]);
  const what = model.task === "number" ? `of ${model.target}` : `probability of ${output === null ? model.classes[1] : output}`;
  const words = `From ${shown(of(row.base, output))}, the average ${what}, to ${shown(of(row.prediction, output))}.`;
  return [element("div", { class: "bars" }, lines), element("p", { class: "quiet" }, words + (asShare ? " In percentage points." : ""))];
}

function shortText(value) {
  const text = value === null ? "not known" : String(value);
  return text.length > 40 ? `${text.slice(0, 39)}…` : text;
}

function twoSided(share) {
  const inner = element("i", { class: share < 0 ? "minus" : "plus" });
  inner.style.width = `${Math.abs(share) * 50}%`;
  inner.style.left = share < 0 ? `${50 - Math.abs(share) * 50}%` : "50%";
  return element("span", { class: "track two", "aria-hidden": "true" }, inner);
}

/* ---- the same request as a program ---- */

function snippetOf(language, url, row) {
  return language === "curl" ? curlText(url, row) : pythonText(url, row);
}

function curlText(url, row) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const secret = required ? ' \\\n  -H "authorization: Bearer $DML_TOKEN"' : "";
  return `curl -s ${quoted(url)} \\\n  -H 'content-type: application/json'${secret} \\\n  -d ${quoted(JSON.stringify({ rows: [row] }, null, 2))}`;
}

function pythonText(url, row) {
  const literal = (value) => (value === null ? "None" : value === true ? "True" : value === false ? "False" : JSON.stringify(value));
  const cells = Object.entries(row).map(([name, value]) => `    ${JSON.stringify(name)}: ${literal(value)},`);
  const secret = required ? ', "authorization": "Bearer " + os.environ["DML_TOKEN"]' : "";
  return [
    "import json",
    ...(required ? ["import os"] : []),
    "import urllib.request",
    "",
    "row = {",
    ...cells,
    "}",
    "request = urllib.request.Request(",
    `    ${JSON.stringify(url)},`,
    '    json.dumps({"rows": [row]}).encode(),',
    `    {"content-type": "application/json"${secret}},`,
    ")",
    "print(json.load(urllib.request.urlopen(request)))",
  ].join("\n");
}

