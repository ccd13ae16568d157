"""Every metric that is looked up when somebody asks for the page, declared once.

A collection is a label for the first MOST_COLLECTIONS only; the others are one together, `(other)`: their sum, or the
worst of them.
"""

from appliance.telemetry.exposition import Sampled

MOST_COLLECTIONS = 20
OTHER = "(other)"  # cannot be the name of a collection

BUILD = Sampled("rag_build_info", "1; the version of the program that runs.", ("version",))
STARTS = Sampled("rag_starts", "Starts of the server on this data directory, over all its lives.", kind="counter")
UNCLEAN_STARTS = Sampled(
    "rag_unclean_starts",
    "Starts after a server that did not end in order, over all its lives: `watchdog` it was stuck, `host` the host "
    "went down, `killed` anything else.",
    ("reason",),
    kind="counter",
)
COMPONENT_READY = Sampled("rag_component_ready", "1 while a part can do its work, else 0.", ("component",))
LATE_LOOPS = Sampled("rag_work_loops_late", "Work loops whose sign of life is overdue.")

QUESTIONS = Sampled("rag_questions", "Questions in the appliance: `active` in a thread, `queued` for one.", ("state",))
QUEUE_DEPTH = Sampled("rag_queue_depth", "Entries waiting in a bounded queue.", ("queue",))
QUEUE_LIMIT = Sampled("rag_queue_limit", "Entries that a bounded queue takes before it refuses.", ("queue",))
OLDEST_JOB = Sampled("rag_oldest_job_seconds", "Age of the oldest unfinished ingestion task; 0 without one.")

ANSWERS = Sampled(
    "rag_answers", "Questions that were answered, from the `cache` or `computed`.", ("origin",), kind="counter"
)
TOKENS = Sampled(
    "rag_tokens",
    "Tokens since the start: read (`prompt`) and written (`completion`) by the generator, `embedded` for callers of "
    "/v1/embeddings, and spared by the cache and by compression.",
    ("kind",),
    kind="counter",
)
COMPUTE = Sampled("rag_compute_seconds", "Core-seconds that requests took since the start.", kind="counter")
ENERGY = Sampled("rag_energy_watt_hours", "Estimate of the energy of these core-seconds.", kind="counter")
SAVED = Sampled("rag_cache_saved_seconds", "Core-seconds that cached answers spared since the start.", kind="counter")

CACHE_ENTRIES = Sampled("rag_cache_entries", "Entries of a cache.", ("layer",))
CACHE_BYTES = Sampled("rag_cache_bytes", "Bytes that a cache holds.", ("layer",))
CACHE_LIMIT = Sampled("rag_cache_limit_bytes", "Bytes that a cache may hold.", ("layer",))

COLLECTIONS = Sampled("rag_collections", "Collections.")
DOCUMENTS = Sampled("rag_documents", "Documents of a collection.", ("collection",))
CHUNKS = Sampled("rag_chunks", "Chunks of a collection.", ("collection",))
INDEX_VECTORS = Sampled("rag_index_vectors", "Vectors that the index of a collection finds.", ("collection",))
INDEX_MISSING = Sampled("rag_index_missing_vectors", "Chunks that the index does not find yet.", ("collection",))
INDEX_BEHIND = Sampled(
    "rag_index_behind_seconds", "How long the index has not been level with the rows; 0 when it is.", ("collection",)
)
INDEX_REMOVED = Sampled(
    "rag_index_removed_share", "Share of the index's vectors that were removed and still take room.", ("collection",)
)
INDEX_RECALL = Sampled(
    "rag_index_recall",
    "Share of the ten nearest vectors found when last measured; 1 where all are read.",
    ("collection",),
)
INDEX_UNSAVED = Sampled(
    "rag_index_unsaved_changes",
    "Changes since the index was last written to disk; 0 where none is kept.",
    ("collection",),
)
INDEX_WORK = Sampled("rag_index_at_work", "1 while the index is being built, compacted or measured.", ("collection",))

FILE_BYTES = Sampled(
    "rag_file_bytes",
    "Bytes on disk: `database`, `wal` its log, `index`, `spool` uploads that wait, `cache`, `backups`.",
    ("what",),
)
DISK_FREE = Sampled(
    "rag_disk_free_bytes", "Bytes that can still be written where the data or the backups are.", ("what",)
)
DISK_SIZE = Sampled("rag_disk_size_bytes", "Size of the file system where the data or the backups are.", ("what",))
MEMORY_USED = Sampled(
    "rag_memory_used_bytes",
    "Memory in use: by this `process`, by its control `group` where it has a limit, on the whole `host`; without what "
    "the kernel can drop.",
    ("scope",),
)
MEMORY_LIMIT = Sampled("rag_memory_limit_bytes", "Memory that applies to each of these: the least limit.", ("scope",))

MODEL_USABLE = Sampled("rag_model_usable", "1 for a model that is set up and can be used, else 0.", ("model",))
MODEL_LOADED = Sampled("rag_model_loaded", "1 for a model that is in memory.", ("model",))
GENERATOR_SLOTS = Sampled("rag_generator_slots", "Answers that the generator writes at once; 0 before it is loaded.")
BREAKER_OPEN = Sampled("rag_breaker_open", "1 while a circuit breaker lets nothing through.", ("breaker",))

BACKUP_INTERVAL = Sampled("rag_backup_interval_seconds", "Time between backups that the settings ask for; 0 for none.")
CERTIFICATE = Sampled(
    "rag_certificate_timestamp_seconds",
    "When the capacity certificate of this host was made, seconds since the epoch; 0 for none.",
)
