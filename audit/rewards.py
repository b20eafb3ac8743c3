# SPDX-License-Identifier: Apache-2.0
"""The yearly reward, computed from the sealed trail and nothing else (requirements F9).

A statement covers the leaves whose time lies in the year of Asia/Shanghai, and names their range and the root that
vouches for them, so that anyone with an export of that range recomputes it to the fen. Pure but for `statement`.
"""

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, select

from audit import log
from audit.models import entry as entries
from audit.models import leaf as leaves
from kernel import clock
from kernel.errors import SettingError

TARIFFS = Path(__file__).parent / "rewards.toml"
ROWS_AT_ONCE = 5_000
DAYS_REMEMBERED = 7  # entries are sealed in order but for seconds; a day this long ago cannot come back


@dataclass(frozen=True, slots=True)
class Tariff:
    """Fen per billable question, the most that a year gives in fen, and which version of the tariff says so."""

    version: str
    rate_fen: int
    cap_fen: int


@dataclass(slots=True)
class Tally:
    """What was counted so far."""

    year: int
    queries: int = 0
    billable: int = 0
    leaf_from: int | None = None
    leaf_to: int = 0  # one beyond the last
    by: dict[str, Counter[str]] = field(
        default_factory=lambda: {name: Counter() for name in ("institution", "product", "purpose", "month")}
    )
    _seen: dict[date, set[tuple[Any, ...]]] = field(default_factory=dict)

    def count(self, index: int, document: dict[str, Any]) -> None:
        """Count one leaf: entries of other years and of other kinds are passed over."""
        day = clock.legal_day(datetime.fromisoformat(document["time"]))
        if day.year != self.year:
            return
        self.leaf_from = index if self.leaf_from is None else self.leaf_from
        self.leaf_to = index + 1
        if document["type"] != "query.answered" or document.get("purpose") == "self":
            return
        self.queries += 1
        if document.get("billable") and self._is_first(day, document):
            self.billable += 1
            counted = {name: str(document.get(name)) for name in ("institution", "product", "purpose")}
            for name, value in (counted | {"month": day.isoformat()[:7]}).items():
                self.by[name][value] += 1

    def _is_first(self, day: date, document: dict[str, Any]) -> bool:
        today = self._seen.setdefault(day, set())
        if len(self._seen) > DAYS_REMEMBERED:
            del self._seen[min(self._seen)]
        once = document.get("institution"), document.get("uscc"), document.get("product")
        if once in today:
            return False
        today.add(once)
        return True


def statement(tx: Connection, year: int, now: datetime) -> dict[str, Any]:
    """The statement of a year as of the newest checkpoint; final once the year is over and its last leaf sealed."""
    head = log.head(tx)
    tally = tallied(year, _sealed(tx, head.size) if head else ())
    tariff = tariff_of(year)
    is_over = clock.legal_day(now).year > year
    leaf_to = tally.leaf_to if tally.leaf_from is not None else (head.size if head else 0)
    root = log.root_at(tx, leaf_to).hex() if leaf_to else None
    return {
        **amounts(tally, tariff),
        "leaf_from": tally.leaf_from if tally.leaf_from is not None else leaf_to,
        "leaf_to": leaf_to,
        "root": root,
        "final": is_over and head is not None and clock.legal_day(head.time).year > year,
        "tariff": tariff.version,
        **{f"by_{name}": dict(sorted(counted.items())) for name, counted in tally.by.items()},
    }


def tallied(year: int, leaves_of_log: Iterable[tuple[int, bytes]]) -> Tally:
    """Fold leaves (index, entry bytes), in their order, into a tally. Pure: an export gives the same."""
    tally = Tally(year)
    for index, content in leaves_of_log:
        tally.count(index, orjson.loads(content))
    return tally


def amounts(tally: Tally, tariff: Tariff) -> dict[str, int]:
    """What a tally is worth under a tariff."""
    return {
        "year": tally.year,
        "queries": tally.queries,
        "billable": tally.billable,
        "rate_fen": tariff.rate_fen,
        "cap_fen": tariff.cap_fen,
        "reward_fen": min(tally.billable * tariff.rate_fen, tariff.cap_fen),
    }


def tariff_of(year: int) -> Tariff:
    """The tariff that counts in a year."""
    tables = _tariffs(TARIFFS)
    return tables.get(str(year)) or tables["default"]


@cache
def _tariffs(file: Path) -> dict[str, Tariff]:
    try:
        found = {name: Tariff(**table) for name, table in tomllib.loads(file.read_text(encoding="utf-8")).items()}
        if "default" not in found or any(each.rate_fen < 0 or each.cap_fen < 0 for each in found.values()):
            raise ValueError("a table [default] is needed, and no rate or cap is below 0")
    except (OSError, TypeError, ValueError) as error:
        raise SettingError(f"{file}: {error}") from error
    return found


def _sealed(tx: Connection, size: int) -> Iterator[tuple[int, bytes]]:
    """Every leaf whose bytes are kept, in order."""
    after = -1
    joined = leaves.join(entries, entries.c.id == leaves.c.entry)
    page = select(leaves.c.index.label("place"), entries.c.bytes).select_from(joined).order_by(leaves.c.index)
    while True:
        rows: Any = tx.execute(page.where(leaves.c.index > after, leaves.c.index < size).limit(ROWS_AT_ONCE)).all()
        yield from ((row.place, row.bytes) for row in rows if row.bytes is not None)
        if len(rows) < ROWS_AT_ONCE:
            return
        after = rows[-1].place
