"""What a claim may change of the sentence that it stands on, and what not."""

import pytest

from appliance.answer.entail import entails
from appliance.words import stem

LAMP = "Since 1988 the lamp at Cape Arran, which Ida Moreau repaired, has not been lit by hand."
AROUND = frozenset(map(stem, ("lighthouse", "Ferrante", "beaten", "pump")))
BEAT = "Sloane beat Moreau in 1902."


@pytest.mark.parametrize(
    ("sentence", "claim"),
    [
        (LAMP, LAMP),
        (LAMP, "Since 1988 the lamp at Cape Arran has not been lit by hand."),
        (LAMP, "The lamp at Cape Arran has not been lit by hand since 1988."),
        (BEAT, "Moreau was beaten by Sloane in 1902."),
        (BEAT, "In 1902."),
        ("It was built by Margaret Sloane.", "The lighthouse was built by Margaret Sloane."),
        ("The pump may run dry.", "Yes, the pump may run dry."),
        ("Critics argue that the lake is deep.", "Critics argue that the lake is deep."),
    ],
)
def test_what_is_left_out_moved_or_turned_round_stands(sentence: str, claim: str) -> None:
    assert entails(sentence, claim, AROUND)


@pytest.mark.parametrize(
    ("sentence", "claim"),
    [
        (BEAT, "Moreau beat Sloane in 1902."),
        (BEAT, "Sloane was beaten by Moreau in 1902."),
        (BEAT, "Ferrante beat Moreau in 1902."),
        (BEAT, "Sloane did not beat Moreau in 1902."),
        (LAMP, "Since 1988 the lamp at Cape Arran has been lit by hand."),
        ("The first pump failed.", "The last pump failed."),
        ("Most pumps failed.", "All pumps failed."),
        ("The pump may run dry.", "The pump runs dry."),
        ("It may rain, and the lake could rise.", "It may rain, and the lake does rise."),
        ("Critics argue that the lake is deep.", "The lake is deep."),
        ("The lamp was replaced.", "Sloane replaced the lamp."),
        ("The engineer built the lighthouse.", "Lighthouse built the engineer."),
    ],
)
def test_what_is_exchanged_denied_or_surer_does_not(sentence: str, claim: str) -> None:
    assert not entails(sentence, claim, AROUND)
