// The asking page: sends a question, shows claims as they are checked, then the answer with its sources.
"use strict";

const AROUND = 260; // characters shown on each side of a quote
const REASONS = {
  no_passage: "No passage has anything to do with the question.",
  weak_evidence: "The nearest passages do not hold an answer.",
  filtered_out: "No document passes the filter.",
  empty_collection: "The collection holds no documents yet. An editor adds some with: rag-appliance ingest FOLDER",
};
let running = null;

async function loadCollections() {
  try {
    const { collections } = await (await call("/collections")).json();
    const chosen = byId("collection").value;
    byId("collection").replaceChildren(...collections.map((one) =>
      el("option", { value: one.name, selected: one.name === chosen }, `${one.name} (${one.documents})`)));
    const documents = collections.reduce((sum, one) => sum + one.documents, 0);
    byId("corpus").textContent = `${documents} document${documents === 1 ? "" : "s"}`;
    byId("key-form").hidden = true;
  } catch (problem) {
    if (problem.document?.status !== 401) throw problem;
    byId("key-problem").textContent = savedKey.get() ? problem.document.detail : "";
    byId("key-form").hidden = false;
    byId("key").focus();
  }
}

/** Server-sent events of a response, one after the other: {name, data}. */
async function* events(response) {
  const lines = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await lines.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]));
      if (fields.event) yield { name: fields.event, data: JSON.parse(fields.data) };
    }
  }
}

async function ask(question) {
  running?.abort();
  const mine = running = new AbortController();
  const result = byId("result");
  const text = el("div", { class: "card answer" }, el("p", { class: "quiet working" }, "Looking in the documents "));
  result.replaceChildren(text);
  busy(true);
  try {
    const body = { question, collection: byId("collection").value, mode: byId("mode").value, stream: true };
    const response = await call("/query", body, mine.signal);
    for await (const { name, data } of events(response)) {
      if (name === "waiting") text.lastChild.textContent = `Waiting for the model: ${data.position} before you, about ${Math.ceil(data.expected_s)} s `;
      if (name === "claim") text.insertBefore(el("p", {}, data.text), text.lastChild);
      if (name === "error") throw new Problem(data);
      if (name === "done") result.replaceChildren(...(data.abstained ? refusal(data) : answer(data)));
    }
  } catch (problem) {
    if (problem.name === "AbortError") {
      if (mine === running) result.replaceChildren(el("p", { class: "quiet" }, "Stopped."));
      return;
    }
    result.replaceChildren(showProblem(problem));
    if (problem.document?.status === 401) byId("key-form").hidden = false;
  } finally {
    if (mine === running) busy(false);
  }
}

function busy(on) {
  byId("stop").hidden = !on;
  byId("send").disabled = on;
}

function answer(found) {
  const places = [];
  const numberOf = (place) => {
    const same = places.findIndex((one) => one.document_id === place.document_id && one.start === place.start && one.end === place.end);
    return same >= 0 ? same + 1 : places.push(place);
  };
  const sentences = found.claims.map((claim) => el("p", {},
    el("span", claim.supported ? {} : { class: "unsupported", title: "The passages do not support this sentence." }, claim.text),
    ...[...new Set(claim.citations.map(numberOf))].map((number) =>
      el("button", { class: "cite", type: "button", title: "Show the place", onclick: () => reveal(number) }, `[${number}]`))));
  return [
    el("div", { class: "card answer" }, ...sentences, found.notice ? el("p", { class: "notice quiet" }, found.notice) : "", foot(found)),
    el("h3", {}, places.length === 1 ? "Where it says so" : "Where they say so"),
    ...places.map((place, index) => source(place, `source-${index + 1}`, String(index + 1), place.quote)),
  ];
}

function refusal(found) {
  return [
    el("div", { class: "card answer" }, el("p", {}, "The documents do not answer this."),
      el("p", {}, REASONS[found.reason] || found.notice || found.reason || ""), foot(found)),
    found.nearest.length ? el("h3", {}, "The nearest passages") : "",
    ...found.nearest.slice(0, 5).map((hit, index) => source(hit, `source-${index + 1}`, "", hit.text)),
  ].filter(Boolean);
}

function foot(found) {
  const how = found.abstained ? "" : { extractive: "in the documents' words", generative: "written and checked", auto: "" }[found.mode] || found.mode;
  const parts = [how, `${found.latency_ms.toFixed(found.latency_ms < 10 ? 1 : 0)} ms`, found.cache_hit ? "asked before" : "", `query ${found.query_id}`];
  return el("p", { class: "quiet" }, parts.filter(Boolean).join(" · "));
}

function source(place, id, number, quote) {
  const passage = el("blockquote", {}, number ? el("mark", {}, quote) : quote);
  const page = place.page ? `, page ${place.page}` : "";
  if (number) surroundings(place, passage);
  return el("article", { class: "card source", id },
    el("header", {},
      el("span", { class: "name" }, number ? el("span", { class: "number" }, number) : "", place.title || place.source),
      el("button", { class: "plain", type: "button", onclick: () => openReader(place).catch(report) }, "Open document")),
    el("p", { class: "quiet where" }, `${place.source}${page}`),
    passage);
}

/** Replace a bare quote by the quote within the text around it. */
async function surroundings(place, passage) {
  try {
    const found = await textOf(place.document_id, place.start - AROUND, place.end + AROUND);
    const parts = marked(found.points, found.start, place.start, place.end);
    passage.replaceChildren(found.start > 0 ? "… " : "", ...parts, found.end < found.characters ? " …" : "");
    const mark = passage.querySelector("mark");
    passage.scrollTop = mark.offsetTop - passage.offsetTop - 60;
  } catch {
    // The quote itself is shown already; the document may have gone since.
  }
}

function reveal(number) {
  const card = byId(`source-${number}`);
  card.scrollIntoView({ behavior: "smooth", block: "nearest" });
  card.classList.remove("flash");
  void card.offsetWidth; // starts the animation again
  card.classList.add("flash");
}

function report(problem) {
  byId("result").prepend(showProblem(problem));
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = byId("question").value.trim();
  if (question) ask(question);
});
byId("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    byId("ask").requestSubmit();
  }
});
byId("stop").addEventListener("click", () => running?.abort());
byId("key-open").addEventListener("click", () => {
  byId("key-form").hidden = !byId("key-form").hidden;
  if (!byId("key-form").hidden) byId("key").focus();
});
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  savedKey.set(byId("key").value.trim());
  byId("key").value = "";
  loadCollections().catch(report);
});
loadCollections().catch(report);
