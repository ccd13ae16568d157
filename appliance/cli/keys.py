"""`keys`: who may ask, and who may change things."""

import rich_click as click

from appliance.cli.invocation import Invocation, command, group
from appliance.cli.output import moment, print_json, print_table

keys = group("keys", "Make, list and revoke API keys.")


@command("create", group=keys, examples=["keys create reporting", "keys create importer --role editor --json"])
@click.argument("name")
@click.option("--role", type=click.Choice(["reader", "editor", "admin"]), default="reader", show_default=True,
              help="reader asks; editor also ingests and deletes; admin does everything.")  # fmt: skip
def create(invocation: Invocation, name: str, role: str) -> None:
    """Make an API key and print it, once: only its hash is kept."""
    with invocation.connect() as client:
        made = client.post("/admin/keys", {"name": name, "role": role})
    if invocation.as_json:
        print_json(made)
        return
    click.echo(made["key"])
    click.echo(f"Key {made['id']} ({role}). It cannot be shown again.", err=True)


@command("list", group=keys, examples=["keys list", "keys list --json"])
def show(invocation: Invocation) -> None:
    """List the keys with id, name, role and times; never the keys themselves."""
    with invocation.connect() as client:
        listed = client.get("/admin/keys")
    if invocation.as_json:
        print_json(listed)
        return
    columns = ("id", "name", "role", "made", "revoked")
    rows = [(k["id"], k["name"], k["role"], moment(k["created_at"]), moment(k["revoked_at"])) for k in listed["keys"]]
    print_table(columns, rows, empty="No keys.")


@command("revoke", group=keys, examples=["keys revoke 3f9c2a71"])
@click.argument("key_id")
def revoke(invocation: Invocation, key_id: str) -> None:
    """Revoke a key by its id (`keys list` shows it). It stops working at once."""
    with invocation.connect() as client:
        client.delete(f"/admin/keys/{key_id}")
    if invocation.as_json:
        print_json({"revoked": key_id})
    else:
        click.echo(f"Key {key_id} is revoked.")
