// How one value of a request becomes what the graph takes. The patterns come with the model, in schema.json.

const BLANKS = " \t\n\r\v\f\u00a0\ufeff";
const FLOAT32_MAX = 3.4028234663852886e38;
const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const ANSWERS = new Map([["true", true], ["1", true], ["false", false], ["0", false]]);
const DIGITS = /^[+]?(-?[0-9]+)(?:\.0*)?$/;

/** Readers of the columns, in the order of the schema: each turns values into a column for the graph. */
export function columnReaders(schema) {
  const missing = new Set(["", ...schema.missing.map(trim)]);
  return schema.columns.map((column) => {
    const rule = { ...column.rule, patterns: column.rule.patterns.map((text) => new RegExp(`^(?:${text})$`)) };
    const read = (value) => readValue(value, rule, missing);
    const convert = column.dtype === "float32" ? asFloat : asText;
    return (values) => {
      const found = values.map((value, row) => {
        try {
          return convert(read(value), rule);
        } catch (problem) {
          if (!(problem instanceof RangeError)) throw problem;
          throw new RangeError(`column "${column.name}", row ${row + 1}: ${problem.message}`);
        }
      });
      return column.dtype === "float32" ? Float32Array.from(found) : found;
    };
  });
}

function trim(text) {
  let [start, end] = [0, text.length];
  while (start < end && BLANKS.includes(text[start])) start += 1;
  while (end > start && BLANKS.includes(text[end - 1])) end -= 1;
  return text.slice(start, end);
}

/** null for missing, else a text, boolean, number, bigint or Date. Throws RangeError for what does not fit. */
function readValue(given, rule, missing) {
  const value = plain(given);
  if (value === null) return null;
  let text;
  if (typeof value === "string") {
    text = trim(value);
    if (missing.has(text)) return null;
    if (rule.type === "text") return value;
  } else if (rule.type === "integer" || rule.type === "number") {
    return rule.type === "integer" ? whole(value) : Number(value);
  } else {
    text = spelled(value);
    if (rule.type === "text") return text;
  }
  const typed = readText(text, rule);
  if (typed === null) throw new RangeError(`"${text}" does not fit the type ${rule.type}`);
  return typed;
}

function plain(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return null;
  if (value === Infinity || value === -Infinity) throw new RangeError("an infinite number is no value");
  if (value instanceof Date) return value.toISOString().slice(0, 19);
  if (["string", "number", "bigint", "boolean"].includes(typeof value)) return value;
  throw new RangeError(`a value of the type ${typeof value} is no value of a column`);
}

function whole(value) {
  const number = typeof value === "boolean" ? Number(value) : value;
  if (typeof number === "number" && !Number.isInteger(number)) return number;
  const integer = BigInt(number);
  return BigInt.asIntN(64, integer) === integer ? integer : Number(number);
}

function readText(text, rule) {
  if (rule.type === "boolean") return ANSWERS.get(text.toLowerCase()) ?? null;
  if (rule.type === "date") return readDate(text, rule);
  const number = readNumber(text, rule);
  if (number === null || rule.type === "number") return number;
  const exact = DIGITS.exec(text);
  return whole(exact ? BigInt(exact[1]) : number);
}

function readNumber(text, rule) {
  const found = rule.patterns[0].exec(text);
  if (!found) return null;
  const { front = "", sign = "", only = "", digits } = found.groups;
  const signs = front + sign + only;
  if (signs.length > 1) return null;
  const bare = [...digits].filter((character) => !rule.thousands.includes(character)).join("");
  const number = Number(signs + bare.replaceAll(rule.decimal, "."));
  return Number.isFinite(number) ? number : null;
}

function readDate(text, rule) {
  for (const pattern of rule.patterns) {
    const found = pattern.exec(text);
    const date = found && buildDate(found.groups);
    if (date) return date;
  }
  return null;
}

function buildDate({ year, month = "1", day = "1", hour = "0", minute = "0", second = "0", half, zone = "" }) {
  const names = MONTHS.indexOf(month.slice(0, 3).toLowerCase());
  const place = names >= 0 ? names : Number(month) - 1;
  let clock = Number(hour);
  if (half) {
    if (clock < 1 || clock > 12) return null;
    clock = (clock % 12) + (half.toLowerCase() === "pm" ? 12 : 0);
  }
  const date = new Date(0);
  date.setUTCFullYear(fullYear(year), place, Number(day));
  if (date.getUTCMonth() !== place || date.getUTCDate() !== Number(day)) return null;
  date.setUTCHours(clock, Number(minute) - offset(zone), Number(second));
  const found = date.getUTCFullYear();
  return fullYear(year) >= 1 && found >= 1 && found <= 9999 ? date : null;
}

function fullYear(digits) {
  const year = Number(digits);
  return digits.length === 4 ? year : year + (year >= 69 ? 1900 : 2000);
}

/** Minutes that a zone is ahead of UTC. */
function offset(zone) {
  if (zone.length < 5) return 0;
  const size = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(-2));
  return zone[0] === "-" ? -size : size;
}

function asFloat(typed) {
  if (typed === null) return NaN;
  if (typeof typed === "string" || typed instanceof Date) throw new RangeError(`${typed} is no number`);
  return Math.min(Math.max(Number(typed), -FLOAT32_MAX), FLOAT32_MAX);
}

function asText(typed, rule) {
  if (typed === null) return "";
  return typed instanceof Date ? typed.toISOString().slice(0, rule.hasTime ? 19 : 10) : spelled(typed);
}

/** Throws RangeError for a row with columns too few or too many. */
export function checkNames(columns, row, number) {
  const names = columns.map((column) => column.name);
  const absent = names.filter((name) => !Object.hasOwn(row, name));
  if (absent.length) throw new RangeError(`row ${number + 1} lacks the column(s) ${absent.join(", ")}`);
  const extra = Object.keys(row).filter((name) => !names.includes(name));
  if (extra.length) {
    throw new RangeError(`row ${number + 1} has columns that the model does not take: ${extra.join(", ")}`);
  }
}

/** The spelling that the model was trained with: "3" for 3.0, else the shortest digits. */
function spelled(value) {
  if (typeof value !== "number" || (Number.isInteger(value) && Math.abs(value) < 1e16)) return String(value);
  const [digits, power] = value.toExponential().split("e");
  const size = Math.abs(Number(power));
  if (Number(power) >= -4 && Number(power) < 16) return String(value);
  return `${digits}e${power[0]}${String(size).padStart(2, "0")}`;
}
