// The reader: a document's text around one place. Offsets count characters (code points), as the routes do.
"use strict";

const WINDOW = 4000;
const reader = { document: 0, start: 0, end: 0, characters: 0, from: 0, to: 0, text: [] };

/** Characters [start, end) of a document, as an array of code points. */
async function textOf(documentId, start, end) {
  const response = await call(`/documents/${documentId}/text?start=${Math.max(0, start)}&end=${Math.max(0, end)}`);
  const found = await response.json();
  return { ...found, points: [...found.text] };
}

/** Text with the part [start, end) marked; `from` is the offset of its first character. */
function marked(points, from, start, end) {
  const cut = (a, b) => points.slice(Math.max(0, a - from), Math.max(0, b - from)).join("");
  const last = from + points.length;
  return [cut(from, start), el("mark", {}, cut(start, end)), cut(end, last)];
}

async function openReader(place) {
  const found = await textOf(place.document_id, place.start - WINDOW / 2, place.end + WINDOW / 2);
  Object.assign(reader, { document: place.document_id, start: place.start, end: place.end, from: found.start,
    to: found.end, characters: found.characters, text: found.points });
  const page = place.page ? `, page ${place.page}` : "";
  byId("reader-title").textContent = `${place.title || place.source}${page} · characters ${place.start}–${place.end}`;
  drawReader();
  if (!byId("reader").open) byId("reader").showModal();
  byId("reader-body").querySelector("mark")?.scrollIntoView({ block: "center" });
}

function drawReader() {
  byId("reader-body").replaceChildren(...marked(reader.text, reader.from, reader.start, reader.end));
  byId("reader-earlier").hidden = reader.from === 0;
  byId("reader-later").hidden = reader.to >= reader.characters;
}

byId("reader-earlier").addEventListener("click", async () => {
  const found = await textOf(reader.document, reader.from - WINDOW, reader.from);
  const pane = byId("reader-text");
  const below = pane.scrollHeight - pane.scrollTop;
  reader.text = found.points.concat(reader.text);
  reader.from = found.start;
  drawReader();
  pane.scrollTop = pane.scrollHeight - below;
});

byId("reader-later").addEventListener("click", async () => {
  const found = await textOf(reader.document, reader.to, reader.to + WINDOW);
  reader.text = reader.text.concat(found.points);
  reader.to = found.end;
  drawReader();
});

byId("reader-close").addEventListener("click", () => byId("reader").close());
byId("reader").addEventListener("click", (event) => { if (event.target === byId("reader")) byId("reader").close(); });
