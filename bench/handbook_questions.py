"""Questions that operators ask of the bundled handbook: each with the page that answers it, and words of the answer.

They are what `bench retrieval` and `bench answers` ask where no data are named. Ones with an empty document are about
things that the handbook does not know: they should be declined.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """`document` is the page's file name; `answer` stands there to the letter. Both are empty for what it lacks."""

    question: str
    document: str = ""
    answer: str = ""


QUESTIONS = (
    Known("What roles are there?", "keys-and-roles.md", "reader, editor and admin"),
    Known("How do I revoke a key?", "keys-and-roles.md", "rag-appliance keys revoke ID"),
    Known("When is the first admin key printed?", "keys-and-roles.md", "The first start makes an admin key"),
    Known("In which header is the key sent?", "keys-and-roles.md", "X-API-Key: rag_…"),
    Known("What must I do when every key is lost?", "keys-and-roles.md", "rag-appliance keys create NAME --role admin"),
    Known("How can authentication be turned off?", "keys-and-roles.md", "auth: off"),
    Known("What does a backup hold?", "backups.md", "the documents with their vectors"),
    Known("Which setting takes backups by themselves?", "backups.md", "backup_every"),
    Known("How do I prove that a backup is good?", "backups.md", "rag-appliance backup verify"),
    Known("What is not in a backup?", "backups.md", "uploads that wait for ingestion"),
    Known("Are unchanged files read again?", "ingestion.md", "Ingestion is incremental."),
    Known("How do I follow a folder?", "ingestion.md", "rag-appliance ingest PATH --watch"),
    Known("What happens to removed files with --sync?", "ingestion.md", "--sync"),
    Known("How do I cancel an ingestion task?", "ingestion.md", "rag-appliance tasks cancel ID"),
    Known("How long may a question be?", "limits.md", "4,000 characters"),
    Known("How many ingestion tasks may wait?", "limits.md", "At most 100 ingestion tasks wait"),
    Known("How large may an upload be?", "limits.md", "256 MiB"),
    Known("What is the difference between deleting and erasing?", "erasing-documents.md",
          "Deleting and erasing are two things."),
    Known("How do I erase a document with a receipt?", "erasing-documents.md",
          "rag-appliance documents erase 12 13 --receipt receipt.json"),
    Known("How do I clean what earlier deletions have left?", "erasing-documents.md",
          "rag-appliance documents erase --deleted"),
    Known("When should I rebuild the index?", "looking-after-the-index.md",
          "Rebuild the index when `index verify` reports a difference"),
    Known("When should the index be compacted?", "looking-after-the-index.md", "when you have deleted much at once"),
    Known("What does index rollback do?", "looking-after-the-index.md", "index rollback"),
    Known("Which address do OpenAI clients use?", "openai-api.md", "http://127.0.0.1:8000/v1"),
    Known("Which version of systemd does an installation need?", "install.md", "systemd 250 or later"),
    Known("Which command installs the service?", "install.md", "sudo ./rag-appliance install"),
    Known("How do I see what my key has cost?", "costs.md", "rag-appliance costs"),
    Known("Which unit does compute_s have?", "costs.md", "seconds of one core"),
    Known("What is watts_per_core by default?", "costs.md", "The setting `watts_per_core` is 10 by default"),
    Known("What is a claim?", "answers.md", "A claim is one sentence with the citations that hold it up."),
    Known("What does the extractive mode do?", "answers.md", "copies sentences from the documents"),
    Known("How are keyword and vector search joined?", "search.md", "the two are fused"),
    Known("What does alpha 0 mean?", "search.md", "alpha 0 searches by keywords only"),
    Known("How do I look for an exact phrase?", "search.md", "Put two or more words in double quotes"),
    Known("How are settings written in the environment?", "configuration.md", "in capitals with the prefix"),
    Known("How long does the capacity certificate take?", "benchmarks-and-capacity.md", "some fifteen minutes"),
    Known("Who won the football world cup in 1974?"),
    Known("What is the boiling point of ethanol?"),
    Known("Which aircraft flies from Oslo to Lisbon on Sundays?"),
    Known("Who wrote the opera about a barber?"),
    Known("How many legs does a lobster have?"),
    Known("What did the minister say about fishing quotas?"),
)  # fmt: skip
