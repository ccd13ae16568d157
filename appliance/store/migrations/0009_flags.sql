-- Flags that somebody has set: for one collection, or (with an empty name) for all.
CREATE TABLE flags (
  collection TEXT NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,    -- JSON
  PRIMARY KEY (collection, name)
) STRICT, WITHOUT ROWID;

-- A share of the questions that is answered under other flags for a while; the newest row is the one that counts.
CREATE TABLE canaries (
  id INTEGER PRIMARY KEY,
  spec TEXT NOT NULL,     -- JSON: share, collection, flags, limits
  state TEXT NOT NULL,    -- running, stopped, promoted, rolled_back
  reason TEXT NOT NULL,
  looks INTEGER NOT NULL, -- at the figures, so far: what each may cost of the false alarms that are allowed
  started_at REAL NOT NULL,
  ended_at REAL
) STRICT;

-- Who changed what of both, and why. Rows are only ever added.
CREATE TABLE flag_changes (
  id INTEGER PRIMARY KEY,
  at REAL NOT NULL,
  principal TEXT NOT NULL,
  action TEXT NOT NULL,
  collection TEXT NOT NULL,
  name TEXT NOT NULL,
  before TEXT,            -- JSON
  after TEXT,             -- JSON
  reason TEXT NOT NULL
) STRICT;
