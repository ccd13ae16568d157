-- A collection may hold the vectors of two models: those that serve, and those of a change under way or of the model
-- before, kept for a rollback. Each model's vectors are one space, which owns one of two slots (pairs of tables):
-- 0 is vectors and sentences, 1 is vectors_b and sentences_b. collections.embedder names the space that serves.
CREATE TABLE vectors_b (
  chunk_id INTEGER PRIMARY KEY REFERENCES chunks (id),
  vector BLOB NOT NULL           -- float16[dimensions]
) STRICT;

CREATE TABLE sentences_b (
  chunk_id INTEGER PRIMARY KEY REFERENCES chunks (id),
  spans BLOB NOT NULL,           -- int32[sentences][2], relative to the chunk's text
  vectors BLOB NOT NULL          -- int8[sentences][dimensions] = round(127 v)
) STRICT;

CREATE TABLE spaces (
  collection_id INTEGER NOT NULL REFERENCES collections (id),
  slot INTEGER NOT NULL CHECK (slot IN (0, 1)),
  embedder TEXT NOT NULL,        -- fingerprint of the model
  dimensions INTEGER NOT NULL,
  filled INTEGER NOT NULL,       -- every chunk with an id up to this one has its vector; kept only while it does not serve
  PRIMARY KEY (collection_id, slot),
  UNIQUE (collection_id, embedder)
) STRICT, WITHOUT ROWID;
INSERT INTO spaces (collection_id, slot, embedder, dimensions, filled)
  SELECT id, 0, embedder, dimensions, 0 FROM collections;

-- Changes of a collection's embedding model, and their outcome.
CREATE TABLE model_changes (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of work
  id TEXT NOT NULL UNIQUE,
  collection TEXT NOT NULL,
  model TEXT NOT NULL,                   -- names, for people
  previous_model TEXT NOT NULL,
  embedder TEXT NOT NULL,                -- fingerprint of the model that is to serve
  spec TEXT NOT NULL,                    -- JSON of what was asked for
  state TEXT NOT NULL,                   -- PENDING | PROGRESS | SUCCESS | FAILURE
  step TEXT NOT NULL,
  created_at REAL NOT NULL,              -- seconds since the epoch
  finished_at REAL,
  cancelled INTEGER NOT NULL DEFAULT 0,
  truncated INTEGER NOT NULL DEFAULT 0,  -- chunks longer than the new model reads
  report TEXT,                           -- JSON of the comparison
  code TEXT,                             -- why it failed
  message TEXT,
  hint TEXT
) STRICT;
CREATE UNIQUE INDEX open_changes ON model_changes (collection) WHERE finished_at IS NULL;
