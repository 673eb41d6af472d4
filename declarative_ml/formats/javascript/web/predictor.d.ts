import type { Row } from "./row.js";

export type { Row } from "./row.js";

/** The answer to one row. */
export interface Answer {
  /** The label of a class, or a number. */
  prediction: string | number;
  /** By class; absent for a number. */
  probabilities?: Record<string, number>;
  /** The ends of the interval around a number, where the model gives one. */
  lower?: number;
  upper?: number;
}

/** How values of a column are read. */
export interface Rule {
  type: "integer" | "number" | "boolean" | "date" | "text";
  patterns: string[];
  thousands: string;
  decimal: string;
  hasTime: boolean;
}

export interface Column {
  name: string;
  feature: string;
  dtype: "float32" | "string";
  rule: Rule;
  /** Whether A to Z become a to z before the graph takes it. */
  lower: boolean;
  /** JSON Schema of one value. */
  field: Record<string, unknown>;
}

/** The content of schema.json. */
export interface Schema {
  name: string;
  task: { target: string; type: "binary" | "multiclass" | "number"; classes: string[] };
  threshold: number | null;
  missing: string[];
  columns: Column[];
}

export interface Predictor {
  readonly schema: Schema;
  /**
   * One answer for each row. null, undefined, NaN, "" and the spellings in `schema.missing` are missing values.
   * Throws RangeError that names column and row for a value that does not fit, and for columns too few or too many.
   */
  predict(rows: readonly Row[]): Promise<Answer[]>;
  /** The graph's outputs, flat, for columns as the graph takes them: NaN and "" are missing. */
  predictRaw(
    columns: Record<string, Float32Array | readonly string[]>,
  ): Promise<Record<string, Float32Array | readonly string[]>>;
  /** Frees the memory of the model. */
  release(): Promise<void>;
}

/**
 * Loads schema.json and model.onnx of the folder `url`, by default that of predictor.js.
 * `ort`: the module onnxruntime-web (for bundlers: `import * as ort from "onnxruntime-web/wasm"`), by default ./runtime.
 */
export function load(url?: string | URL, ort?: unknown): Promise<Predictor>;

/** The same of contents that are already there. */
export function createPredictor(model: Uint8Array, schema: Schema, ort: unknown): Promise<Predictor>;
