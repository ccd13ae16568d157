"""Models that run in this process: embedders (onnxruntime), the generator (llama.cpp), and the files they come from."""

from appliance.inference.embed import OnnxEmbedder
from appliance.inference.embedders import Embedders, open_embedder
from appliance.inference.hash_embed import HashEmbedder
from appliance.inference.llama import LlamaGenerator
from appliance.inference.metered import Metered, SharedTime
from appliance.inference.passage_reader import OnnxReader
from appliance.inference.registry import ModelFile, ModelRegistry
from appliance.inference.rerank import CrossEncoder
from appliance.inference.scripted import ScriptedGenerator
from appliance.pulse import Pulse
from appliance.types import Generator, GeneratorState, PassageReader, Reranker

__all__ = [
    "CrossEncoder",
    "Embedders",
    "HashEmbedder",
    "LlamaGenerator",
    "Metered",
    "ModelFile",
    "ModelRegistry",
    "OnnxEmbedder",
    "OnnxReader",
    "ScriptedGenerator",
    "SharedTime",
    "describe",
    "generator_state",
    "open_embedder",
    "open_generator",
    "open_reader",
    "open_reranker",
]

READER = "minilm-l6-v2-reader.int8"


def open_reader(registry: ModelRegistry, *, threads: int) -> PassageReader:
    """The bundled reader, its files checked but not loaded.

    Raises ModelError naming the file that is missing, torn or foreign.
    """
    model = registry.resolve(READER, "reranker")
    assert model.tokenizer is not None
    return OnnxReader(model.path, model.tokenizer, threads=threads)


def open_reranker(registry: ModelRegistry, name: str) -> Reranker | None:
    """The cross-encoder of that name, its files checked; None for `none`.

    Raises ModelError naming the file that is missing, torn or foreign.
    """
    if name == "none":
        return None
    model = registry.resolve(name, "reranker")
    assert model.tokenizer is not None  # a reranker without one is refused by the registry
    return CrossEncoder.open(model.path, model.tokenizer)


def describe(generator: Generator) -> str:
    """Its name, and what it takes of the host. Raises ModelError for a file that is no model."""
    if not isinstance(generator, LlamaGenerator):
        return generator.name
    return f"{generator.name}: {generator.budget}, kernels {generator.kernels}"


def generator_state(generator: Generator) -> GeneratorState:
    """What it does at this moment. Waits for nothing; the scripted one is always at hand."""
    return generator.state() if isinstance(generator, LlamaGenerator) else GeneratorState(0, 1, True, 0.0)


def open_generator(
    registry: ModelRegistry,
    name: str,
    *,
    threads: int,
    context_tokens: int,
    queue_limit: int,
    slots: int = 0,
    memory_bytes: int = 0,
    pulse: Pulse | None = None,
) -> Generator | None:
    """The generator of that name, its file checked but not loaded; None for `none`; `scripted` is the built-in one.

    Raises ModelError naming the file that is missing, torn or foreign.
    """
    if name == "none":
        return None
    if name == "scripted":
        return ScriptedGenerator(default="I do not know.", context_tokens=context_tokens)
    model = registry.resolve(name, "generator")
    return LlamaGenerator.open(
        model.path, sha256=model.sha256, threads=threads, context_tokens=context_tokens, queue_limit=queue_limit,
        slots=slots, memory_bytes=memory_bytes, pulse=pulse,
    )  # fmt: skip
