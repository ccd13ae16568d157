// The API page: /openapi.json made readable, and a form to try each route.
"use strict";

let api = null;

/** Text with `code` in it, as nodes. */
const prose = (text) => text.split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));

const resolve = (schema) => (schema?.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema) || {};

function typeName(schema) {
  if (!schema) return "";
  if (schema.$ref) {
    const found = resolve(schema);
    return found.enum ? found.enum.map((value) => JSON.stringify(value)).join(" | ") : schema.$ref.split("/").pop();
  }
  const many = schema.anyOf || schema.oneOf || schema.allOf;
  if (many) return many.map(typeName).join(" | ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.type === "array") return `list of ${typeName(schema.items)}`;
  if (schema.type === "object" && schema.additionalProperties) return `object of ${typeName(schema.additionalProperties)}`;
  return [schema.type, schema.format].filter(Boolean).join(", ") || "any";
}

function limits(schema) {
  const words = { minimum: "from", maximum: "to", minLength: "shortest", maxLength: "longest" };
  const found = Object.entries(words).filter(([name]) => schema[name] !== undefined).map(([name, word]) => `${word} ${schema[name]}`);
  if (schema.default !== undefined && schema.default !== null) found.push(`default ${JSON.stringify(schema.default)}`);
  return found.join(", ");
}

function fieldTable(schema) {
  const found = resolve(schema);
  const choices = found.anyOf || found.oneOf || found.allOf;
  if (choices) return el("div", {}, ...choices.flatMap((one, index) => [index ? el("p", { class: "quiet" }, found.allOf ? "and" : "or") : "", fieldTable(one)]));
  const rows = Object.entries(found.properties || {}).map(([name, kind]) => {
    const needed = (found.required || []).includes(name) && kind.default === undefined ? " *" : "";
    const text = [kind.description, limits(kind)].filter(Boolean).join(" · ");
    return el("tr", {}, el("td", {}, el("code", {}, name), needed), el("td", {}, typeName(kind)), el("td", { class: "quiet" }, ...prose(text)));
  });
  return el("div", {}, found.description ? el("p", { class: "quiet" }, ...prose(found.description)) : "", rows.length ? el("table", {}, el("tbody", {}, ...rows)) : "");
}

/** A first request to change: the required fields, and those with a plain default. */
function example(schema, depth = 0) {
  let found = resolve(schema);
  const choices = found.anyOf || found.oneOf;
  if (choices) found = resolve(choices[0]);
  if (found.default !== undefined) return found.default;
  if (found.enum) return found.enum[0];
  if (found.type === "object" && depth < 3) {
    const needed = Object.entries(found.properties || {}).filter(([name]) => (found.required || []).includes(name));
    return Object.fromEntries(needed.map(([name, kind]) => [name, example(kind, depth + 1)]));
  }
  return { string: "", integer: 0, number: 0, boolean: false, array: [], object: {} }[found.type] ?? null;
}

function tryForm(path, method, operation) {
  const content = operation.requestBody?.content || {};
  const json = content["application/json"]?.schema;
  const inputs = (operation.parameters || []).map((parameter) => ({
    parameter,
    input: el("input", { placeholder: parameter.required ? "needed" : "", "aria-label": parameter.name }),
  }));
  const body = json ? el("textarea", { rows: 5, class: "code", spellcheck: "false", "aria-label": "JSON body" }) : null;
  if (body) body.value = JSON.stringify(example(json), null, 2);
  const files = content["multipart/form-data"] ? el("input", { type: "file", multiple: true, "aria-label": "Files" }) : null;
  const shown = el("div", {});
  const form = el("form", {},
    ...inputs.map(({ parameter, input }) => el("div", { class: "row" }, el("label", {}, `${parameter.name} (${parameter.in})`), input)),
    body || "",
    files ? el("div", { class: "row" }, el("label", {}, "or files"), files) : "",
    el("div", { class: "row" }, el("button", { type: "submit" }, "Send")), shown);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(path, method, inputs, body, files, shown);
  });
  return form;
}

async function send(path, method, inputs, body, files, shown) {
  let target = path;
  const query = new URLSearchParams();
  for (const { parameter, input } of inputs) {
    if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (input.value) query.set(parameter.name, input.value);
  }
  if ([...query].length) target += `?${query}`;
  const options = { method: method.toUpperCase(), headers: headers() };
  if (files?.files.length) {
    options.body = new FormData();
    for (const file of files.files) options.body.append("file", file);
  } else if (body) {
    options.headers = headers({ "Content-Type": "application/json" });
    options.body = body.value;
  }
  shown.replaceChildren(el("p", { class: "quiet working" }, "Waiting "));
  const started = performance.now();
  try {
    const response = await fetch(target, options);
    const text = await response.text();
    const head = `${response.status} ${response.statusText} · ${Math.round(performance.now() - started)} ms · ${response.headers.get("content-type") || ""}`;
    shown.replaceChildren(el("p", { class: response.ok ? "quiet" : "problem" }, head), el("pre", { class: "box" }, pretty(text)));
  } catch (problem) {
    shown.replaceChildren(showProblem(problem));
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function curl(path, method, operation) {
  const parts = [`curl -sS${method === "get" ? "" : ` -X ${method.toUpperCase()}`}`];
  if (operation.security.length) parts.push('-H "X-API-Key: $RAG_KEY"');
  const json = operation.requestBody?.content["application/json"]?.schema;
  if (json) parts.push("-H 'Content-Type: application/json'", `-d '${JSON.stringify(example(json))}'`);
  return `${parts.join(" ")} ${location.origin}${path}`;
}

function route(path, method, operation) {
  const done = Object.entries(operation.responses).find(([status]) => status !== "default");
  const made = el("details", { class: "route", id: operation.operationId },
    el("summary", {}, el("span", { class: `method ${method}` }, method.toUpperCase()), el("span", { class: "path" }, path),
      el("span", { class: "quiet" }, operation.summary), el("span", { class: "quiet role" }, operation["x-role"] || "open")));
  made.addEventListener("toggle", () => {
    if (!made.open || made.childElementCount > 1) return;
    made.append(...operation.description.split("\n\n").map((part) => el("p", {}, ...prose(part))));
    if (operation.parameters) {
      const rows = operation.parameters.map((one) => el("tr", {}, el("td", {}, el("code", {}, one.name), one.required ? " *" : ""),
        el("td", {}, typeName(one.schema)), el("td", { class: "quiet" }, [`in the ${one.in}`, limits(one.schema)].filter(Boolean).join(", "))));
      made.append(el("h3", {}, "Parameters"), el("table", {}, el("tbody", {}, ...rows)));
    }
    for (const [media, one] of Object.entries(operation.requestBody?.content || {})) made.append(el("h3", {}, `Body · ${media}`), fieldTable(one.schema));
    for (const [media, one] of Object.entries(done[1].content)) made.append(el("h3", {}, `${done[0]} · ${media}`), fieldTable(one.schema));
    made.append(el("h3", {}, "Try it"), el("pre", { class: "box" }, curl(path, method, operation)), tryForm(path, method, operation));
  }, { once: false });
  return made;
}

async function load() {
  api = await (await call("/openapi.json")).json();
  byId("about").replaceChildren(...prose(`${api.info.description} Version ${api.info.version}.`));
  const groups = api.tags.map((tag) => {
    const routes = Object.entries(api.paths).flatMap(([path, methods]) =>
      Object.entries(methods).filter(([, one]) => one.tags[0] === tag.name).map(([method, one]) => route(path, method, one)));
    return routes.length ? el("section", {}, el("h2", {}, tag.name), el("p", { class: "quiet" }, tag.description), ...routes) : "";
  });
  byId("routes").replaceChildren(...groups.filter(Boolean));
  if (location.hash) byId(location.hash.slice(1))?.setAttribute("open", "");
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  savedKey.set(byId("key").value.trim());
  byId("key").value = "";
});
load().catch((problem) => byId("routes").replaceChildren(showProblem(problem)));
