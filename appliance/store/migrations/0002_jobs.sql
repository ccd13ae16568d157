-- Ingestion: tasks, the files of each task, and what every ingested file was when it was last taken in.
CREATE TABLE tasks (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of work
  id TEXT NOT NULL UNIQUE,
  collection TEXT NOT NULL,
  spec BLOB NOT NULL,                    -- msgpack of what was asked for
  upload TEXT,                           -- name of the spool folder it reads from
  state TEXT NOT NULL,                   -- PENDING | PROGRESS | SUCCESS | FAILURE
  step TEXT NOT NULL,
  created_at REAL NOT NULL,              -- seconds since the epoch
  finished_at REAL,
  listed INTEGER NOT NULL DEFAULT 0,     -- 0 not yet, 1 complete, 2 some folders could not be listed
  cancelled INTEGER NOT NULL DEFAULT 0,
  crashes INTEGER NOT NULL DEFAULT 0,    -- starts since the last progress
  total INTEGER NOT NULL DEFAULT 0,      -- files
  done INTEGER NOT NULL DEFAULT 0,       -- files with a final state
  documents INTEGER NOT NULL DEFAULT 0,
  skipped INTEGER NOT NULL DEFAULT 0,
  removed INTEGER NOT NULL DEFAULT 0,
  chunks INTEGER NOT NULL DEFAULT 0,
  error TEXT
) STRICT;
CREATE INDEX open_tasks ON tasks (seq) WHERE finished_at IS NULL;

-- One row a file; a member of an archive has a row of its own only when it failed.
CREATE TABLE task_items (
  id INTEGER PRIMARY KEY,
  task INTEGER NOT NULL REFERENCES tasks (seq) ON DELETE CASCADE,
  member_of INTEGER,                     -- id of the archive's row
  source TEXT NOT NULL,
  path BLOB NOT NULL,                    -- as the file system has it: any bytes
  state TEXT NOT NULL,                   -- pending | done | skipped | failed (to be tried again) | dead
  attempts INTEGER NOT NULL DEFAULT 0,
  next_attempt_at REAL NOT NULL DEFAULT 0,
  sha256 TEXT,
  chunks INTEGER NOT NULL DEFAULT 0,
  code TEXT,
  message TEXT,
  hint TEXT,
  changed_at REAL,
  superseded INTEGER NOT NULL DEFAULT 0, -- a later task dealt with the same source
  UNIQUE (task, source)
) STRICT;
CREATE INDEX open_items ON task_items (task, id) WHERE state IN ('pending', 'failed');
CREATE INDEX failed_items ON task_items (task, id) WHERE state IN ('failed', 'dead');
CREATE INDEX dead_items ON task_items (source) WHERE state = 'dead' AND superseded = 0;

-- A file is unchanged when its bytes, the version of what reads, cuts and embeds it, and the number of its documents
-- are all the same.
CREATE TABLE ingested_files (
  collection TEXT NOT NULL,
  source TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  version TEXT NOT NULL,
  documents INTEGER NOT NULL,
  PRIMARY KEY (collection, source)
) STRICT, WITHOUT ROWID;
