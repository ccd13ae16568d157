"""`trust`: whose signatures count, and signing and verifying of files. Works without a server, on files alone."""

from pathlib import Path

import rich_click as click

from appliance.cli.invocation import Invocation, command, group
from appliance.cli.output import print_json, print_table, size

trust = group("trust", "Sign and verify files; list, add and remove the keys that are trusted.")
_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
ORIGINS = {"program": "this program", "host": "this host", "data": "this data directory"}


@command("list", group=trust, examples=["trust list", "trust list --json"])
def show(invocation: Invocation) -> None:
    """List the keys that are trusted, and by whose decision."""
    from appliance.trust import known_keys

    found = known_keys(_folder(invocation))
    if invocation.as_json:
        print_json(
            {"keys": [{"id": k.key.id, "name": k.key.name, "origin": k.origin, "path": str(k.path)} for k in found]}
        )
        return
    rows = [(k.key.id, k.key.name, ORIGINS[k.origin]) for k in found]
    print_table(("key", "name", "trusted by"), rows, empty="No keys: nothing that is signed will be accepted.")


@command("add", group=trust, examples=["trust add indexer.pub"])
@_file
def add(invocation: Invocation, file: Path) -> None:
    """Trust a public key for corpus packs from now on. Compare its id with what its owner tells you by another way."""
    from appliance.trust import add_key, read_public_key

    added = add_key(_folder(invocation), read_public_key(file)).key
    if invocation.as_json:
        print_json({"id": added.id, "name": added.name})
        return
    click.echo(f"Trusted: {added.id} ({added.name}).")


@command("remove", group=trust, examples=["trust remove 3f1c5a9be07d2486"])
@click.argument("key_id")
def remove(invocation: Invocation, key_id: str) -> None:
    """Trust a key of the data directory no more. What was imported with it stays."""
    from appliance.trust import remove_key

    remove_key(_folder(invocation), key_id)
    if invocation.as_json:
        print_json({"removed": key_id})
        return
    click.echo(f"Removed: {key_id}.")


@command("verify", group=trust, examples=["trust verify rag-appliance", "trust verify reports.pack --key indexer.pub"])
@_file
@click.option("--signature", type=click.Path(path_type=Path, dir_okay=False), help="Where it is; else FILE.sig.")
@click.option("--key", type=click.Path(path_type=Path, dir_okay=False), help="Only this public key counts.")
def verify(invocation: Invocation, file: Path, signature: Path | None, key: Path | None) -> None:
    """Check that a trusted key signed this file, byte for byte. Exit code 0 when it did."""
    from appliance.trust import known_keys, read_public_key
    from appliance.trust import verify as verified

    keys = [read_public_key(key)] if key else [known.key for known in known_keys(_folder(invocation))]
    by = verified(file, signature, keys)
    if invocation.as_json:
        print_json({"file": str(file), "key": by.id, "name": by.name})
        return
    click.echo(f"{file} is what {by.name} signed (key {by.id}, {size(file.stat().st_size)}).")


@command("keygen", group=trust, examples=["trust keygen indexer --name 'indexer of example.org'"])
@_file
@click.option("--name", help="Whose key it is, for people; else the name of the file.")
def keygen(invocation: Invocation, file: Path, name: str | None) -> None:
    """Make a key: the secret in FILE, readable by you alone, and the public half in FILE.pub."""
    from appliance.trust import generate_key

    made = generate_key(name or file.name)
    made.write(file)
    if invocation.as_json:
        print_json({"id": made.public.id, "name": made.name, "secret": str(file), "public": f"{file}.pub"})
        return
    click.echo(f"Key {made.public.id}: {file} is secret and signs, {file}.pub is given to those who verify.")


@command("sign", group=trust, examples=["trust sign dist/rag-appliance --key releases"])
@_file
@click.option("--key", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The secret key.")
def sign(invocation: Invocation, file: Path, key: Path) -> None:
    """Sign a file: writes FILE.sig beside it."""
    from appliance.trust import read_signing_key
    from appliance.trust import sign as signed

    with_key = read_signing_key(key)
    written = signed(file, with_key)
    if invocation.as_json:
        print_json({"signature": str(written), "key": with_key.public.id})
        return
    click.echo(f"{written} written with key {with_key.public.id}.")


def _folder(invocation: Invocation) -> Path:
    from appliance.paths import DataPaths

    return DataPaths(invocation.settings().settings.data_dir).trust
