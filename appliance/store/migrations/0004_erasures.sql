-- Erasures: what was asked to vanish, as digests only, and the receipt once it is proved.
CREATE TABLE erasures (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of work
  id TEXT NOT NULL UNIQUE,
  created_at REAL NOT NULL,              -- seconds since the epoch
  finished_at REAL,
  step TEXT NOT NULL,
  plan BLOB NOT NULL,                    -- msgpack: collections, digests and counts of what the rows held
  needles BLOB,                          -- keyed digests to look for; NULL once the erasure has ended
  error TEXT,                            -- what it waits for
  receipt BLOB                           -- JSON
) STRICT;
CREATE INDEX open_erasures ON erasures (seq) WHERE finished_at IS NULL;
