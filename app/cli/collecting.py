# SPDX-License-Identifier: Apache-2.0
"""The command that takes a delivery in."""

from dataclasses import asdict
from pathlib import Path

import click

from app import config, progress
from app.commands import as_json, command, main, say
from bureau import intake
from connectors import feeds, pulling


@command(main, "collect")
@click.argument("feed")
@click.option(
    "--file", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Without it, what is new is fetched as the feed's [transport] says.",
)  # fmt: skip
@as_json
def collect(feed: str, file: Path | None, as_json: bool) -> None:
    """Take a delivery in: FEED is the name of a feed, or a TOML file."""
    loaded = feeds.load(feed)
    with progress.shown(f"{feed}, rows") as tell:
        if file is not None:
            receipts = [intake.receive(feeds.pull(loaded, file), tell)]
        else:
            receipts = pulling.pull_now(loaded, config.secret, tell)
    if as_json:
        say(asdict(receipts[0]) if file is not None else [asdict(receipt) for receipt in receipts])
        return
    for receipt in receipts:
        again = " (received before: this is its first receipt)" if receipt.duplicate else ""
        click.echo(f"batch {receipt.batch}{again}: {receipt.rows} rows, {receipt.accepted} accepted,")
        click.echo(f"  {receipt.rejected} rejected {receipt.reasons or ''}, {receipt.repeated} delivered before")
    if not receipts:
        click.echo("nothing new", err=True)
