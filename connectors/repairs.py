# SPDX-License-Identifier: Apache-2.0
"""Rejected rows repaired and sent again: mapped as their feed maps them, received as any delivery, counted once."""

import hashlib
import json
from collections.abc import Iterable, Mapping

import orjson

from bureau import intake, rejects
from bureau.open_batches import Receipt
from bureau.records import Batch, Row, Unreadable
from connectors import feeds
from connectors.feeds import Feed
from connectors.mapping import map_row
from kernel import db
from kernel.errors import Invalid, TooLarge

MOST_ROWS = 100_000


def resubmit(batch: str, repaired: Iterable[object], source: str | None = None, feed: Feed | None = None) -> Receipt:
    """Receive repaired rows of a batch: `{"row": 12, "delivered": {column: text}}`, as `bureau rejects export` gives.

    The same rows again are the same delivery. A row that was not rejected, or was repaired before, is rejected.
    Raises NotFound for a batch that is none of the source's, Invalid for rows that are no such objects.
    """
    with db.reading() as reading:
        original = rejects.require_batch(reading, batch, source)
    through = feed or feeds.load(original.feed)
    if through.feed != original.feed:
        raise Invalid(f"batch {batch} came by the feed {original.feed}, not {through.feed}")
    cells = _cells(repaired, through)
    told = orjson.dumps(["repairs", original.id, sorted(cells.items())], option=orjson.OPT_NON_STR_KEYS)
    return intake.receive(
        Batch(
            feed=through.feed,
            source=original.source,
            digest=hashlib.sha256(told).hexdigest(),
            basis=through.basis,
            rows=[_row(through, number, held) for number, held in sorted(cells.items())],
            lenient_uscc=through.lenient_uscc,
            refused_prefixes=through.refused_prefixes,
            repairs=original.id,
        )
    )


def read(lines: Iterable[bytes]) -> list[object]:
    """The rows of a file that `bureau rejects export` wrote and somebody repaired (NDJSON). Raises Invalid."""
    rows: list[object] = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise Invalid(f"line {number} is no JSON object") from error
        if len(rows) > MOST_ROWS:
            raise TooLarge(f"more than {MOST_ROWS:,} rows: repair them in several files")
    return rows


def _cells(repaired: Iterable[object], feed: Feed) -> dict[int, dict[str, str]]:
    """Row number → column → text, of the feed's columns; a column that is not there is empty."""
    known, found = feed.layout.columns, dict[int, dict[str, str]]()
    for place, one in enumerate(repaired, 1):
        number, delivered = (one.get("row"), one.get("delivered")) if isinstance(one, Mapping) else (None, None)
        if type(number) is not int or number < 1 or not isinstance(delivered, Mapping):
            raise Invalid(f'row {place}: expected {{"row": <its number>, "delivered": {{<column>: <text>}}}}')
        if number in found:
            raise Invalid(f"row {number} stands twice")
        strange = [name for name in delivered if name not in known and name not in feed.layout.ignored]
        if strange or not all(isinstance(text, str) for text in delivered.values()):
            raise Invalid(f"row {number}: delivered must be texts of the feed's columns", errors={"columns": strange})
        found[number] = {name: delivered.get(name, "") for name in known}
    if not found:
        raise Invalid("there is no row to repair")
    return found


def _row(feed: Feed, number: int, cells: Mapping[str, str]) -> Row | Unreadable:
    return map_row(feed.translation, number, cells)
