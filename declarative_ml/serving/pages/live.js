/* ---- live plots: the text of /metrics every two seconds, kept for five minutes in this tab ---- */

const EVERY = 2000;
const KEPT = 150;
const WINDOW = 15; /* samples that a latency is taken over */
const WORK = /(^|\/)(predict|explain|infer|invocations)$/; /* routes that ask the model, not its state */
const QUANTILES = [[0.5, "p50", "accent"], [0.95, "p95", "second"], [0.99, "p99", "muted"]];

/* The exposition format: name{label="value",…} number. */
function readMetrics(text) {
  const found = [];
  for (const line of text.split("\n")) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!match) continue;
    const labels = {};
    for (const [, name, value] of (match[2] || "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[name] = value;
    found.push({ name: match[1], labels, value: Number(match[3]) });
  }
  return found;
}

/* What the plots need of one answer. */
function sampleOf(text) {
  const sample = { at: performance.now() / 1000, requests: 0, refused: 0, failed: 0, rows: 0, buckets: new Map(), workers: 0, memory: 0, cpu: 0, began: Infinity };
  for (const { name, labels, value } of readMetrics(text)) {
    const work = WORK.test(labels.route || "");
    if (name === "dml_requests_total" && work) {
      sample.requests += value;
      if (labels.status >= "500") sample.failed += value;
      else if (labels.status >= "400") sample.refused += value;
    } else if (name === "dml_request_seconds_bucket" && work) {
      const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
      sample.buckets.set(bound, (sample.buckets.get(bound) || 0) + value);
    } else if (name === "dml_rows_total") sample.rows += value;
    else if (name === "dml_workers") sample.workers = value;
    else if (name === "process_resident_memory_bytes") sample.memory += value;
    else if (name === "process_cpu_seconds_total") sample.cpu += value;
    else if (name === "process_start_time_seconds") sample.began = Math.min(sample.began, value);
  }
  return sample;
}

/* A quantile of what happened between two samples, straight within its bucket as in Prometheus. */
function quantile(share, before, after) {
  const bounds = [...after.buckets.keys()].sort((one, other) => one - other);
  const counts = bounds.map((bound) => after.buckets.get(bound) - (before.buckets.get(bound) || 0));
  const total = counts[counts.length - 1];
  if (!(total > 0)) return null;
  const wanted = share * total;
  const index = counts.findIndex((count) => count >= wanted);
  const low = index ? bounds[index - 1] : 0;
  if (bounds[index] === Infinity) return low;
  const below = index ? counts[index - 1] : 0;
  return low + (bounds[index] - low) * (wanted - below) / (counts[index] - below || 1);
}

/* The lines of the plots: one value a sample, null where there is none. */
function seriesOf(samples) {
  const rate = (key) => samples.map((sample, index) => {
    const before = samples[Math.max(0, index - 2)]; /* workers tell each second: two steps are smoother */
    return sample === before ? null : Math.max(0, (sample[key] - before[key]) / (sample.at - before.at));
  });
  const latency = (share) => samples.map((sample, index) => {
    const seconds = index ? quantile(share, samples[Math.max(0, index - WINDOW)], sample) : null;
    return seconds === null ? null : seconds * 1000;
  });
  return {
    requests: [{ name: "requests", kind: "accent", values: rate("requests") }, { name: "rows", kind: "muted", values: rate("rows") }],
    latency: QUANTILES.map(([share, name, kind]) => ({ name, kind, values: latency(share) })),
    errors: [{ name: "refused", kind: "muted", values: rate("refused") }, { name: "failed", kind: "bad", values: rate("failed") }],
  };
}

const PLOTS = [
  ["requests", "Requests a second", "", upwards],
  ["latency", "Time to an answer", " ms", byPowers],
  ["errors", "Errors a second", "", upwards],
];

function makePlots(box) {
  const plots = PLOTS.map(([key, title, unit, scale]) => {
    const picture = element("div", { class: "picture" });
    const legend = element("div", { class: "legend" });
    box.append(element("figure", { class: "card" }, element("h3", {}, title), legend, picture));
    return { key, title, unit, scale, picture, legend };
  });
  return (samples) => {
    const series = seriesOf(samples);
    for (const plot of plots) drawPlot(plot, samples, series[plot.key]);
  };
}

function drawPlot({ title, unit, scale, picture, legend }, samples, lines) {
  const last = (line) => line.values[line.values.length - 1];
  const told = (value) => (value === null || value === undefined ? "–" : `${number(value, value < 10 ? 2 : 3)}${unit}`);
  legend.replaceChildren(...lines.map((line) =>
    element("span", {}, element("i", { class: line.kind }), `${line.name} `, element("b", {}, told(last(line))))));
  const words = `${title}: ${lines.map((line) => `${line.name} ${told(last(line))}`).join(", ")}`;
  const width = Math.max(200, Math.round(picture.clientWidth));
  const [height, left, bottom, top] = [130, 44, 20, 8];
  const { share, ticks } = scale(lines.flatMap((line) => line.values.filter((value) => value !== null)));
  const now = samples[samples.length - 1].at;
  const span = spanOf(now - samples[0].at);
  const x = (at) => left + (width - left - 4) * (1 - (now - at) / span);
  const y = (value) => height - bottom - (height - bottom - top) * share(value);
  const parts = ticks.flatMap((tick) => [
    element("path", { class: "grid", d: `M${left} ${y(tick)}H${width}` }),
    element("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, number(tick, 3)),
  ]);
  parts.push(element("text", { x: left, y: height - 4 }, `${span / 60} min ago`));
  parts.push(element("text", { x: width - 4, y: height - 4, "text-anchor": "end" }, "now"));
  for (const line of [...lines].reverse()) parts.push(element("path", { class: `line ${line.kind}`, d: pathOf(samples, line.values, x, y) }));
  picture.replaceChildren(element("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": words }, parts));
}

function pathOf(samples, values, x, y) {
  let open = false;
  return values.map((value, index) => {
    if (value === null) { open = false; return ""; }
    const step = `${open ? "L" : "M"}${x(samples[index].at).toFixed(1)} ${y(value).toFixed(1)}`;
    const point = open || (index + 1 < values.length && values[index + 1] !== null) ? "" : "h0.01";
    open = true;
    return step + point;
  }).join("");
}

/* The minutes that a plot shows, in seconds: they grow with what there is. */
function spanOf(seconds) {
  return [60, 120, KEPT * EVERY / 1000].find((span) => span >= seconds) || KEPT * EVERY / 1000;
}

/* From zero to a round number that no value is beyond. */
function upwards(values) {
  const largest = Math.max(0, ...values);
  const power = 10 ** Math.floor(Math.log10(largest || 1));
  const most = largest ? [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((factor) => factor * power).find((step) => step >= largest) : 1;
  return { share: (value) => value / most, ticks: [0, most / 2, most] };
}

/* From a power of ten to another: the half and the slowest differ by so much. */
function byPowers(values) {
  const known = values.filter((value) => value > 0);
  const low = known.length ? Math.floor(Math.log10(Math.min(...known)) + 1e-9) : 0;
  const high = known.length ? Math.max(low + 1, Math.ceil(Math.log10(Math.max(...known)) - 1e-9)) : 1;
  const ticks = Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index));
  return { share: (value) => Math.max(0, (Math.log10(value) - low) / (high - low)), ticks };
}

function stateWords(sample) {
  const words = [sample.workers > 1 ? `${sample.workers} workers` : "1 worker"];
  if (sample.memory) words.push(`${number(sample.memory / 2 ** 20, 3)} MiB of memory`);
  if (isFinite(sample.began)) words.push(`up for ${duration(Date.now() / 1000 - sample.began)}`);
  words.push(`${number(sample.requests, 12)} requests and ${number(sample.rows, 12)} rows since it began`);
  return `${words.join(" · ")}. Numbers are of all workers and models; the plots begin when this page is opened.`;
}

function duration(seconds) {
  const steps = [["day", 86400], ["hour", 3600], ["minute", 60]];
  const [unit, size] = steps.find(([, size]) => seconds >= size) || ["second", 1];
  const count = Math.max(1, Math.floor(seconds / size));
  return `${count} ${unit}${count > 1 ? "s" : ""}`;
}

function watch() {
  const draw = makePlots(byId("plots"));
  let samples = [];
  const look = async () => {
    if (document.hidden) return; /* nobody sees it */
    try {
      const sample = sampleOf(await (await answered("metrics")).text());
      const last = samples[samples.length - 1];
      if (last && sample.requests < last.requests) samples = []; /* the service began anew */
      samples = [...samples, sample].slice(-KEPT);
      byId("now").textContent = stateWords(sample);
      draw(samples);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      byId("now").textContent = `No news: ${error.message}.`;
    }
  };
  look();
  setInterval(look, EVERY);
  document.addEventListener("visibilitychange", look);
  addEventListener("resize", () => { if (samples.length) draw(samples); });
}

