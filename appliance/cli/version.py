"""`version`: which release this is and what it is built on."""

import rich_click as click

from appliance.cli.invocation import Invocation, command
from appliance.cli.output import print_json, print_pairs
from appliance.cli.problem import Problem

PARTS = ("onnxruntime", "llama-cpp-python", "apsw", "hnswlib", "tokenizers", "kreuzberg", "litestar", "numpy")


@command("version", examples=["version", "version --json", "version --all", "version --sbom > sbom.json"])
@click.option("--all", "with_parts", is_flag=True, help="Also the versions of the libraries it is built on.")
@click.option("--sbom", "with_sbom", is_flag=True, help="The bill of materials (CycloneDX, JSON) of this binary.")
def version(invocation: Invocation, with_parts: bool, with_sbom: bool) -> None:
    """Print version and commit; of a binary also the digest of its files and what it was built with."""
    from appliance.release import SBOM, this_release
    from appliance.store.migrations import migrations

    if with_sbom:
        if not SBOM.exists():
            raise Problem("A checkout has no bill of materials.", status=404, code="no_sbom",
                          hint="`make binary` writes one; build/locks lists what a checkout runs on.")  # fmt: skip
        click.echo(SBOM.read_text("utf-8"), nl=False)
        return
    release = this_release()
    parts = _parts() if with_parts or invocation.as_json else {}
    if invocation.as_json:
        told = {
            "version": release.version,
            "commit": release.commit,
            "digest": release.digest,
            "schema": len(migrations()),
        }
        print_json({**told, "built_with": release.built_with, "parts": parts})
        return
    click.echo(f"rag-appliance {release.version}")
    pairs = [("commit", release.commit), ("digest", release.digest), *release.built_with.items(), *parts.items()]
    print_pairs([(name, value) for name, value in pairs if value])


def _parts() -> dict[str, str]:
    import platform
    from importlib import metadata

    return {"python": platform.python_version(), **{name: metadata.version(name) for name in PARTS}}
