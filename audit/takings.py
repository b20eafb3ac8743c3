# SPDX-License-Identifier: Apache-2.0
"""Taking entries out of the house over HTTP: a range of leaves, or those of it that fit some filters.

Up to ONE_PERSON entries a day a person takes alone. Beyond that one asks, saying why, another confirms, and who asked
takes them within TAKEN_WITHIN (`export_request`). The steps of a taking:

1. what fits is found and counted: 8 bytes of memory for each entry that fits a filter, none for a whole range;
2. one person is enough, or two have agreed;
3. one entry says who takes what, and commits;
4. only then leaves the first leaf, page by page, and at the end the proof.
"""

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, func, insert, select, update

from audit import export, exported, log, review, search, trail
from audit.events import Event
from audit.export import Form
from audit.models import entry as entries
from audit.models import export_request as requests
from kernel import canonical, clock, db, ids, signing
from kernel.auth import Principal
from kernel.errors import Conflict, Invalid, NotFound, NotPermitted

ONE_PERSON = 10_000
MAX_CHOSEN = 1_000_000
CONFIRMED_WITHIN = timedelta(days=3)
TAKEN_WITHIN = timedelta(days=1)
PLACES_AT_ONCE = 5_000
VIEW = "audit-export"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Leaves `leaf_from` … `leaf_to` - 1 (None: all that are sealed) that fit what is `asked`, as search.search."""

    leaf_from: int
    leaf_to: int | None
    format: Form
    asked: Mapping[str, Any]

    @property
    def in_words(self) -> dict[str, Any]:
        """The filters as JSON: times by the names that the API has for them."""
        named = {_NAMES.get(name, name): value for name, value in self.asked.items()}
        return {name: clock.rfc3339(one) if isinstance(one, datetime) else one for name, one in named.items()}


def take(wanted: Wanted, by: Principal) -> Iterator[bytes]:
    """What one person may take alone. Raises Invalid, and NotPermitted (`second-person-needed`) for more than that."""
    wanted, places, shown = _found(wanted)
    with trail.recording() as tx:
        _require_few(tx, by, shown)
        entry_id = _record(tx, by, wanted, shown)
    return _taken(wanted, places, shown, entry_id)


def take_confirmed(request_id: str, by: Principal) -> tuple[Form, Iterator[bytes]]:
    """What another person confirmed, for whoever asked for it. Raises NotFound, Conflict where it is not good now."""
    with db.reading() as reading:
        held = _get(reading, request_id)
    if held.requested_by != by.actor:
        raise NotFound(f"no export request {request_id} of yours")
    if (status := _status(held)) != "confirmed":
        raise Conflict(f"the export request is {status}", slug="not-in-this-state")
    wanted, places, shown = _found(_wanted(held))
    with trail.recording() as tx:
        entry_id = _record(tx, by, wanted, shown, request_id)
    return wanted.format, _taken(wanted, places, shown, entry_id)


def ask(wanted: Wanted, reason: str, by: Principal) -> dict[str, Any]:
    """Ask for an export that another person must confirm. Raises Invalid."""
    wanted, _, shown = _found(wanted)
    values = {"id": ids.new_id(), "leaf_from": wanted.leaf_from, "leaf_to": wanted.leaf_to, "format": wanted.format}
    values |= {"asked": orjson.dumps(wanted.in_words).decode(), "shown": shown, "reason": reason}
    with trail.recording() as tx:
        tx.execute(insert(requests).values(**values, requested_by=by.actor, requested_at=clock.now()))
        held = _get(tx, str(values["id"]))
        _record_step(tx, Event.EXPORT_REQUESTED, by, held)
    return _shown(held)


def confirm(tx: Connection, request_id: str, by: Principal) -> dict[str, Any]:
    """Confirm what another person asked for. The caller commits. Raises NotFound, Conflict."""
    held = _get(tx, request_id, lock=True)
    if (status := _status(held)) != "requested":
        raise Conflict(f"the export request is {status}", slug="not-in-this-state")
    if held.requested_by == by.actor:
        raise Conflict("you asked for this yourself: another person must confirm it", slug="second-person-needed")
    confirmed = {"confirmed_by": by.actor, "confirmed_at": clock.now()}
    tx.execute(update(requests).where(requests.c.id == request_id).values(confirmed))
    _record_step(tx, Event.EXPORT_CONFIRMED, by, held)
    return _shown(_get(tx, request_id))


def listed(tx: Connection, before: str | None, limit: int) -> list[dict[str, Any]]:
    """Export requests, newest first; `before` an id."""
    page = select(requests).order_by(requests.c.id.desc()).limit(limit)
    if before is not None:
        page = page.where(requests.c.id < before)
    return [_shown(row) for row in tx.execute(page)]


def _found(wanted: Wanted) -> tuple[Wanted, "array[int] | None", int]:
    """What is wanted with its end, the places of what fits (None: all of the range), and how many these are."""
    with db.reading() as reading:
        head = log.shown(reading)
        last = wanted.leaf_to if wanted.leaf_to is not None else head.size if head else 0
        export.proof(reading, wanted.leaf_from, last)  # refuses what is no range of the log
    wanted = replace(wanted, leaf_to=last)
    if not wanted.asked:
        return wanted, None, last - wanted.leaf_from
    places, before = array("q"), search.ABOVE_ALL
    while before:
        with db.transaction() as tx:  # a page each: the time that it may take is set for a transaction
            page, more = search.places(tx, wanted.asked, before, PLACES_AT_ONCE)
        places.extend(place for place in page if wanted.leaf_from <= place < last)
        if len(places) > MAX_CHOSEN:
            raise Invalid(f"filters find at most {MAX_CHOSEN} entries: take a range of leaves without", slug="too-many")
        before = more or ""
    return wanted, array("q", sorted(places)), len(places)


def _require_few(tx: Connection, by: Principal, shown: int) -> None:
    """Raise NotPermitted where someone takes more alone than they may in a day of Asia/Shanghai."""
    if tx.dialect.name == "postgresql":
        tx.execute(select(func.pg_advisory_xact_lock(_LOCK, func.hashtext(by.actor))))  # one taking after the other
    midnight = datetime.combine(clock.legal_day(clock.now()), datetime.min.time(), clock.SHANGHAI)
    today = select(entries.c.bytes).where(
        entries.c.actor == by.actor, entries.c.id >= ids.first_at(midnight), entries.c.type == Event.STAFF_VIEWED.value
    )
    details = [orjson.loads(content)["detail"] for content in tx.scalars(today) if content is not None]
    taken = sum(one["shown"] for one in details if one["what"] == VIEW and "request" not in one["asked"])
    if taken + shown > ONE_PERSON:
        raise NotPermitted(
            f"one person takes at most {ONE_PERSON} entries a day, and this would make {taken + shown}: ask for it at "
            "/v1/audit/export-requests, and another person confirms",
            slug="second-person-needed",
        )


def _record(tx: Connection, by: Principal, wanted: Wanted, shown: int, request_id: str | None = None) -> str:
    asked = {"leaf_from": wanted.leaf_from, "leaf_to": wanted.leaf_to, "format": wanted.format, "request": request_id}
    return review.record_view(tx, by, VIEW, shown, {**wanted.in_words, **asked})


def _taken(wanted: Wanted, places: "array[int] | None", shown: int, entry_id: str) -> Iterator[bytes]:
    first, last = wanted.leaf_from, wanted.leaf_to or 0
    after = last if places is None else places[-1] + 1 if places else first
    with db.reading() as reading:
        vouching = export.proof(reading, first, last, after)
    trailer = exported.Trailer(vouching, None, None)
    if places is not None:
        choice = {"leaf_from": first, "leaf_to": last, "shown": shown, "digest": exported.digest_of(places)}
        choice |= {"asked": wanted.in_words, "entry": entry_id}
        trailer = exported.Trailer(vouching, choice, signing.signer("export").sign(canonical.encode(choice)))
    yield from export.stream(first, last, wanted.format, places)
    yield export.end(trailer, wanted.format)


def _wanted(row: Any) -> Wanted:
    named = {_KEYS.get(name, name): value for name, value in orjson.loads(row.asked).items()}
    asked = {name: datetime.fromisoformat(one) if name in _NAMES else one for name, one in named.items()}
    return Wanted(row.leaf_from, row.leaf_to, row.format, asked)


def _get(tx: Connection, request_id: str, *, lock: bool = False) -> Any:
    sought = select(requests).where(requests.c.id == request_id)
    row = tx.execute(sought.with_for_update() if lock else sought).one_or_none()
    if row is None:
        raise NotFound(f"no export request {request_id}")
    return row


def _status(row: Any) -> str:
    if row.confirmed_at is None:
        return "lapsed" if row.requested_at + CONFIRMED_WITHIN <= clock.now() else "requested"
    return "expired" if row.confirmed_at + TAKEN_WITHIN <= clock.now() else "confirmed"


def _shown(row: Any) -> dict[str, Any]:
    told = {name: getattr(row, name) for name in ("leaf_from", "leaf_to", "format", "shown", "reason", "requested_by")}
    return told | {
        "request_id": row.id,
        "asked": orjson.loads(row.asked),
        "status": _status(row),
        "requested_at": clock.rfc3339(row.requested_at),
        "confirmed_by": row.confirmed_by,
        "confirmed_at": clock.rfc3339(row.confirmed_at) if row.confirmed_at is not None else None,
    }


def _record_step(tx: Connection, event: Event, by: Principal, row: Any) -> None:
    """An operator that is looked for is written as review does it: beside the bytes."""
    asked = orjson.loads(row.asked)
    operator = asked.pop("operator", None)
    detail = {name: getattr(row, name) for name in ("leaf_from", "leaf_to", "format", "shown", "reason")}
    detail |= {"request": row.id, "asked": asked, "role": by.role}
    trail.append(tx, trail.Entry(type=event, actor=by.actor, operator=by.person, reference=operator, detail=detail))


_LOCK = 0x7A3E
_NAMES = {"since": "from", "until": "to"}
_KEYS = {name: key for key, name in _NAMES.items()}
