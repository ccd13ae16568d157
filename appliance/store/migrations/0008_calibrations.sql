-- The evidence below which questions to a collection are declined, as it was fitted to a stated rate of wrong answers.
CREATE TABLE calibrations (
  collection_id INTEGER PRIMARY KEY REFERENCES collections (id),
  abstain_below REAL NOT NULL,
  rules TEXT NOT NULL,    -- what the strength of evidence depends on: of another embedder or version it says nothing
  made_at REAL NOT NULL,
  report BLOB NOT NULL    -- JSON: the figures
) STRICT;
