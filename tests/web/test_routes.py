"""What a route changes, the next request sees: keys, documents, collections."""

from typing import Any

import pytest

from tests.web.conftest import CORPUS, Service


@pytest.mark.slow
def test_both_key_headers(corpus: Service) -> None:
    with corpus.client(None) as client:
        key = corpus.keys["reader"]
        assert client.get("/documents", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert client.get("/documents", headers={"Authorization": f"bearer {key}"}).status_code == 200
        assert client.get("/documents", headers={"X-API-Key": key}).status_code == 200
        assert client.get("/documents", headers={"Authorization": f"Basic {key}"}).status_code == 401


def test_revoked_key_stops_at_once(service: Service) -> None:
    with service.client() as admin:
        made = admin.post("/admin/keys", json={"name": "short-lived", "role": "reader"}).json()
        with service.client(None, headers={"X-API-Key": made["key"]}) as client:
            assert client.get("/documents").status_code == 200
            assert admin.delete(f"/admin/keys/{made['id']}").json() == {"revoked": made["id"]}
            assert client.get("/documents").status_code == 401


@pytest.mark.slow
def test_delete_takes_effect_at_once(corpus: Service) -> None:
    with corpus.client("editor") as client:
        found = client.post("/search", json={"question": "boiler serviced engineer"}).json()["hits"]
        document_id = next(hit["document_id"] for hit in found if hit["source"] == "notes/heating.txt")
        assert client.delete(f"/documents/{document_id}").json() == {"deleted": [document_id]}
        assert client.get(f"/documents/{document_id}").status_code == 404
        again = client.post("/search", json={"question": "boiler serviced engineer"})
        assert "licensed engineer" not in again.text
        assert client.delete(f"/documents/{document_id}").status_code == 404


@pytest.mark.slow
def test_paging_visits_every_document_once(library: Service) -> None:
    seen: list[str] = []
    after = 0
    with library.client("reader") as client:
        while after is not None:
            page = client.get("/documents", params={"limit": 1, "after": after}).json()
            seen += [document["source"] for document in page["documents"]]
            after = page["next"]
    assert sorted(seen) == sorted(CORPUS)


@pytest.mark.slow
def test_dropping_a_collection(service: Service) -> None:
    service.add("a", "Something about penguins in the south.", collection="birds")
    with service.client() as client:
        assert "penguins" in client.post("/search", json={"question": "penguins", "collection": "birds"}).text
        assert client.delete("/collections/birds").json() == {"dropped": "birds"}
        assert client.post("/search", json={"question": "penguins", "collection": "birds"}).status_code == 404


def test_auth_off_makes_everyone_admin(open_service: Any) -> None:
    service = open_service(auth="off")
    with service.client(None) as client:
        assert client.get("/admin/keys").status_code == 200
        assert client.get("/documents", headers={"X-API-Key": "rag_whatever"}).status_code == 200
