# SPDX-License-Identifier: Apache-2.0
"""The command that states the yearly reward."""

from typing import Any

import click

from app.commands import as_json, command, main, say
from audit import statements
from kernel import clock, db


@command(main, "rewards")
@click.argument("year", type=click.IntRange(2000, 2999))
@click.option("--freeze", "freeze", is_flag=True, help="Freeze it, or a supplement. The worker does it by itself.")
@click.option("--supplements", "supplements", is_flag=True, help="What was frozen after the statement.")
@as_json
def state_rewards(year: int, freeze: bool, supplements: bool, as_json: bool) -> None:
    """The reward by query count of a YEAR, counted from the sealed trail; once the year is over, frozen and signed."""
    if freeze:
        statements.freeze(year, clock.now(), "counter")
    with db.reading() as reading:
        found = statements.listed(reading, year)[1:] if supplements else [statements.statement(reading, year)]
    if any(not each["rate_fen"] for each in found):
        click.echo("bureau: no rate is set for this year (audit/rewards.toml): the reward is 0", err=True)
    if as_json:
        say(found if supplements else found[0])
        return
    for each in found:
        _tell(each)


def _tell(found: dict[str, Any]) -> None:
    state = f"frozen {found['frozen_at']}" if found["final"] else "provisional"
    click.echo(
        f"{found['year']}: {found['queries']} questions answered, {found['billable']} billable × "
        f"{found['rate_fen']} fen, at most {found['cap_fen']} fen: {found['reward_fen']} fen ({state})"
    )
    click.echo(f"leaves {found['leaf_from']} to {found['leaf_to']}, root {found['root']}")
