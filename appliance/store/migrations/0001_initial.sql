-- Collections, documents, chunks with their vectors, metadata and keys. Each collection also owns two virtual tables,
-- made with it: fts_<id> (FTS5, rowid = chunk id) and fts_<id>_terms (its vocabulary).
PRAGMA application_id = 0x52414741; -- "RAGA"

-- One counter for every change of any collection: a version never comes back, even when a collection is dropped and made anew.
CREATE TABLE changes (id INTEGER PRIMARY KEY CHECK (id = 1), counter INTEGER NOT NULL) STRICT;
INSERT INTO changes (id, counter) VALUES (1, 0);

CREATE TABLE collections (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  version INTEGER NOT NULL,
  embedder TEXT NOT NULL,        -- fingerprint of the model that made its vectors
  dimensions INTEGER NOT NULL,
  documents INTEGER NOT NULL DEFAULT 0,
  chunks INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE documents (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  collection_id INTEGER NOT NULL REFERENCES collections (id),
  source TEXT NOT NULL,
  title TEXT NOT NULL,
  media_type TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  characters INTEGER NOT NULL,
  chunks INTEGER NOT NULL,
  pages TEXT NOT NULL,           -- JSON [[number, start, end], ...]
  metadata TEXT NOT NULL,        -- JSON object
  added_at REAL NOT NULL,        -- seconds since the epoch
  text TEXT NOT NULL,            -- last, so that listings never touch its overflow pages
  UNIQUE (collection_id, source)
) STRICT;

CREATE TABLE chunks (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  document_id INTEGER NOT NULL REFERENCES documents (id),
  collection_id INTEGER NOT NULL REFERENCES collections (id),
  section TEXT NOT NULL,
  page INTEGER,
  start INTEGER NOT NULL,        -- documents.text[start:end] = text, in characters
  "end" INTEGER NOT NULL,
  tokens INTEGER NOT NULL,
  text TEXT NOT NULL
) STRICT;
CREATE INDEX chunks_by_document ON chunks (document_id);
CREATE INDEX chunks_by_collection ON chunks (collection_id);

CREATE TABLE vectors (
  chunk_id INTEGER PRIMARY KEY REFERENCES chunks (id),
  vector BLOB NOT NULL           -- float16[dimensions]
) STRICT;

CREATE TABLE sentences (
  chunk_id INTEGER PRIMARY KEY REFERENCES chunks (id),
  spans BLOB NOT NULL,           -- int32[sentences][2], relative to the chunk's text
  vectors BLOB NOT NULL          -- int8[sentences][dimensions] = round(127 v)
) STRICT;

-- What filters look at: one row per value, a list gives several. `text` is case-folded.
CREATE TABLE metadata (
  document_id INTEGER NOT NULL REFERENCES documents (id),
  field TEXT NOT NULL,
  text TEXT NOT NULL,
  number REAL,
  listed INTEGER NOT NULL        -- 1 for an element of a list
) STRICT;
CREATE INDEX metadata_by_document ON metadata (document_id);
CREATE INDEX metadata_by_text ON metadata (field, text, document_id);
CREATE INDEX metadata_by_number ON metadata (field, number, document_id) WHERE number IS NOT NULL;

CREATE TABLE keys (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  hash BLOB NOT NULL UNIQUE,     -- sha256 of the key; the key itself is nowhere
  created_at REAL NOT NULL,
  revoked_at REAL
) STRICT;
