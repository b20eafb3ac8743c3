# SPDX-License-Identifier: Apache-2.0
"""Commands about the sources that deliver."""

from typing import Any

import click

from access import lifecycle, sources
from access.sources import Terms
from app import counter
from app.cli.parties import terms_of
from app.commands import Text, as_json, command, main, say
from audit import trail


@main.group("source")
def source_group() -> None:
    """Sources that deliver; one that was never registered counts as approved."""


@command(source_group, "add")
@click.argument("code")
@click.option("--basis", type=Text(400), help="The law or agreement that it delivers under.")
@click.option("--contract-ref", type=Text(120))
@click.option("--contract-until", type=click.DateTime(("%Y-%m-%d",)), help="The last day.")
@click.option("--networks", type=Text(2_000), help="Comma-separated CIDRs.")
@as_json
def add_source(code: str, as_json: bool, **given: Any) -> None:
    """Register a source of the catalogue, approved at once."""
    counter.require_source(code)
    with trail.recording() as tx:
        sources.add(tx, code, Terms(**terms_of(given)))
    say({"source": code, "status": "approved"}) if as_json else click.echo(code)


@command(source_group, "set")
@click.argument("code")
@click.option("--basis", type=Text(400))
@click.option("--contract-ref", type=Text(120))
@click.option("--contract-until", type=click.DateTime(("%Y-%m-%d",)), help="The last day; it has no end: 9999-12-31.")
@click.option("--networks", type=Text(2_000), help="Comma-separated CIDRs; - allows all.")
@as_json
def set_source(code: str, as_json: bool, **given: Any) -> None:
    """Change what a source's contract says."""
    del as_json
    with trail.recording() as tx:
        sources.change(tx, code, terms_of(given))
        say(sources.document(tx, code))


@command(source_group, "list")
@as_json
def list_sources(as_json: bool) -> None:
    """All sources of the catalogue."""
    listed = counter.source_lines()
    if as_json:
        say(listed)
    for one in [] if as_json else listed:
        click.echo(f"{one['source']}  {one['status']:<12} {one['name']}")


def _act_command(act: str) -> None:
    @command(source_group, act)
    @click.argument("code")
    @click.option("--reason", type=Text(400), required=act in lifecycle.NEEDS_REASON)
    @as_json
    def change_status(code: str, reason: str | None, as_json: bool) -> None:
        with trail.recording() as tx:
            status = sources.act(tx, code, act, reason=reason)
        say({"source": code, "status": status}) if as_json else click.echo(status)

    change_status.help = f"{act.capitalize()} a source."


for _act in lifecycle.ACTS:
    _act_command(_act)
