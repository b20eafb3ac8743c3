# SPDX-License-Identifier: Apache-2.0
"""The kill switch at the counter: `bureau stop …`, `bureau start …`."""

import click

from access import switch
from app.commands import Text, WrongUse, as_json, command, main, say
from audit import trail
from kernel import db
from kernel.idempotency import settle


@command(main, "stop")
@click.argument("target", type=click.Choice(switch.TARGETS))
@click.argument("party", metavar="[ID]", required=False)
@click.option("--reason", type=Text(400), required=True)
@as_json
def stop(target: str, party: str | None, reason: str, as_json: bool) -> None:
    """Stop a client, an institution, or all clients, from the next request on."""
    _require_named(target, party)

    def attempt() -> dict[str, str]:
        with trail.recording() as tx:
            return switch.stop(tx, target, party, reason)

    stopped = settle(attempt)
    say(stopped) if as_json else click.echo(f"stopped: {stopped['switch']}")


@command(main, "start")
@click.argument("target", type=click.Choice(switch.TARGETS))
@click.argument("party", metavar="[ID]", required=False)
@as_json
def start(target: str, party: str | None, as_json: bool) -> None:
    """Take a stop back."""
    _require_named(target, party)
    name = switch.named(target, party)
    with trail.recording() as tx:
        switch.start(tx, name)
    say({"started": name}) if as_json else click.echo(f"started: {name}")


@command(main, "stops")
@as_json
def list_stops(as_json: bool) -> None:
    """What is stopped now."""
    with db.reading() as reading:
        listed = switch.list_all(reading)
    if as_json:
        say(listed)
    for one in [] if as_json else listed:
        click.echo(f"{one['switch']}  since {one['stopped_at']}  {one['reason']}")


def _require_named(target: str, party: str | None) -> None:
    if (target == "all") != (party is None):
        raise WrongUse("name the client's or the institution's id; all has none")
