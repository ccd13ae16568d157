-- Postings: a copy of the keyword index as numbers, made from the chunks in the background. It may be dropped at any time.
CREATE TABLE posting_segments (
  id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again: what is remembered of a segment stays true
  collection_id INTEGER NOT NULL,
  after INTEGER NOT NULL,                -- holds the chunks of the collection with after < id <= last
  last INTEGER NOT NULL,
  chunk_ids BLOB NOT NULL,               -- int64, ascending: a row of the segment is a place in it
  lengths BLOB NOT NULL                  -- uint32: tokens of each row
) STRICT;
CREATE INDEX posting_segments_by_collection ON posting_segments (collection_id, after);
CREATE TABLE posting_lists (
  segment INTEGER NOT NULL,
  token TEXT NOT NULL,
  postings BLOB NOT NULL,                -- uint16: the rows that hold the token, then how often, in halves
  PRIMARY KEY (segment, token)
) STRICT, WITHOUT ROWID;
CREATE TABLE posting_deletions (         -- chunks deleted since a segment with them was made
  collection_id INTEGER NOT NULL,
  chunk_id INTEGER NOT NULL,
  PRIMARY KEY (collection_id, chunk_id)
) STRICT, WITHOUT ROWID;
