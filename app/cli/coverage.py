# SPDX-License-Identifier: Apache-2.0
"""Commands about full coverage (三个全覆盖): who ought to have authorised collection, and who has."""

import csv
import os
from dataclasses import asdict
from pathlib import Path

import click

from app.commands import Text, as_json, command, main, say
from audit import trail
from audit.events import Event
from bureau import coverage
from connectors import lists
from kernel import cells, clock, db

NAMES = {"loans": "有贷企业", "new_accounts": "新设企业", "policy_support": "享受金融支持政策企业"}


@main.group("coverage")
def coverage_group() -> None:
    """Who ought to have authorised collection, and who has."""


@command(coverage_group, "enrol")
@click.argument("trigger", type=click.Choice(coverage.REPORTED))
@click.option("--file", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@click.option("--origin", type=Text(200), required=True, help="Who reports, or the policy's document number.")
@as_json
def enrol(trigger: str, file: Path, origin: str, as_json: bool) -> None:
    """Take a list (CSV with a column uscc, perhaps since) into a trigger set."""
    with trail.recording() as tx:
        found = coverage.enrol(tx, trigger, lists.read(file), origin, "counter", "counter")
    if as_json:
        say(asdict(found))
        return
    click.echo(f"{found.rows} rows: {found.enrolled} enrolled, {found.known} known, {len(found.rejected)} rejected")
    for one in found.rejected[:20]:
        click.echo(f"  row {one['row']}: {one['reason']}", err=True)


@command(coverage_group, "report")
@as_json
def report(as_json: bool) -> None:
    """Authorised firms of each trigger set, and of all together."""
    with db.reading() as reading:
        found = coverage.report(reading, clock.now())
    if as_json:
        say(found)
        return
    for one in found["triggers"]:
        click.echo(
            f"{one['trigger']:<15} {one['authorised']:>8} of {one['members']:>8} authorised  {one['share'] or '-':>5} %"
            f"  (+{one['authorised_in_30_days']} in 30 days, {one['ended']} ended)  {NAMES[one['trigger']]}"
        )
    together = found["together"]
    click.echo(
        f"{'together':<15} {together['authorised']:>8} of {together['members']:>8} authorised  "
        f"{together['share'] or '-':>5} %"
    )


@command(coverage_group, "missing")
@click.argument("trigger", type=click.Choice(coverage.TRIGGERS))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="A CSV file, mode 0600.")
def missing(trigger: str, out: Path) -> None:
    """Write the list of those who have not authorised yet, for whoever must ask them."""
    with trail.recording() as tx:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8-sig", newline="") as file:
            rows, written = csv.writer(file), 0
            rows.writerow(("uscc", "name", "since"))
            for uscc, name, since in coverage.missing(tx, trigger, clock.now()):
                rows.writerow((uscc, cells.harmless(name or ""), since.isoformat()))
                written += 1
        detail = {"trigger": trigger, "rows": written}
        trail.append(tx, trail.Entry(type=Event.COVERAGE_LISTED, actor="counter", channel="counter", detail=detail))
    click.echo(f"{written} enterprises have not authorised; listed in {out}", err=True)
