/* ---- the OpenAPI document as a page ---- */

function showDocument(api) {
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = (operation.tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push({ method: method.toUpperCase(), path, operation });
    }
  }
  const order = ["model", "state", ...[...groups.keys()].filter((tag) => !["model", "state"].includes(tag))];
  const known = order.filter((tag) => groups.has(tag));
  byId("content").replaceChildren(...introduction(api, known), ...known.map((tag) => group(tag, groups.get(tag))));
  const save = byId("save");
  save.hidden = false;
  save.addEventListener("click", () => saveText(JSON.stringify(api, null, 2), "openapi.json"));
  openLinked();
  addEventListener("hashchange", openLinked);
}

function introduction(api, tags) {
  const words = required ? "Requests bring the token as “Authorization: Bearer …” or “X-API-Key: …”; “Send” does so here." : "Requests need no token.";
  return [
    element("header", {},
      element("p", { class: "eyebrow" }, `OpenAPI ${api.openapi}`),
      element("h1", {}, api.info.title),
      api.info.description ? element("p", { class: "description" }, api.info.description) : null,
      element("p", { class: "lead after" }, words)),
    element("p", { class: "jump" }, tags.flatMap((tag) => [element("a", { href: `#${idOf(tag)}` }, tag), " "])),
  ];
}

function idOf(text) {
  return text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
}

function group(tag, operations) {
  return element("section", { id: idOf(tag), class: "operations" }, element("h2", {}, tag[0].toUpperCase() + tag.slice(1)), operations.map(operationBox));
}

function operationBox({ method, path, operation }) {
  const summary = element("summary", {},
    element("span", { class: `method ${method.toLowerCase()}` }, method),
    element("code", {}, path),
    element("span", { class: "quiet" }, operation.summary || ""));
  const box = element("details", { class: "operation", id: idOf(`${method} ${path}`) }, summary);
  box.addEventListener("toggle", () => {
    if (box.open && box.childElementCount === 1) box.append(operationContent(method, path, operation));
  });
  return box;
}

function operationContent(method, path, operation) {
  const body = operation.requestBody ? operation.requestBody.content : null;
  return element("div", { class: "inside" },
    element("div", {},
      operation.description ? element("p", {}, operation.description) : null,
      body ? bodyParts(body) : null,
      element("h3", {}, "Answers"),
      element("div", { class: "scroll" }, element("table", {}, element("tbody", {}, Object.entries(operation.responses).map(responseRow))))),
    element("div", {}, tryParts(method, path, body)));
}

function bodyParts(content) {
  const media = Object.keys(content);
  const json = content["application/json"];
  return [
    element("h3", {}, "Body"),
    media.length > 1 ? element("p", { class: "quiet" }, `${media.join(", ")}; the answer has the form of the request`) : null,
    json ? schemaTree(json.schema) : null,
  ];
}

function responseRow([status, response]) {
  const json = (response.content || {})["application/json"];
  return element("tr", {},
    element("th", { scope: "row" }, element("code", {}, status)),
    element("td", {}, response.description || "", json && status.startsWith("2") && Object.keys(json.schema || {}).length ? schemaTree(json.schema) : null));
}

/* ---- schemas ---- */

function typeText(schema) {
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.anyOf) return "one of";
  const types = [schema.type || "anything"].flat();
  if (types.includes("array") && schema.items) return `list of ${typeText(schema.items)}`;
  return types.map((type) => ({ object: "object", null: "null" }[type] || type)).join(" | ") + (schema.format ? ` (${schema.format})` : "");
}

function inner(schema) {
  return schema.type === "array" && schema.items ? inner(schema.items) : schema;
}

function schemaTree(schema) {
  const found = inner(schema);
  if (found.anyOf) {
    const [first, ...others] = found.anyOf;
    const names = (choice) => Object.keys(choice.properties || {}).join(", ") || typeText(choice);
    return element("div", { class: "tree" }, schemaTree(first), others.map((choice) =>
      element("details", {}, element("summary", {}, `or ${names(choice)}`), schemaTree(choice))));
  }
  if (!found.properties) return element("p", { class: "quiet" }, typeText(schema));
  return element("dl", { class: "tree" }, Object.entries(found.properties).flatMap(([name, property]) => propertyParts(name, property, (found.required || []).includes(name))));
}

function propertyParts(name, property, needed) {
  const deeper = inner(property);
  const example = property.examples && property.examples.length ? ` e.g. ${JSON.stringify(property.examples[0])}` : "";
  return [
    element("dt", {}, element("code", {}, name), element("small", {}, ` ${typeText(property)}${needed ? "" : ", optional"}`)),
    element("dd", {},
      property.description || example ? element("span", {}, property.description || "", element("span", { class: "quiet" }, example)) : null,
      deeper.properties || deeper.anyOf ? schemaTree(deeper) : null),
  ];
}

/* ---- try it ---- */

function tryParts(method, path, body) {
  const json = body ? body["application/json"] : null;
  const id = idOf(`try ${method} ${path}`);
  const text = json
    ? element("textarea", { id, class: "code", rows: 8, spellcheck: "false", autocomplete: "off" })
    : null;
  if (text) text.value = JSON.stringify(json.example ?? {}, null, 2);
  if (text) text.rows = Math.min(22, text.value.split("\n").length + 1);
  const result = element("div", { class: "result", "aria-live": "polite" });
  const button = element("button", { type: "button", class: "primary", on: { click: () => send(method, path, text, result, button) } }, "Send");
  return [
    element("h3", {}, "Try it"),
    text ? element("label", { for: id, class: "quiet" }, "Body as JSON") : null,
    text,
    element("div", { class: "actions" }, button),
    result,
  ];
}

async function send(method, path, text, result, button) {
  button.disabled = true;
  const began = performance.now();
  try {
    const headers = text ? { "content-type": "application/json" } : {};
    const reply = await request(path.replace(/^\//, ""), { method, headers, body: text ? text.value : undefined });
    const content = await reply.text();
    const seconds = (performance.now() - began) / 1000;
    result.replaceChildren(
      element("p", { class: reply.ok ? "" : "fault" }, `${reply.status} ${reply.statusText}`, element("span", { class: "quiet" }, ` in ${number(seconds * 1000, 2)} ms`)),
      element("pre", { tabindex: "0", "aria-label": "Answer" }, element("code", {}, pretty(content))));
  } catch {
    result.replaceChildren(element("p", { class: "fault" }, "The service does not answer."));
  } finally {
    button.disabled = false;
  }
}

function pretty(content) {
  try {
    return JSON.stringify(JSON.parse(content), null, 2);
  } catch {
    return content;
  }
}

function saveText(text, name) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type: "application/json" })), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}

function openLinked() {
  const target = location.hash ? byId(decodeURIComponent(location.hash.slice(1))) : byId("post-predict");
  if (target && target.tagName === "DETAILS") target.open = true;
  if (target && location.hash) target.scrollIntoView();
}

enter("openapi.json", showDocument);
