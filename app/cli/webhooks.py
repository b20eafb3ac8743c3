# SPDX-License-Identifier: Apache-2.0
"""Telling institutions, at the counter: `bureau messenger`, `bureau webhooks`."""

import click

from app import config, messenger
from app.commands import as_json, command, main, say
from connectors import webhooks
from kernel import db


@command(main, "messenger")
def run_messenger() -> None:
    """Send what webhooks are to be told. `serve` runs one by itself."""
    messenger.run(config.read())


@command(main, "webhooks")
@as_json
def list_webhooks(as_json: bool) -> None:
    """Every institution's webhooks, with what waits and what is dead."""
    with db.reading() as reading:
        listed = webhooks.list_all(reading)
    if as_json:
        say(listed)
    for one in [] if as_json else listed:
        waiting = f"{one['pending']} pending, {one['dead']} dead"
        click.echo(f"{one['webhook_id']}  {one['status']:8}  {waiting}  {one['institution']}  {one['url']}")
