"""The generator: llama.cpp over its C interface, several requests at once. `generator` is what others use of it."""

from appliance.inference.llama.generator import LlamaGenerator

__all__ = ["LlamaGenerator"]
