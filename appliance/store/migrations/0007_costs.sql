-- What each principal's requests took, by day (UTC, ISO date). Sums only: no request and no text is kept.
CREATE TABLE costs (
  day TEXT NOT NULL,
  principal TEXT NOT NULL,
  questions INTEGER NOT NULL DEFAULT 0,                 -- answered, also from the cache
  cached INTEGER NOT NULL DEFAULT 0,                    -- of these, from the cache
  searches INTEGER NOT NULL DEFAULT 0,
  completions INTEGER NOT NULL DEFAULT 0,               -- by the generator alone
  embeddings INTEGER NOT NULL DEFAULT 0,                -- requests for vectors
  prompt_tokens INTEGER NOT NULL DEFAULT 0,
  completion_tokens INTEGER NOT NULL DEFAULT 0,
  embedded_tokens INTEGER NOT NULL DEFAULT 0,
  compute_s REAL NOT NULL DEFAULT 0,                    -- seconds of one core
  cache_saved_tokens INTEGER NOT NULL DEFAULT 0,
  cache_saved_s REAL NOT NULL DEFAULT 0,
  compression_saved_tokens INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (day, principal)
) STRICT, WITHOUT ROWID;
