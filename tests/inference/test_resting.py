"""A model whose file cannot be loaded opens the breaker, as one that fails while it writes."""

import threading
import time
from pathlib import Path

import pytest

from appliance.errors import ModelError, Overloaded
from appliance.inference import LlamaGenerator
from appliance.types import GenerationRequest


def test_a_model_that_cannot_be_loaded_rests(tmp_path: Path) -> None:
    path = tmp_path / "torn.gguf"
    path.write_bytes(b"GGUF" + bytes(2000))
    generator = LlamaGenerator.open(path, sha256="0" * 64, threads=1, context_tokens=512, queue_limit=2)
    request = GenerationRequest(({"role": "user", "content": "Hello"},), 8, time.monotonic() + 60)
    try:
        for _ in range(3):
            assert generator.state().resting_s == 0
            with pytest.raises(ModelError):
                generator.generate(request, threading.Event())
        assert generator.state().resting_s > 0
        with pytest.raises(Overloaded) as caught:
            generator.generate(request, threading.Event())
        assert caught.value.code == "generator_resting"
        with pytest.raises(Overloaded):
            generator.count_tokens("Hello")
    finally:
        generator.close()
