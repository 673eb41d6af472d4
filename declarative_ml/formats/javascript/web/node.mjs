// Runs a folder of the format onnx-web under Node: a line of JSON with columns in, a line with the outputs out.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const folder = new URL(`${pathToFileURL(process.argv[2])}/`);
const { createPredictor } = await import(new URL("predictor.js", folder));
const ort = await import(new URL("runtime/ort.wasm.bundle.min.mjs", folder));
ort.env.wasm.wasmBinary = readFileSync(new URL("runtime/ort-wasm-simd-threaded.wasm", folder));
const schema = JSON.parse(readFileSync(new URL("schema.json", folder), "utf8"));
const predictor = await createPredictor(readFileSync(new URL("model.onnx", folder)), schema, ort);

function column(values, dtype) {
  // JSON has no NaN and no infinity: they come as texts, which Number reads.
  return dtype === "float32" ? Float32Array.from(values, Number) : values;
}

async function answer(asked) {
  try {
    if (asked.rows) return { answers: await predictor.predict(asked.rows) };
    const columns = schema.columns.map(({ name, dtype }) => [name, column(asked.columns[name], dtype)]);
    const found = await predictor.predictRaw(Object.fromEntries(columns));
    return { values: Array.from(found.probabilities ?? found.prediction, String) };
  } catch (problem) {
    return { error: problem.message };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line)))}\n`);
}
