"""Flags over HTTP and from the command line, on a real server."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from appliance.cli.root import cli
from tests.web.conftest import QUESTION, Service


def test_a_switch_changes_the_next_question_and_no_cached_answer_crosses_it(corpus: Service) -> None:
    with corpus.client() as client:

        def ask() -> Any:
            return client.post("/query", json={"question": QUESTION}).json()

        assert [ask()["cache_hit"] for _ in range(2)] == [False, True]
        made = client.put("/admin/flags/abstain_below?collection=default", json={"value": 1, "reason": "a trial"})
        assert (made.status_code, made.json()["value"], made.json()["source"]) == (200, 1.0, "collection")
        changed = ask()
        assert (changed["cache_hit"], changed["abstained"]) == (False, True)
        assert client.delete("/admin/flags/abstain_below?collection=default").json()["source"] == "setting"
        back = ask()
        assert (back["cache_hit"], back["abstained"]) == (True, False)
        [unset, put] = client.get("/admin/flags/changes").json()["changes"]
        assert (put["after"], put["reason"], put["principal"]) == (1.0, "a trial", "local")
        assert (unset["action"], unset["before"], unset["after"]) == ("unset", 1.0, None)
        assert client.get("/admin/flags/rerank").json()["takes"] == "on or off"


@pytest.mark.parametrize(
    ("name", "body", "status", "code"),
    [
        ("colour", {"value": 1}, 404, "unknown_flag"),
        ("alpha", {"value": "high"}, 400, "invalid_flag"),
        ("alpha", {"value": [1]}, 400, "invalid_request"),
        ("alpha?collection=nowhere", {"value": 0.5}, 404, "unknown_collection"),
        ("rewrite", {"value": "multi"}, 400, "impossible_flag"),
    ],
)
def test_mistakes_are_told(empty: Service, name: str, body: Any, status: int, code: str) -> None:
    with empty.client() as client:
        refused = client.put(f"/admin/flags/{name}", json=body)
        assert (refused.status_code, refused.json()["code"]) == (status, code)


def test_only_admins_switch(service: Service) -> None:
    with service.client("editor") as client:
        assert client.get("/admin/flags").status_code == 403
        assert client.put("/admin/flags/rerank", json={"value": False}).status_code == 403


def test_the_command_line_switches_in_the_running_server(service: Service) -> None:
    def run(*arguments: str) -> Any:
        data = str(service.appliance.paths.root)
        done = CliRunner().invoke(cli, [*arguments, "--data-dir", data, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    server = {"pid": 0, "url": service.url, "key": service.keys["admin"]}
    service.appliance.paths.server.write_text(json.dumps(server))  # as `serve` writes it
    assert run("flags", "set", "rerank", "off", "--reason", "a trial")["value"] is False
    assert service.appliance.flags.choice("default").flags.rerank is False
    assert run("flags", "set", "alpha", "0.25")["value"] == 0.25
    assert run("flags", "set", "alpha", "null")["value"] is None
    assert {flag["name"]: flag["source"] for flag in run("flags", "list")["flags"]}["rerank"] == "everywhere"
    assert run("flags", "unset", "rerank")["value"] is True
    assert len(run("flags", "changes")["changes"]) == 4
    assert run("cache", "purge", "--tag", "document:1")["removed"] == 0
