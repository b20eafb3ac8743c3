# SPDX-License-Identifier: Apache-2.0
"""Commands about feeds: which there are, how they are, and one tried on a sample."""

from pathlib import Path
from typing import Any

import click

from app import config
from app.commands import as_json, command, main, say
from connectors import feeds, trial, watch
from connectors.feeds import Feed
from kernel import db


@main.group("feed")
def feed_group() -> None:
    """Feeds: what sources deliver, one TOML file each."""


@command(feed_group, "list", opens=False)
@as_json
def list_feeds(as_json: bool) -> None:
    """All feeds, shipped ones and those in BUREAU_HOME/feeds."""
    feeds.use(config.read().feeds_folder)
    listed = [_line(feeds.load(name)) for name in feeds.names()]
    if as_json:
        say(listed)
    for one in [] if as_json else listed:
        click.echo(f"{one['feed']:<32} {one['source']}  {one['dataset']}  {one['transport']:<9} {one['title']}")


@command(feed_group, "check", opens=False)
@click.argument("feed")
@click.option("--sample", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file to try it on.")
@as_json
def check_feed(feed: str, sample: Path | None, as_json: bool) -> None:
    """Check FEED (a name, or a TOML file) and show what a sample's rows would become; nothing is stored."""
    feeds.use(config.read().feeds_folder)
    loaded = feeds.load(feed)
    if sample is None:
        say(_line(loaded)) if as_json else click.echo(f"{loaded.feed} is in order")
        return
    found = trial.check(loaded, sample)
    if as_json:
        say(found)
        return
    click.echo(f"{found['feed']}: {found['rows']} rows, {found['accepted']} accepted, {found['rejected']} rejected")
    for kind in ("reasons", "warnings"):
        for told, where in found[kind].items():
            click.echo(f"  {told}: {where['count']}, such as row {', '.join(map(str, where['rows']))}")
    click.echo(_filling("event_date", found["event_date"]))
    for code, item in found["items"].items():
        click.echo(_filling(f"{code} {item['name']}", item))


@command(feed_group, "status")
@as_json
def show_status(as_json: bool) -> None:
    """How every feed is: its state, when it is due, what came last, standing alarms."""
    with db.reading() as reading:
        shown = watch.status(reading)
    if as_json:
        say(shown)
    for one in [] if as_json else shown:
        last = f"{one['last']['rows']} rows on {one['last']['received_at'][:10]}" if one["last"] else "nothing yet"
        click.echo(f"{one['feed']:<32} {one['state']:<8} {last}  {one['problem'] or ''}")
        for alarm in one["alarms"]:
            click.echo(f"  {alarm['kind']} since {alarm['since'][:16]}: {alarm['detail']}")


def _filling(item: str, told: dict[str, Any]) -> str:
    origin = f" (from {told['column']})" if told["column"] else ""
    return f"  {item}{origin}: {told['filled']} filled, such as {told['example']!r}"


def _line(feed: Feed) -> dict[str, str | None]:
    return {
        "feed": feed.feed,
        "title": feed.title,
        "source": feed.source,
        "dataset": feed.dataset,
        "basis": feed.basis,
        "transport": type(feed.transport).__name__.lower() if feed.transport else "brought",
        "schedule": feed.schedule.told if feed.schedule else None,
        "contract": feed.contract,
    }
