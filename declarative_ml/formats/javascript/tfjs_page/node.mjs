// Runs a folder of the format tfjs under Node: a line of JSON with columns in, a line with the answers out.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { runInThisContext } from "node:vm";

const folder = new URL(`${pathToFileURL(process.argv[2])}/`);
const json = (name) => JSON.parse(readFileSync(new URL(name, folder), "utf8"));
// A plain script under Node, it asks for parts of Node.
globalThis.require = createRequire(import.meta.url);
// The runtime advertises another package on the console, where the answers go.
console.log = console.info = console.warn = () => undefined;
runInThisContext(readFileSync(new URL("tf.min.js", folder), "utf8"));
const { createPredictor } = await import(new URL("predictor.js", folder));
const bytes = readFileSync(new URL("weights.bin", folder));
const weights = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
const contents = { schema: json("schema.json"), preprocessing: json("preprocessing.json"), model: json("model.json"), weights };
const predictor = await createPredictor(contents, globalThis.tf);

function column(values, dtype) {
  // JSON has no NaN and no infinity: they come as texts, which Number reads.
  return dtype === "float32" ? Float32Array.from(values, Number) : values;
}

async function answer(asked) {
  try {
    if (asked.rows) return { answers: await predictor.predict(asked.rows) };
    const columns = contents.schema.columns.map(({ name, dtype }) => [name, column(asked.columns[name], dtype)]);
    return { values: Array.from(await predictor.predictRaw(Object.fromEntries(columns)), String) };
  } catch (problem) {
    return { error: problem.message };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line)))}\n`);
}
