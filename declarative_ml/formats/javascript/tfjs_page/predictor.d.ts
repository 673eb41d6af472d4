/** Column -> value. null, undefined, NaN, "" and the spellings in `schema.missing` are missing values. */
export type Row = Record<string, string | number | bigint | boolean | null | undefined>;

/** The answer to one row. */
export interface Answer {
  /** The label of a class, or a number. */
  prediction: string | number;
  /** By class; absent for a number. */
  probabilities?: Record<string, number>;
}

/** The content of schema.json. */
export interface Schema {
  name: string;
  task: { target: string; type: "binary" | "multiclass" | "number"; classes: string[] };
  threshold: number | null;
  missing: string[];
  columns: { name: string; feature: string; dtype: "float32" | "string"; field: Record<string, unknown> }[];
}

export interface Predictor {
  readonly schema: Schema;
  /**
   * One answer for each row.
   * Throws RangeError that names column and row for a value that does not fit, and for columns too few or too many.
   */
  predict(rows: readonly Row[]): Promise<Answer[]>;
  /** Probabilities by row and class, or numbers, of columns as they are after reading: NaN and "" are missing. */
  predictRaw(columns: Record<string, Float32Array | readonly string[]>): Promise<Float32Array>;
  /** Frees the memory of the model. */
  release(): void;
}

/** The contents of schema.json, preprocessing.json, model.json and weights.bin. */
export interface Contents {
  schema: Schema;
  preprocessing: unknown;
  model: unknown;
  weights: ArrayBuffer;
}

/** Loads the folder `url`, by default that of predictor.js. `tf`: the module @tensorflow/tfjs, by default globalThis.tf. */
export function load(url?: string | URL, tf?: unknown): Promise<Predictor>;

/** The same of contents that are already there. */
export function createPredictor(contents: Contents, tf: unknown): Promise<Predictor>;
