"""What a cached value stands on, as tags `kind:name`: everything that carries a tag can be purged at once."""

from collections.abc import Iterable

from appliance.errors import InvalidRequest

KINDS = ("collection", "document", "model", "prompt")


def tags_of(
    collection: str, documents: Iterable[int] = (), models: Iterable[str] = (), prompt: str = ""
) -> frozenset[str]:
    """The tags of a value that was made from these."""
    named = [("document", str(document)) for document in documents] + [("model", model) for model in models]
    if prompt:
        named.append(("prompt", prompt))
    return frozenset(f"{kind}:{name}" for kind, name in [("collection", collection), *named])


def read_tag(given: str) -> str:
    """A tag as somebody wrote it: `document:17`; a name alone is a collection. Raises InvalidRequest."""
    kind, colon, name = given.partition(":")
    if not colon:
        kind, name = "collection", given
    if kind not in KINDS or not name.strip() or "\n" in name:
        raise InvalidRequest(
            f"{given[:80]!r} is no tag of cached answers.",
            code="unknown_tag",
            hint="Write collection:NAME, document:ID, prompt:ID or model:NAME.",
        )
    return f"{kind}:{name}"
