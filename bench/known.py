"""`bench retrieval` and `bench answers` without judged data: the handbook's questions, or a file of the operator's own.

Asked over HTTP of a server of its own: on the handbook, or with a questions file on a copy of the operator's data. A
document is the right one when its source ends with the name that the question's row gives.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from appliance.config import Settings
from appliance.errors import InvalidRequest
from appliance.paths import HANDBOOK
from bench.handbook_questions import QUESTIONS, Known
from bench.own import NO_CACHE
from bench.scenarios import Target
from bench.serving import call
from bench.target import Source, read_questions, site

K = 10
HINT = 'Give rows a "document" (the end of its source), and an "answer" (words that stand in it).'


def retrieval(settings: Settings, questions: Path | None = None, collection: str = "default") -> dict[str, Any]:
    """{"runs": [{"name", "hit@1", "hit@10", "mrr@10", "p50_ms", "p95_ms"}], "documents", "passages", "queries"}.

    Shares from 0 to 1, by documents. Raises InvalidRequest.
    """
    asked = [one for one in _asked(questions) if one.document]
    if not asked:
        raise InvalidRequest("No question names the document that answers it.", code="bad_data", hint=HINT)
    with site(_source(questions, collection), settings) as place, place.target(**NO_CACHE) as target:
        runs = [_searched(name, asked, target, body) for name, body in
                (("served", {}), ("dense", {"alpha": 1.0}), ("bm25", {"alpha": 0.0}))]  # fmt: skip
        return {"runs": runs, "documents": place.documents, "passages": place.passages, "queries": len(asked),
                "source": place.told}  # fmt: skip


def answers(settings: Settings, questions: Path | None = None, collection: str = "default") -> dict[str, Any]:
    """{"runs": [{"name", ...}], "documents", "passages", "queries"}: how often the answer is shown, from the right
    document, and how often questions are declined, those that can be answered and those that cannot.

    Raises InvalidRequest.
    """
    asked = _asked(questions)
    with site(_source(questions, collection), settings) as place, place.target(**NO_CACHE) as target:
        return {"runs": _answered(asked, target), "documents": place.documents, "passages": place.passages,
                "queries": len(asked), "source": place.told}  # fmt: skip


def _asked(questions: Path | None) -> Sequence[Known]:
    if questions is None:
        return QUESTIONS
    rows = read_questions(questions)
    return [Known(str(row["question"]), str(row.get("document") or ""), str(row.get("answer") or "")) for row in rows]


def _source(questions: Path | None, collection: str) -> Source:
    return Source(data=HANDBOOK) if questions is None else Source(collection=collection, questions=questions)


def _searched(name: str, asked: Sequence[Known], target: Target, body: dict[str, Any]) -> dict[str, Any]:
    ranks: list[int] = []  # 0: not among the first K
    times: list[float] = []
    for one in asked:
        began = time.perf_counter()
        wanted = {"question": one.question, "collection": target.collection, "k": 5 * K, **body}
        hits = call(target.url, target.key, "/search", wanted)["hits"]
        times.append(1000 * (time.perf_counter() - began))
        sources = list(dict.fromkeys(hit["source"] for hit in hits))[:K]
        ranks.append(next((rank for rank, source in enumerate(sources, 1) if source.endswith(one.document)), 0))
    return {
        "name": name,
        "hit@1": round(mean(rank == 1 for rank in ranks), 4),
        "hit@10": round(mean(rank > 0 for rank in ranks), 4),
        "mrr@10": round(mean(1 / rank if rank else 0.0 for rank in ranks), 4),
        **_quantiles(times),
    }


def _answered(asked: Sequence[Known], target: Target) -> list[dict[str, Any]]:
    shown: list[bool] = []
    cited: list[bool] = []
    declined: dict[bool, list[bool]] = {True: [], False: []}  # by whether the documents know it
    times: list[float] = []
    for one in asked:
        began = time.perf_counter()
        body = {"question": one.question, "collection": target.collection, "mode": "extractive"}
        told = call(target.url, target.key, "/query", body)
        times.append(1000 * (time.perf_counter() - began))
        citations = [citation for claim in told["claims"] for citation in claim["citations"]]
        if one.answer:
            text = " ".join(citation["quote"] for citation in citations)
            shown.append(_plain(one.answer) in _plain(text))
        if one.document:
            cited.append(any(citation["source"].endswith(one.document) for citation in citations))
        declined[bool(one.document or one.answer)].append(told["abstained"])
    answered = {"answer_shown": shown, "right_document": cited, "wrongly_declined": declined[True]}
    runs = [{"name": "can be answered", **{name: round(mean(found), 4) for name, found in answered.items() if found},
             **_quantiles(times)}]  # fmt: skip
    if declined[False]:
        runs.append({"name": "cannot be answered", "rightly_declined": round(mean(declined[False]), 4)})
    return runs


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _quantiles(times: Sequence[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {"p50_ms": round(ordered[len(ordered) // 2], 2), "p95_ms": round(ordered[int(0.95 * len(ordered))], 2)}
