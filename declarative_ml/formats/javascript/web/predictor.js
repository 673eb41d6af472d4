// Predicts with the model of this folder, in a browser or in Node: see predictor.d.ts.

import { checkNames, columnReaders } from "./values.js";

/** Load the model. `url`: its folder, by default the one of this file. `ort`: onnxruntime-web, by default ./runtime. */
export async function load(url = import.meta.url, ort = undefined) {
  const base = new URL(url, globalThis.location?.href ?? import.meta.url);
  const folder = /\.(js|html)$/.test(base.pathname) || base.pathname.endsWith("/") ? base : new URL(`${base}/`);
  const [schema, model, runtime] = await Promise.all([
    fetched(new URL("schema.json", folder), "json"),
    fetched(new URL("model.onnx", folder), "arrayBuffer"),
    ort ?? ownRuntime(),
  ]);
  return createPredictor(new Uint8Array(model), schema, runtime);
}

/** A predictor of the content of model.onnx and schema.json, with the module onnxruntime-web. */
export async function createPredictor(model, schema, ort) {
  // More threads need headers (COOP, COEP) that plain file servers do not send.
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  return new Predictor(session, schema, ort.Tensor);
}

async function ownRuntime() {
  try {
    return await import("./runtime/ort.wasm.bundle.min.mjs");
  } catch (problem) {
    throw new Error("onnxruntime-web is not in runtime/: README.txt tells what to copy", { cause: problem });
  }
}

async function fetched(url, kind) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  return response[kind]();
}

/** A to Z become a to z, and nothing else: so were the training texts read. */
function lowerLatin(text) {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

class Predictor {
  #session;
  #tensor;
  #readers;
  #turn = Promise.resolve();

  constructor(session, schema, tensor) {
    this.schema = schema;
    this.#session = session;
    this.#tensor = tensor;
    this.#readers = columnReaders(schema);
  }

  /** One answer for each row; a row is an object of column: value. */
  async predict(rows) {
    rows.forEach((row, number) => checkNames(this.schema.columns, row, number));
    const names = this.schema.columns.map((column) => column.name);
    const raw = names.map((name, place) => this.#readers[place](rows.map((row) => row[name])));
    const found = await this.predictRaw(Object.fromEntries(names.map((name, place) => [name, raw[place]])));
    return rows.map((_, row) => this.#answer(found, row));
  }

  /** The outputs of the graph for columns that it takes as they are: Float32Array or arrays of texts. */
  async predictRaw(columns) {
    // Without a prototype, or a column called __proto__ would be lost.
    const feed = Object.create(null);
    for (const { name, dtype, lower } of this.schema.columns) {
      const values = lower ? columns[name].map(lowerLatin) : columns[name];
      feed[name] = new this.#tensor(dtype, values, [values.length, 1]);
    }
    // A session does one thing at a time.
    const done = this.#turn.then(() => this.#session.run(feed));
    this.#turn = done.catch(() => undefined);
    const outputs = await done;
    return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, tensor.data]));
  }

  /** Frees the memory of the model. */
  async release() {
    await this.#turn;
    await this.#session.release();
  }

  #answer(found, row) {
    const { classes } = this.schema.task;
    if (found.probabilities === undefined) {
      return Object.fromEntries(Object.entries(found).map(([name, values]) => [name, values[row]]));
    }
    const chances = classes.map((label, place) => [label, found.probabilities[row * classes.length + place]]);
    return { prediction: found.prediction[row], probabilities: Object.fromEntries(chances) };
  }
}
