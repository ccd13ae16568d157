"""The figures of `bench answers` about refusing, on made-up strengths; its data sets where they are broken."""

from pathlib import Path

import numpy as np
import pytest

from appliance.config import Settings
from appliance.errors import InvalidRequest
from bench import answer_parts, syllabi
from bench.refusals import area_under_roc, refusal


def test_the_area_is_the_share_of_pairs_in_order_and_a_tie_is_half_of_one() -> None:
    assert area_under_roc(np.array([0.9, 0.8]), np.array([0.1, 0.8])) == pytest.approx(3.5 / 4)
    assert area_under_roc(np.array([0.5]), np.array([0.5])) == 0.5


def test_precision_and_recall_are_those_of_refusing() -> None:
    told = refusal(np.array([0.9, 0.2, 0.1, 0.8]), np.array([True, True, False, False]), 0.5)
    assert (told["precision"], told["recall"]) == (0.5, 0.5)
    assert (told["answerable_kept"], told["others_refused"]) == (0.5, 0.5)


def test_syllabi_in_another_form_are_told(tmp_path: Path) -> None:
    (tmp_path / "pdf").mkdir()
    (tmp_path / "questions.jsonl").write_text('{"question": "When?"}\n', "utf-8")
    assert syllabi.is_syllabusqa(tmp_path)
    with pytest.raises(InvalidRequest, match="form of SyllabusQA"):
        answer_parts.run(tmp_path, Settings(data_dir=tmp_path / "data", threads=1), (), 1, lambda told: None)


@pytest.mark.slow
def test_syllabi_of_which_none_can_be_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "pdf").mkdir()
    (tmp_path / "pdf" / "torn.pdf").write_bytes(b"%PDF-1.4 torn")
    row = '{"question": "When?", "document": "torn", "type": "no answer"}\n'
    (tmp_path / "questions.jsonl").write_text(row, "utf-8")
    with pytest.raises(InvalidRequest, match="too few questions"):
        answer_parts.run(tmp_path, Settings(data_dir=tmp_path / "data", threads=1), (), 1, lambda told: None)
