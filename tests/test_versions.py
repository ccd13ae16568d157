"""Versions that a collection left: how long they are known, and what makes them forgotten."""

from appliance.versions import Versions


def test_what_was_left_is_known_for_a_while_and_lasting_versions_alone() -> None:
    now = [0.0]
    versions = Versions(lambda: now[0])
    versions.publish("c", (1, "m"), only_ingested=True)
    for number in range(2, 6):
        now[0] = 100 + number / 10  # a long ingestion: many commits in one second
        versions.publish("c", (number, "m"), only_ingested=True)
    assert versions.published("c") == (5, "m")
    assert versions.left("c", 10) == [(1, "m")]
    now[0] = 110
    assert versions.left("c", 9.9) == [(1, "m")]
    assert versions.left("c", 5) == []
    assert versions.settled("c", 5)
    assert not versions.settled("c", 60)


def test_what_takes_something_away_forgets_them() -> None:
    now = [0.0]
    versions = Versions(lambda: now[0])
    versions.publish("c", (1, "m"), only_ingested=True)
    now[0] = 10
    versions.publish("c", (2, "m"), only_ingested=True)
    assert versions.left("c", 60)
    versions.publish("c", (3, "m"), only_ingested=False)
    assert versions.left("c", 60) == []
    now[0] = 20
    versions.publish("c", (4, "m"), only_ingested=True)
    assert versions.left("c", 60) == [(3, "m")]
    versions.forget_left()
    assert versions.left("c", 60) == []
    assert versions.published("c") == (4, "m")
