// What both pages share: making elements (text is always text, never markup), the key, and calls to the routes.
"use strict";

/** An element with properties and children; strings become text nodes, so nothing from a document is ever markup. */
function el(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== false && value !== undefined) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

const byId = (id) => document.getElementById(id);

const savedKey = {
  get: () => sessionStorage.getItem("rag-key") || "",
  set: (key) => (key ? sessionStorage.setItem("rag-key", key) : sessionStorage.removeItem("rag-key")),
};

function headers(more = {}) {
  const key = savedKey.get();
  return key ? { "X-API-Key": key, ...more } : more;
}

/** A problem document of the routes, as an error. */
class Problem extends Error {
  constructor(document) {
    super(document.detail || "The request failed.");
    this.document = document;
  }
}

async function problemOf(response) {
  try {
    return new Problem(await response.json());
  } catch {
    return new Problem({ detail: `The server answered ${response.status}.`, status: response.status });
  }
}

async function call(path, body, signal) {
  const options = body === undefined
    ? { headers: headers(), signal }
    : { method: "POST", headers: headers({ "Content-Type": "application/json" }), body: JSON.stringify(body), signal };
  const response = await fetch(path, options);
  if (!response.ok) throw await problemOf(response);
  return response;
}

function showProblem(problem) {
  const document = problem.document || { detail: String(problem.message || problem) };
  return el("div", { class: "card" },
    el("p", { class: "problem", role: "alert" }, document.detail || "Something went wrong."),
    document.hint ? el("p", {}, document.hint) : "",
    document.query_id ? el("p", { class: "quiet" }, `query ${document.query_id}`) : "");
}
