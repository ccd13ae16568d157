"""The reader as a torch module: MiniLM with low-rank adapters and one logit a token. Needed for training alone.

Hu et al. 2021, "LoRA" (arXiv:2106.09685): W' = W + B A with B zero at first. Trained are A and B of the six matrices of
each layer, all vectors (biases, norms), the two token types, and the head.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

MATRICES = (
    *(f"attention.self.{part}" for part in ("query", "key", "value")),
    *("attention.output.dense", "intermediate.dense", "output.dense"),
)
NORMS = ("attention.output.LayerNorm", "output.LayerNorm")
TYPES = "embeddings.token_type_embeddings.weight"
LOWEST = -1e4  # the logit of what is no token of the passage


class Reader(nn.Module):
    """(b, s) ids, mask and types -> (b, s) logits: how likely a token of the passage belongs to the answer."""

    def __init__(self, weights: Path, config: Path, rank: int, dropout: float) -> None:
        super().__init__()
        raw = json.loads(config.read_text("utf-8"))
        self.layers, self.heads, self.epsilon = (
            raw["num_hidden_layers"],
            raw["num_attention_heads"],
            raw["layer_norm_eps"],
        )
        self.dropout = dropout
        self.precision = torch.bfloat16  # of the activations and of the weights as they are used
        tensors = load_file(weights)
        self.frozen = {name: value for name, value in tensors.items() if value.ndim == 2 and name != TYPES}
        self.learnt = nn.ParameterDict()
        for name in (TYPES, "embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias"):
            self._learn(name, tensors[name])
        for layer in range(self.layers):
            for matrix in MATRICES:
                name = f"encoder.layer.{layer}.{matrix}"
                rows, columns = tensors[f"{name}.weight"].shape
                self._learn(f"{name}.lora_a", torch.randn(rank, columns) / columns**0.5)
                self._learn(f"{name}.lora_b", torch.zeros(rows, rank))
                self._learn(f"{name}.bias", tensors[f"{name}.bias"])
            for norm in NORMS:
                for part in ("weight", "bias"):
                    name = f"encoder.layer.{layer}.{norm}.{part}"
                    self._learn(name, tensors[name])
        self._learn("head.weight", torch.zeros(1, raw["hidden_size"]))
        self._learn("head.bias", torch.full((1,), -4.0))

    def adapter(self) -> dict[str, Tensor]:
        """What was learnt, by the names of the source."""
        return {name.replace("/", "."): value.detach().clone() for name, value in self.learnt.items()}

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor, passage: Tensor) -> Tensor:
        """`passage` (b, s) is 1 where a logit counts; elsewhere it is LOWEST."""
        words = functional.embedding(ids, self.frozen["embeddings.word_embeddings.weight"])
        places = self.frozen["embeddings.position_embeddings.weight"][: ids.shape[1]]
        summed = words + places + functional.embedding(types, self._own(TYPES))
        x = functional.dropout(
            self._norm(summed.to(self.precision), "embeddings.LayerNorm"), self.dropout, self.training
        )
        absent = ((1 - mask) * LOWEST)[:, None, None, :].to(self.precision)
        for layer in range(self.layers):
            x = self._layer(x, absent, f"encoder.layer.{layer}")
        logits = functional.linear(x.float(), self._own("head.weight"), self._own("head.bias"))[..., 0]
        return logits.masked_fill(passage == 0, LOWEST)

    def _layer(self, x: Tensor, absent: Tensor, name: str) -> Tensor:
        batch, length, hidden = x.shape
        split = [
            self._dense(x, f"{name}.attention.self.{part}").view(batch, length, self.heads, -1).transpose(1, 2)
            for part in ("query", "key", "value")
        ]
        # three products: the fused attention of torch takes twice as long backwards on a processor
        scores = (split[0] * split[0].shape[-1] ** -0.5) @ split[1].transpose(2, 3) + absent
        mixed = scores.softmax(-1) @ split[2]
        joined = mixed.transpose(1, 2).reshape(batch, length, hidden)
        x = self._norm(x + self._dense(joined, f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm")
        wide = functional.gelu(self._dense(x, f"{name}.intermediate.dense"))
        return self._norm(x + self._dense(wide, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _dense(self, x: Tensor, name: str) -> Tensor:
        low_rank = self._own(f"{name}.lora_b") @ self._own(f"{name}.lora_a")
        weight = (self.frozen[f"{name}.weight"] + low_rank).to(self.precision)
        return functional.linear(x, weight, self._own(f"{name}.bias").to(self.precision))

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = (self._own(f"{name}.{part}").to(x.dtype) for part in ("weight", "bias"))
        return functional.layer_norm(x, (x.shape[-1],), weight, bias, self.epsilon)

    def _learn(self, name: str, value: Tensor) -> None:
        self.learnt[name.replace(".", "/")] = nn.Parameter(value.clone())

    def _own(self, name: str) -> Tensor:
        return self.learnt[name.replace(".", "/")]
