# SPDX-License-Identifier: Apache-2.0
"""`bureau log-key`: change the key that the log signs with, with an overlap as long as others need."""

import click

from app import config, sealer
from app.commands import as_json, command, main, say
from audit import log, log_keys, trail
from kernel import db


@main.group("log-key")
def log_key_group() -> None:
    """The keys that the log signs with."""


@command(log_key_group, "list")
@as_json
def list_keys(as_json: bool) -> None:
    """Every key that the log ever signed with, oldest first."""
    with db.reading() as reading:
        listed = log_keys.listed(reading, _origin())
    if as_json:
        say(listed)
    for one in [] if as_json else listed:
        click.echo(f"{one['key']}  since {one['since']}  {'retired ' + one['retired_at'] if one['retired_at'] else ''}")


@command(log_key_group, "add")
@as_json
def add_key(as_json: bool) -> None:
    """Make a key that signs beside the present one: give it to everyone who verifies, then retire the other."""
    origin = _origin()
    with trail.recording() as tx:
        added = log_keys.add(tx, origin)
    say({"key": str(added)}) if as_json else click.echo(str(added))


@command(log_key_group, "retire")
@click.argument("key_id", metavar="ID")
@as_json
def retire_key(key_id: str, as_json: bool) -> None:
    """Have the key with this hex ID (its text's middle part) sign no more; what it signed goes on verifying."""
    origin = _origin()
    with trail.recording() as tx:
        retired = log_keys.retire(tx, origin, key_id)
    say({"retired": str(retired)}) if as_json else click.echo(f"retired: {retired}")


def _origin() -> str:
    with db.reading() as reading:
        head = log.head(reading)
    return head.origin if head else sealer.origin(config.read().public_url)
