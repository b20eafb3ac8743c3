# SPDX-License-Identifier: Apache-2.0
"""What a feed remembers from one pull to the next: its mark (a watermark, an ETag), and the files it has seen."""

from typing import Any

import orjson
from sqlalchemy import Connection, delete, insert, select, update

from connectors.models import feed_state, pulled_file
from kernel import clock, keys

LONGEST_PROBLEM = 400


def mark(reading: Connection, feed: str) -> dict[str, Any]:
    """The feed's mark; empty before its first. It may hold values of rows, so it is kept encrypted."""
    kept = reading.scalar(select(feed_state.c.mark).where(feed_state.c.feed == feed))
    return orjson.loads(keys.purpose("rejects").decrypt(kept, _bound_to(feed))) if kept else {}


def keep_mark(tx: Connection, feed: str, marked: dict[str, Any]) -> None:
    """Keep another mark."""
    kept = keys.purpose("rejects").encrypt(orjson.dumps(marked), _bound_to(feed))
    tx.execute(update(feed_state).where(feed_state.c.feed == feed).values(mark=kept))


def seen_files(reading: Connection, feed: str) -> dict[str, tuple[int, int]]:
    """Name → (size, modified) of the files that were taken or refused."""
    rows = reading.execute(select(pulled_file).where(pulled_file.c.feed == feed))
    return {row.name: (row.size, row.modified) for row in rows}


def note_file(
    tx: Connection, feed: str, name: str, size: int, modified: int, batch: str | None, problem: str | None
) -> None:
    """Remember a file as it is now: a later one of its name that differs is another one."""
    here = pulled_file.c.feed == feed, pulled_file.c.name == name
    tx.execute(delete(pulled_file).where(*here))
    said = problem and problem[:LONGEST_PROBLEM]
    values = {"size": size, "modified": modified, "batch": batch, "problem": said, "time": clock.now()}
    tx.execute(insert(pulled_file).values(feed=feed, name=name, **values))


def _bound_to(feed: str) -> bytes:
    return f"feed-mark\0{feed}".encode()
