# SPDX-License-Identifier: Apache-2.0
"""The shapes in which facts travel: a delivered row, a delivery, a stored record.

Values are strings, integers, booleans or null; dates are RFC 3339 full-dates in strings, decimals are strings,
money is an integer of minor units of its ISO 4217 currency. There are no floats (design: they do not compare).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Value = str | int | bool | None
Record = Mapping[str, Any]  # one as an answer shows it: id, source, event_date, received_at, items, raw


class Row(NamedTuple):
    """One delivered row in the catalogue's words, not yet judged.

    `number` counts the delivery's rows from 1, headers left out; `items` maps item code to typed value; `raw` keeps
    the text as delivered beside every value that parsing changed; `delivered` is the row in the source's own words,
    kept (encrypted) if the row is rejected.

    With an `act` the row is no record but amends one of the same source's: `correct` replaces the items that it gives,
    `withdraw` takes the record back. `record` names it by id; left empty, the row's key does (state and period).
    """

    number: int
    uscc: str
    dataset: str
    event_date: str | None
    items: Mapping[str, Value]
    raw: Mapping[str, str] = {}
    warnings: tuple[str, ...] = ()
    delivered: Mapping[str, str] = {}
    act: str = ""
    record: str = ""


class Unreadable(NamedTuple):
    """A delivered row that could not be put into the catalogue's words: its number, one reason, its own words."""

    number: int
    reason: str
    delivered: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Batch:
    """One delivery of one feed.

    `digest` (hex SHA-256) identifies the delivery's bytes: the same digest from the same feed is the same delivery.
    `basis` says why the bureau may hold it: `public` (published by law), `department` (government or utility,
    under the platform's mandate), `consent` (needs the enterprise's collect consent), `lender` (always needs it,
    征信业管理条例 Art. 29(2)). `lenient_uscc` accepts codes that fail their check digit, with a warning.
    `repairs` names the batch whose rejected rows these are, repaired.
    `refused_prefixes` maps a USCC prefix to the reason its rows are rejected with (`92` → `sole-trader`).
    `channel` and `client` say how it came: `counter` by command, `api` pushed by a client, `worker` on schedule.
    """

    feed: str
    source: str
    digest: str
    basis: str
    rows: Iterable[Row | Unreadable]
    lenient_uscc: bool = False
    refused_prefixes: Mapping[str, str] = field(default_factory=dict)
    repairs: int | None = None
    channel: str = "counter"
    client: str | None = None
