"""What a claim may change of the sentence that it stands on, and what not."""

import pytest

from appliance.answer.entail import entails
from appliance.words import stem

LAMP = "Since 1988 the lamp at Cape Arran, which Ida Moreau repaired, has not been lit by hand."
AROUND = frozenset(map(stem, ("lighthouse", "Ferrante", "pump")))
BEAT = "Sloane defeated Moreau in 1902."


@pytest.mark.parametrize(
    ("sentence", "claim"),
    [
        (LAMP, LAMP),
        (LAMP, "Since 1988 the lamp at Cape Arran has not been lit by hand."),
        (LAMP, "The lamp at Cape Arran has not been lit by hand since 1988."),
        (BEAT, "Moreau was defeated by Sloane in 1902."),
        ("Moreau was defeated by Sloane in 1902.", BEAT),
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
        (BEAT, "Moreau defeated Sloane in 1902."),
        (BEAT, "Sloane was defeated by Moreau in 1902."),
        (BEAT, "Ferrante defeated Moreau in 1902."),
        (BEAT, "Sloane did not defeat Moreau in 1902."),
        (LAMP, "Since 1988 the lamp at Cape Arran has been lit by hand."),
        ("The first pump failed.", "The last pump failed."),
        ("Most pumps failed.", "All pumps failed."),
        ("The pump may run dry.", "The pump runs dry."),
        ("It may rain, and the lake could rise.", "It may rain, and the lake does rise."),
        ("Critics argue that the lake is deep.", "The lake is deep."),
        ("The lamp was replaced.", "Sloane replaced the lamp."),
        ("The engineer built the lighthouse.", "Lighthouse built the engineer."),
        ("You may ask for a key.", "The lighthouse may ask for a key."),
        ("This is due to salt in the oil.", "The lighthouse is due to salt in the oil."),
        ("Ferrante drew the plan, and the keeper of the lighthouse had it.", "The lighthouse drew the plan."),
        ("The keeper, praised by Moreau, was asleep.", "The pump was asleep."),
        ("The tower has rules that include honesty.", "The tower is honesty."),
        ("The valve in Ferrante's plan leaks.", "The valve in who plan leaks."),
        ("Seals may wear and valves may wear.", "Seals wear and valves may wear."),
        ("You need not ask, nor need you write.", "You need ask, nor need you write."),
        ("Some pumps failed.", "Pumps failed."),
        ("You can leave early, as long as the lamp is lit.", "You can leave early."),
        ("Moreau was defeated by Sloane in 1902.", "Moreau defeated Sloane in 1902."),
    ],
)
def test_what_is_exchanged_denied_or_surer_does_not(sentence: str, claim: str) -> None:
    assert not entails(sentence, claim, AROUND)
