"""`version`: which release this is and what it is built on."""

import rich_click as click

from appliance.cli.invocation import Invocation, command
from appliance.cli.output import print_json, print_pairs

PARTS = ("onnxruntime", "llama-cpp-python", "apsw", "hnswlib", "tokenizers", "kreuzberg", "litestar", "numpy")


@command("version", examples=["version", "version --json", "version --all"])
@click.option("--all", "with_parts", is_flag=True, help="Also the versions of the libraries it is built on.")
def version(invocation: Invocation, with_parts: bool) -> None:
    """Print version and commit; of a binary also the digest of its files and what it was built with."""
    from appliance.release import this_release

    release = this_release()
    parts = _parts() if with_parts or invocation.as_json else {}
    if invocation.as_json:
        told = {"version": release.version, "commit": release.commit, "digest": release.digest}
        print_json({**told, "built_with": release.built_with, "parts": parts})
        return
    click.echo(f"rag-appliance {release.version}")
    pairs = [("commit", release.commit), ("digest", release.digest), *release.built_with.items(), *parts.items()]
    print_pairs([(name, value) for name, value in pairs if value])


def _parts() -> dict[str, str]:
    import platform
    from importlib import metadata

    return {"python": platform.python_version(), **{name: metadata.version(name) for name in PARTS}}
