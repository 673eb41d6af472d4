// Predicts with the model of this folder, in a browser or in Node: see predictor.d.ts.

import { createPredictor } from "./core.js";

export { createPredictor };

/** Load the model of the folder `url`, by default the one of this file. `tf`: the module tfjs, by default globalThis.tf. */
export async function load(url = new URL(".", import.meta.url), tf = globalThis.tf) {
  if (tf === undefined) throw new Error("TensorFlow.js is not loaded: README.txt tells what to copy");
  const folder = new URL(String(url).endsWith("/") ? url : `${url}/`, globalThis.location?.href ?? import.meta.url);
  const names = ["schema.json", "preprocessing.json", "model.json", "weights.bin"];
  const [schema, preprocessing, model, weights] = await Promise.all(
    names.map((name) => fetched(new URL(name, folder), name.endsWith(".json") ? "json" : "arrayBuffer")),
  );
  return createPredictor({ schema, preprocessing, model, weights }, tf);
}

async function fetched(url, kind) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  return response[kind]();
}
