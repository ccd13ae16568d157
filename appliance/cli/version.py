"""`version`: which release this is and what it is built on."""

import rich_click as click

from appliance import __version__
from appliance.cli.invocation import Invocation, command
from appliance.cli.output import print_json, print_pairs

PARTS = ("onnxruntime", "llama-cpp-python", "apsw", "hnswlib", "tokenizers", "kreuzberg", "litestar", "numpy")


@command("version", examples=["version", "version --json", "version --all"])
@click.option("--all", "with_parts", is_flag=True, help="Also the versions of the libraries it is built on.")
def version(invocation: Invocation, with_parts: bool) -> None:
    """Print the version."""
    parts = _parts() if with_parts or invocation.as_json else {}
    if invocation.as_json:
        print_json({"version": __version__, "parts": parts})
        return
    click.echo(f"rag-appliance {__version__}")
    if parts:
        print_pairs(list(parts.items()))


def _parts() -> dict[str, str]:
    import platform
    from importlib import metadata

    return {"python": platform.python_version(), **{name: metadata.version(name) for name in PARTS}}
