"use strict";

/* What both pages use. Everything that comes from the service becomes text nodes, never markup. */

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "text", "line", "rect", "circle"]);
const byId = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const made = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, action] of Object.entries(value)) made.addEventListener(event, action);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

function bar(share, kind = "accent") {
  const inner = element("i", { class: kind });
  inner.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  return element("span", { class: "track", "aria-hidden": "true" }, inner);
}

function number(value, digits = 4) {
  if (typeof value !== "number" || !isFinite(value)) return "–";
  return new Intl.NumberFormat("en", { maximumSignificantDigits: digits }).format(value);
}

function percent(share, digits = 1) {
  return `${(100 * share).toFixed(digits)}\u00a0%`;
}

/* ---- the token: in this tab alone ---- */

const TOKEN = "dml-token";
let token = "";
const required = document.documentElement.dataset.token === "required";

class Refused extends Error {
  constructor(status, message, hint) {
    super(message);
    this.status = status;
    this.hint = hint;
  }
}

function request(path, options = {}) {
  const headers = { ...(options.headers || {}) };
  if (token) headers.authorization = `Bearer ${token}`;
  return fetch(path, { ...options, headers, cache: "no-store", credentials: "omit", redirect: "error" });
}

async function answered(path, options) {
  let reply;
  try {
    reply = await request(path, options);
  } catch {
    throw new Refused(0, "the service does not answer");
  }
  if (reply.ok) return reply;
  const told = await reply.json().catch(() => ({}));
  throw new Refused(reply.status, told.error || `the service answered ${reply.status}`, told.hint);
}

function post(path, content) {
  const headers = { "content-type": "application/json" };
  return answered(path, { method: "POST", headers, body: JSON.stringify(content) });
}

/* Call `show` with what `path` answers; ask for the token first where there must be one. */
function enter(path, show) {
  const form = byId("token");
  const begin = async () => {
    form.hidden = true;
    byId("waiting").hidden = false;
    try {
      const content = await (await answered(path)).json();
      if (token) sessionStorage.setItem(TOKEN, token);
      byId("forget").hidden = !token;
      byId("waiting").hidden = true;
      byId("content").hidden = false;
      show(content);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.status === 401) ask(token ? "That token is not the one." : "");
      else byId("waiting").textContent = `Sorry: ${error.message}.`;
    }
  };
  const ask = (words) => {
    sessionStorage.removeItem(TOKEN);
    byId("waiting").hidden = true;
    form.hidden = false;
    byId("refused").textContent = words;
    byId("secret").focus();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    token = byId("secret").value.trim();
    byId("secret").value = "";
    begin();
  });
  byId("forget").addEventListener("click", () => {
    sessionStorage.removeItem(TOKEN);
    location.reload();
  });
  token = required ? sessionStorage.getItem(TOKEN) || "" : "";
  if (required && !token) ask("");
  else begin();
}

async function copyText(text, button) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed here"; /* only pages from https or this machine may */
  }
  setTimeout(() => { button.textContent = before; }, 1500);
}

