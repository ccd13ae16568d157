"""The fields of a collection over HTTP, and filters that ask for what is not there."""

import pytest

from tests.web.conftest import Service


@pytest.mark.slow
def test_fields_and_their_errors(service: Service) -> None:
    service.add(
        "a", "The pump runs.", metadata={"year": 2020, "held": "2020-03-15", "tags": ["x", "y"], "author": "Ada"}
    )
    service.add("b", "The valve leaks.", metadata={"year": 1999.5})
    with service.client("reader") as client:
        found = client.get("/collections/default/fields").json()
        assert found["collection"] == "default"
        fields = {field["name"]: field for field in found["fields"]}
        assert [(name, field["type"], field["of"]) for name, field in fields.items()] == [
            ("author", "text", None),
            ("held", "date", None),
            ("tags", "list", "text"),
            ("year", "number", None),
        ]
        assert fields["year"] | {"least": 1999.5, "greatest": 2020.0, "documents": 2, "distinct": 2} == fields["year"]
        assert fields["author"]["examples"] == ["Ada"]

        hits = client.post("/search", json={"question": "pump", "filters": "held >= 2020"}).json()["hits"]
        assert [hit["source"] for hit in hits] == ["a"]
        for filters, code in (("yaer = 2020", "unknown_field"), ('year contains "2"', "wrong_type")):
            for route in ("/search", "/query"):
                problem = client.post(route, json={"question": "pump", "filters": filters})
                assert (problem.status_code, problem.json()["code"]) == (400, code)
                assert "year" in problem.json()["hint"] + problem.json()["detail"]
        assert client.get("/collections/nope/fields").json()["code"] == "unknown_collection"
    with service.client(None) as client:
        assert client.get("/collections/default/fields").status_code == 401
