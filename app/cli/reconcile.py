# SPDX-License-Identifier: Apache-2.0
"""Commands about what sources contradict each other in: brought up to date, listed, looked at, explained."""

import json

import click

from app import progress
from app.commands import Text, as_json, command, main, say
from audit import trail
from bureau import reconciliation, reconciliation_list


@main.group("reconcile", invoke_without_command=True)
@as_json
@click.pass_context
def reconcile_group(ctx: click.Context, as_json: bool) -> None:
    """The reconciliation list; without more, brings it up to what was delivered (the worker does so by itself)."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(reconcile, as_json=as_json)


@command(reconcile_group, "run")
@as_json
def reconcile(as_json: bool) -> None:
    """Look at all enterprises of which something was published; goes on where it was interrupted."""
    with progress.shown("enterprises looked at") as tell:
        looked_at = reconciliation.catch_up(tell)
    say({"enterprises": looked_at}) if as_json else click.echo(f"{looked_at} enterprises looked at")


@command(reconcile_group, "list")
@click.option("--source", help="A source that takes part.")
@click.option("--fact", help="A fact of bureau/facts.csv.")
@click.option("--state", type=click.Choice(reconciliation.STATES))
@click.option("--uscc")
@click.option("--limit", type=click.IntRange(1, 10_000), default=1_000, show_default=True)
@click.option("--before", help="Go on behind this one (the last of the list before).")
@as_json
def list_discrepancies(
    source: str | None,
    fact: str | None,
    state: str | None,
    uscc: str | None,
    limit: int,
    before: str | None,
    as_json: bool,
) -> None:
    """Who contradicts whom in which records, the newest first, without values. That you looked is an entry."""
    asked = {"source": source, "fact": fact, "state": state, "uscc": uscc}
    shown, _ = reconciliation_list.page(asked, before, limit)
    if as_json:
        say(shown)
    for one in [] if as_json else shown:
        stated = ", ".join(f"{each['source']} {each['item']} ({each['record']})" for each in one["statements"])
        click.echo(f"{one['discrepancy']}  {one['uscc']}  {one['state']:<9}  {one['name']} {one['fact']}: {stated}")


@command(reconcile_group, "show")
@click.argument("discrepancy")
@as_json
def show_discrepancy(discrepancy: str, as_json: bool) -> None:
    """One of them with the value that each source gives. That you looked is an entry."""
    shown = reconciliation_list.look(discrepancy)
    say(shown) if as_json else click.echo(json.dumps(shown, ensure_ascii=False, indent=2))


@command(reconcile_group, "explain")
@click.argument("discrepancy")
@click.option("--reason", type=Text(400), required=True, help="Stands on the trail in clear: no values.")
@as_json
def explain_discrepancy(discrepancy: str, reason: str, as_json: bool) -> None:
    """Say why an open one may stand; it is open again once a source says something else."""
    with trail.recording() as tx:
        shown = reconciliation_list.explain(tx, discrepancy, reason)
    say(shown) if as_json else click.echo(f"{discrepancy} explained")
