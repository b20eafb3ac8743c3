# SPDX-License-Identifier: Apache-2.0
"""The command that computes the screening index."""

import click

from app import indexing, progress
from app.commands import as_json, command, main, say


@command(main, "index")
@click.option("--processes", type=click.IntRange(1, 64), help="How many compute (default: one for each core).")
@as_json
def index(processes: int | None, as_json: bool) -> None:
    """Compute all indicators anew for screening; goes on where it was interrupted. The service takes them up itself."""
    with progress.shown("indexed enterprises") as tell:
        indexed = indexing.build(tell, processes)
    say({"indexed": indexed}) if as_json else click.echo(f"{indexed} enterprises indexed")
