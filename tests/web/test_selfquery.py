"""Self-query over HTTP: what was understood is shown, can be overruled, and never hides an answer."""

from collections.abc import Callable

import pytest

from tests.web.conftest import Service

QUESTION = "What did the reports by Ada say about pumps after 2020?"


@pytest.mark.slow
def test_self_query_over_http(open_service: Callable[..., Service]) -> None:
    service = open_service()
    for number, (author, year) in enumerate((("Ada Lovelace", 2021), ("Bob", 2022), ("Ada Lovelace", 2019))):
        text = f"The report says that the pumps run well in plant {number}."
        service.add(f"{number}.txt", text, metadata={"author": author, "year": year})

    with service.client("reader") as client:

        def found(question: str = QUESTION, **more: object) -> tuple[set[str], dict[str, object] | None]:
            body = client.post("/search", json={"question": question, **more}).json()
            return {hit["source"] for hit in body["hits"]}, body["understood"]

        everything = {"0.txt", "1.txt", "2.txt"}
        assert found() == (everything, None)
        assert found(self_query=False) == (everything, None)

        hits, understood = found(self_query=True)
        assert understood is not None
        assert hits == {"0.txt"}
        assert understood["applied"] is True
        assert understood["filters"] == '(author = "ada lovelace" and year > 2020)'
        assert understood["text"] == "What did the reports say about pumps?"
        parts = understood["parts"]
        assert isinstance(parts, list)
        assert [part["condition"] for part in parts] == ['author = "ada lovelace"', "year > 2020"]
        assert all(QUESTION[part["start"] : part["end"]] == part["text"] for part in parts)

        hits, understood = found(self_query="suggest")
        assert hits == everything
        assert understood is not None
        assert (understood["applied"], understood["filters"]) == (False, '(author = "ada lovelace" and year > 2020)')

        hits, understood = found(self_query=True, filters={"author": "Bob"})  # what is given wins for its field
        assert hits == {"1.txt"}
        assert understood is not None
        assert understood["filters"] == "year > 2020"

        hits, understood = found(question="reports by Ada about pumps after 2024", self_query=True)
        assert hits == everything
        assert understood is not None
        assert not understood["applied"]
        assert "without what was understood" in str(understood["notice"])

        asked = {"question": QUESTION, "self_query": True}
        answer = client.post("/query", json=asked).json()
        assert {source["source"] for source in answer["sources"]} == {"0.txt"}
        assert answer["understood"]["applied"] is True
        again = client.post("/query", json=asked).json()
        assert again["cache_hit"] is True
        assert again["understood"] == answer["understood"]
        assert client.post("/query", json={"question": QUESTION}).json()["understood"] is None

        narrowed = {"question": "What does the report by Bob say about pumps?", "self_query": True}
        answer = client.post("/query", json=narrowed).json()  # whose text does not name Bob
        assert "plant 1" in answer["answer"]
        assert answer["understood"]["text"] == "What does the report say about pumps?"

        hits, understood = found(question="reports by Ada about pumps", self_query=True, filters={"year": 2022})
        assert hits == {"1.txt"}  # Bob's: what is given holds in any case
        assert understood is not None
        assert "beside the filters that were given" in str(understood["notice"])
        nothing = client.post("/search", json={"question": "pumps", "filters": {"year": 1990}}).json()
        assert (nothing["hits"], nothing["notice"]) == ([], "No document passes the filter.")

        asked = {"question": "What did Donald Knuth write in reports by Donald Knuth about pumps?", "self_query": True}
        unknown = client.post("/query", json=asked).json()["understood"]
        assert unknown["filters"] == ""
        assert "No author is called Donald Knuth" in unknown["notice"]
        assert client.post("/query", json=asked).json()["cache_hit"] is True

        for wrong in ("yes", 1, "on"):
            refused = client.post("/search", json={"question": "a", "self_query": wrong})
            assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "self_query")


@pytest.mark.slow
def test_the_setting_decides_where_the_question_does_not(open_service: Callable[..., Service]) -> None:
    service = open_service(self_query="on")
    service.add("a.txt", "The pumps of plant one run well.", metadata={"place": "Oslo"})
    service.add("b.txt", "The pumps of plant two run well.", metadata={"place": "Rome"})
    with service.client("reader") as client:
        for body, count in (({}, 1), ({"self_query": False}, 2), ({"self_query": "suggest"}, 2)):
            hits = client.post("/search", json={"question": "How do the pumps in Oslo run?", **body}).json()["hits"]
            assert len(hits) == count
