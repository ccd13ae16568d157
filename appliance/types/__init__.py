"""The values that flow through the appliance: frozen, slotted, without behaviour beyond what derives from them.

Offsets are character positions (Python `str` indices) into the canonical text of a document, `[start, end)`.
"""

from appliance.types.access import Principal, Role
from appliance.types.answers import AbstainReason, Answer, Citation, Claim, Usage
from appliance.types.arrays import Ids, Matrix, Metadata, MetadataValue, Vector
from appliance.types.context import GAP, Context, ContextPassage, Piece
from appliance.types.documents import (
    Block,
    BlockKind,
    Chunk,
    ChunkSpan,
    Document,
    DocumentInfo,
    EmbeddedChunk,
    NewDocument,
    Page,
    ReadDocument,
    SentenceVectors,
)
from appliance.types.fields import FieldInfo, FieldType
from appliance.types.filters import AllOf, AnyOf, Comparison, Filter, Not
from appliance.types.models import (
    CancelToken,
    Candidate,
    Embedder,
    Generated,
    GenerationRequest,
    Generator,
    Passage,
    PassageVectors,
    Reranker,
    RerankRequest,
    TokenSink,
)
from appliance.types.questions import Expand, Fusion, Hit, Mode, Query, QueryShape, SearchResult, Turn

__all__ = [
    "GAP",
    "AbstainReason",
    "AllOf",
    "Answer",
    "AnyOf",
    "Block",
    "BlockKind",
    "CancelToken",
    "Candidate",
    "Chunk",
    "ChunkSpan",
    "Citation",
    "Claim",
    "Comparison",
    "Context",
    "ContextPassage",
    "Document",
    "DocumentInfo",
    "EmbeddedChunk",
    "Embedder",
    "Expand",
    "FieldInfo",
    "FieldType",
    "Filter",
    "Fusion",
    "Generated",
    "GenerationRequest",
    "Generator",
    "Hit",
    "Ids",
    "Matrix",
    "Metadata",
    "MetadataValue",
    "Mode",
    "NewDocument",
    "Not",
    "Page",
    "Passage",
    "PassageVectors",
    "Piece",
    "Principal",
    "Query",
    "QueryShape",
    "ReadDocument",
    "RerankRequest",
    "Reranker",
    "Role",
    "SearchResult",
    "SentenceVectors",
    "TokenSink",
    "Turn",
    "Usage",
    "Vector",
]
