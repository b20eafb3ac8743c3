# SPDX-License-Identifier: Apache-2.0
"""Commands about what sources deliver: rejected rows, how they come in after all, and quality by month."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from app.commands import as_json, command, main, say
from audit import review, trail
from bureau import quality, rejects
from bureau.record_history import AT_THE_COUNTER
from connectors import feeds, repairs
from kernel import db
from kernel.errors import NotFound

File = click.Path(exists=True, dir_okay=False, path_type=Path)


@main.group("rejects")
def rejects_group() -> None:
    """Rejected rows of a batch."""


@command(rejects_group, "list")
@click.argument("batch")
@as_json
def list_rejects(batch: str, as_json: bool) -> None:
    """Row numbers and reasons, and which rows were repaired since."""
    with db.reading() as reading:
        lines = rejects.lines(reading, rejects.require_batch(reading, batch).id)
    if as_json:
        say([one._asdict() for one in lines])
    for one in [] if as_json else lines:
        click.echo(f"{one.row:>8}  {one.reason}" + (f"  repaired by {one.repaired_by}" if one.repaired_by else ""))


@command(rejects_group, "show")
@click.argument("batch")
@click.argument("row", type=click.IntRange(1))
@as_json
def show_reject(batch: str, row: int, as_json: bool) -> None:
    """One rejected row in its source's own words. That you looked is an entry."""
    (shown,) = _opened(batch, row)
    say(shown) if as_json else click.echo(json.dumps(shown, ensure_ascii=False, indent=2))


@command(rejects_group, "export")
@click.argument("batch")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Mode 0600.")
@as_json
def export_rejects(batch: str, out: Path, as_json: bool) -> None:
    """Write a batch's rejected rows to a file, one JSON object a line, to be repaired and resubmitted."""
    shown = _opened(batch, None)
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.writelines(json.dumps(one, ensure_ascii=True) + "\n" for one in shown)
    told = {"rows": len(shown), "file": str(out)}
    say(told) if as_json else click.echo(f"{len(shown)} rows in {out}: repair `delivered`, then resubmit")


@command(rejects_group, "resubmit")
@click.argument("batch")
@click.option("--file", "file", type=File, required=True, help="As `export` wrote it, repaired; rows may be left out.")
@click.option("--feed", help="The feed's TOML file, where it is not a shipped one.")
@as_json
def resubmit(batch: str, file: Path, feed: str | None, as_json: bool) -> None:
    """Send repaired rows again; each is taken once, whichever delivery brings it."""
    with file.open("rb") as lines:
        rows = repairs.read(lines)
    receipt = repairs.resubmit(batch, rows, feed=feeds.load(feed) if feed else None)
    if as_json:
        say(asdict(receipt))
        return
    click.echo(f"batch {receipt.batch} repairs {batch}: {receipt.accepted} accepted, {receipt.rejected} rejected")


def _opened(batch: str, row: int | None) -> list[dict[str, Any]]:
    """Rejected rows with what they say, the look on the trail before it is shown."""
    with trail.recording() as tx:
        held = rejects.require_batch(tx, batch)
        kept = [
            {"row": number, "reason": reason, "delivered": delivered}
            for number, reason, delivered in rejects.kept(tx, held.id)
            if row in (None, number)
        ]
        if not kept:
            raise NotFound(f"batch {batch} has no such rejected row")
        review.record_view(tx, AT_THE_COUNTER, "rejects", len(kept), {"batch": batch, "row": row}, "counter")
    return kept


@command(main, "quality")
@click.argument("month")
@click.option("--source", help="A code of the catalogue. Default: all that delivered.")
@as_json
def show_quality(month: str, source: str | None, as_json: bool) -> None:
    """What sources delivered in a MONTH (YYYY-MM): accepted, rejected by reason, repaired, how late."""
    with db.reading() as reading:
        told = quality.of_month(reading, month, source)
    if as_json:
        say([asdict(one) for one in told])
    for one in [] if as_json else told:
        click.echo(f"{one.source}  {one.batches} batches, {one.rows} rows, {one.accepted_percent or '-'} % accepted,")
        click.echo(
            f"     {one.rejected} rejected {one.reasons or ''}, {one.repaired} repaired, {one.lag_days} days old,"
            f" {one.discrepancies} discrepancies ({one.discrepancies_open} open)"
        )
