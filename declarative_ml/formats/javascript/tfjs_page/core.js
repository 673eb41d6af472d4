// The model's graph in TensorFlow.js, behind the preprocessing of raw columns.

import { checkNames, columnReaders } from "./values.js";

/** A predictor of contents: schema.json, preprocessing.json, model.json and weights.bin, with the module tfjs. */
export async function createPredictor({ schema, preprocessing, model, weights }, tf) {
  // The plain backend computes in float32 and knows NaN; graphics cards do not promise either.
  await tf.setBackend("cpu");
  const { modelTopology, signature, weightsManifest } = model;
  const artifacts = { modelTopology, signature, weightSpecs: weightsManifest[0].weights, weightData: weights };
  const graph = await tf.loadGraphModel(tf.io.fromMemory(artifacts));
  return new Predictor(graph, schema, preprocessing, tf);
}

const asNumber = (value) => (value === null ? NaN : value);
const present = (value, missing) => (Number.isFinite(value) ? value : missing);

/** For each kind of rule: from the rule, the function of one raw value. */
const RULES = {
  value({ missing }) {
    const fill = asNumber(missing);
    return (value) => present(value, fill);
  },
  missing: () => (value) => (Number.isFinite(value) ? 0 : 1),
  scale({ missing, x, slopes, start }) {
    const [fill, ends, steep] = [asNumber(missing), Float32Array.from(x), Float32Array.from(slopes)];
    return (value) => {
      const given = present(value, fill);
      let rise = 0;
      for (let i = 0; i < steep.length; i += 1) {
        const covered = Math.fround(Math.min(Math.max(given, ends[i]), ends[i + 1]) - ends[i]);
        rise += covered * steep[i];
      }
      return start + rise;
    };
  },
  table({ entries, other }) {
    const known = new Map(Object.entries(entries));
    return (value) => asNumber(known.has(value) ? known.get(value) : other);
  },
};

class Predictor {
  #graph;
  #tf;
  #readers;
  #tensors;
  #output;

  constructor(graph, schema, preprocessing, tf) {
    this.schema = schema;
    this.#graph = graph;
    this.#tf = tf;
    this.#readers = columnReaders(schema);
    this.#output = preprocessing.output;
    this.#tensors = Object.entries(preprocessing.tensors).map(([name, rules]) => ({
      name,
      columns: rules.map((rule) => ({ column: rule.column, convert: RULES[rule.rule](rule) })),
    }));
  }

  /** One answer for each row; a row is an object of column: value. */
  async predict(rows) {
    rows.forEach((row, number) => checkNames(this.schema.columns, row, number));
    const names = this.schema.columns.map((column) => column.name);
    const raw = names.map((name, place) => [name, this.#readers[place](rows.map((row) => row[name]))]);
    const found = await this.predictRaw(Object.fromEntries(raw));
    return rows.map((_, row) => this.#answer(found, row));
  }

  /** The graph's output, flat, for columns as they are after reading: NaN and "" are missing. */
  async predictRaw(columns) {
    const rows = Object.values(columns)[0].length;
    if (rows === 0) return new Float32Array(0);
    const feed = {};
    for (const { name, columns: rules } of this.#tensors) {
      const values = name === "codes" ? new Int32Array(rows * rules.length) : new Float32Array(rows * rules.length);
      rules.forEach(({ column, convert }, place) => {
        for (let row = 0; row < rows; row += 1) values[row * rules.length + place] = convert(columns[column][row]);
      });
      feed[name] = this.#tf.tensor2d(values, [rows, rules.length], name === "codes" ? "int32" : "float32");
    }
    const answer = this.#graph.execute(feed, this.#output);
    const found = await answer.data();
    this.#tf.dispose([answer, ...Object.values(feed)]);
    return found;
  }

  /** Frees the memory of the model. */
  release() {
    this.#graph.dispose();
  }

  #answer(found, row) {
    const { task, threshold } = this.schema;
    if (task.type === "number") return { prediction: found[row] };
    const width = task.classes.length;
    const chances = [...found.subarray(row * width, (row + 1) * width)];
    // Probabilities are float32, and so is the threshold in the graph.
    const limit = Math.fround(threshold ?? 0.5);
    const best = task.type === "binary" ? Number(chances[1] >= limit) : chances.indexOf(Math.max(...chances));
    const probabilities = Object.fromEntries(task.classes.map((label, place) => [label, chances[place]]));
    return { prediction: task.classes[best], probabilities };
  }
}
