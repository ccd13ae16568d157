"""Settings: their sources in order, and every mistake of every source told at once."""

from pathlib import Path

import pytest

from appliance.config import load_settings
from appliance.errors import ConfigError


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("CONFIG", "PORT", "HOST", "ALLOWED_HOSTS", "INGEST_ROOTS"):
        monkeypatch.delenv(f"RAG_APPLIANCE_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "rag.yaml"


def test_later_sources_win(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("port: 1001\nhost: 0.0.0.0\nchunk_tokens: 100\n")
    Path(".env").write_text("RAG_APPLIANCE_PORT=1002\nRAG_APPLIANCE_HOST=::1\n")
    monkeypatch.setenv("RAG_APPLIANCE_PORT", "1003")
    loaded = load_settings({"data_dir": "x"}, config)
    assert (loaded.settings.port, loaded.settings.host, loaded.settings.chunk_tokens) == (1003, "::1", 100)
    assert loaded.settings.data_dir == Path.cwd() / "x"
    origins = {name: loaded.origins[name] for name in ("port", "host", "chunk_tokens", "data_dir", "threads")}
    assert origins == {
        "port": "environment",
        "host": ".env",
        "chunk_tokens": str(config),
        "data_dir": "argument",
        "threads": "default",
    }


def test_all_mistakes_are_told_at_once(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("port: 99999\nhots: 1.2.3.4\nabstain_below: high\nallowed_hosts: ['http://x']\n")
    monkeypatch.setenv("RAG_APPLIANCE_CACHE_TTL_S", "-1")
    with pytest.raises(ConfigError) as refused:
        load_settings({}, config)
    told = str(refused.value)
    for part in ("port", "did you mean `host`?", "abstain_below", "'http://x' is not a host name", "CACHE_TTL_S"):
        assert part in told
    assert "Value error" not in told


@pytest.mark.parametrize("content", ["a: [", "- 1", "\x00", "just words"])
def test_a_file_that_is_no_configuration(config: Path, content: str) -> None:
    config.write_text(content)
    with pytest.raises(ConfigError, match=r"rag\.yaml"):
        load_settings({}, config)


def test_a_missing_file_is_told(config: Path) -> None:
    with pytest.raises(ConfigError, match="check the path given with --config"):
        load_settings({}, config)


def test_lists_in_the_environment(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_APPLIANCE_ALLOWED_HOSTS", "RAG.example.org., rag  intranet_1")
    monkeypatch.setenv("RAG_APPLIANCE_INGEST_ROOTS", "/srv/a:/srv/b")
    settings = load_settings({}).settings
    assert settings.allowed_hosts == ["rag.example.org", "rag", "intranet_1"]
    assert settings.ingest_roots == [Path("/srv/a"), Path("/srv/b")]


@pytest.mark.parametrize("name", ["a b", "http://a", "a:80", "a/b", "", "-a", "*.example.org", "a..b"])
def test_what_is_no_host_name(config: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="allowed_hosts"):
        load_settings({"allowed_hosts": [name]})


ROUTE = {"name": "short", "mode": "extractive", "words_to": 3}


def test_routes_from_a_file_and_from_the_environment(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("routes:\n  - name: short\n    mode: extractive\n    words_to: 3\n")
    assert load_settings({}, config=config).settings.routes == load_settings({"routes": [ROUTE]}).settings.routes
    monkeypatch.setenv("RAG_APPLIANCE_ROUTES", '[{"name": "short", "mode": "extractive", "words_to": 3}]')
    assert load_settings({}).settings.routes[0].words_to == 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mode": "poetic"}, "routes.* at 0.mode"),
        ({"shape": ["round"]}, "routes.* at 0.shape.0"),
        ({"words": 3}, "routes.* at 0.words"),
        ({"name": ""}, "needs a name"),
        ({"words_from": 4}, "never be taken"),
        ({"role": ["king"]}, "routes.* at 0.role.0"),
    ],
)
def test_a_route_that_cannot_be(change: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_settings({"routes": [ROUTE | change]})


def test_routes_have_names_of_their_own() -> None:
    with pytest.raises(ConfigError, match="same name"):
        load_settings({"routes": [ROUTE, ROUTE | {"mode": "auto"}]})
