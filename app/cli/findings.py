# SPDX-License-Identifier: Apache-2.0
"""The command that shows what is conspicuous on the trail."""

from datetime import date, datetime, timedelta

import click

from app.commands import as_json, command, main, say
from audit import acts, findings, review, trail
from kernel import clock, db
from kernel.auth import Principal
from kernel.errors import Invalid

MAX_FINDINGS = 10_000
COUNTER = Principal("counter", frozenset())
Day = click.DateTime(["%Y-%m-%d"])


@command(main, "findings")
@click.option("--from", "first", type=Day, help="First day, Asia/Shanghai. Default: 30 days ago.")
@click.option("--to", "last", type=Day, help="Last day, included. Default: today.")
@click.option("--backtest", "year", type=click.IntRange(2000, 2999), help="How many there would have been in a year.")
@as_json
def list_findings(first: datetime | None, last: datetime | None, year: int | None, as_json: bool) -> None:
    """What is conspicuous on the trail, with the reason and the entries; limits are in audit/findings.toml."""
    if year is not None:
        _backtest(year, as_json)
        return
    today = clock.legal_day(clock.now())
    end = last.date() if last else today
    begin = first.date() if first else end - timedelta(days=30)
    if begin > end:
        raise Invalid("--from is after --to")
    with db.reading() as reading:
        found, more = acts.listed(acts.findings(reading, begin, end), MAX_FINDINGS)
    period = {"from": begin.isoformat(), "to": end.isoformat()}
    with trail.recording(only_the_entry=True) as tx:
        review.record_view(tx, COUNTER, "audit-findings", len(found), period, channel="counter")
    if as_json:
        say({**period, "findings": found, "more": more})
        return
    for one in found:
        about = ", ".join(f"{name} {value}" for name, value in one["about"].items() if value)
        click.echo(f"{one['day']} {one['rule']}: {one['reason']} (limit {one['limit']}); {about}")
        click.echo(f"    {' '.join(one['evidence'][:3])}")
    click.echo(f"{len(found)} findings{', and more' if more else ''} from {begin} to {end}", err=True)


def _backtest(year: int, as_json: bool) -> None:
    with db.reading() as reading:
        counts = acts.backtest(reading, date(year, 1, 1), date(year, 12, 31))
    if as_json:
        say({"year": year, "findings": counts})
        return
    click.echo(f"{'findings in ' + str(year):<20} " + " ".join(f"{f'{factor:g} x':>8}" for factor in acts.FACTORS))
    for rule, at in counts.items():
        shown = " ".join(f"{count:>8}" for count in at.values())
        click.echo(f"{rule:<20} {shown}   limit {findings.shipped()[rule]['at_least']}")
