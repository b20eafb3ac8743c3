# SPDX-License-Identifier: Apache-2.0
"""Reading the trail: what an enterprise sees of who asked about it and why (条例 Art. 22; 深圳条例 Art. 44), and what
compliance sees of everything. Who of the staff looks at something is written down in the same transaction.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import Connection, literal, select, text, tuple_

from audit import search, trail
from audit.events import Event
from audit.models import IS_SHOWN
from audit.models import entry as entries
from audit.models import shown as shown_on
from audit.search import Place
from kernel import clock
from kernel.auth import Principal
from kernel.errors import NotFound

INSTITUTION, ENTERPRISE, COMPLIANCE = "institution", "enterprise", "compliance"
REVIEWS = "audit:read"  # the scope


def access_log(tx: Connection, uscc: str, before: str | None, limit: int) -> tuple[list[dict[str, Any]], str | None]:
    """Who looked at or asked about an enterprise, newest first, refusals and replays included; `before` an entry's id.

    Returns a page and the id to go on from, None at the end. A page may hold fewer than `limit` lines, because an
    entry past its retention (no bytes) is no longer shown. Reads `limit` rows whatever else is on the trail.
    """
    # The condition stands in the statement as it does in the index: with a parameter no planner would use it. And
    # the enterprise is a range, not an equality: else PostgreSQL may walk all entries by id in search of it.
    place = tuple_(entries.c.uscc, entries.c.id)
    page = select(entries.c.id, entries.c.bytes).where(
        place < tuple_(literal(uscc), literal(before or search.ABOVE_ALL)), entries.c.uscc >= uscc, text(IS_SHOWN)
    )
    rows = list(tx.execute(page.order_by(entries.c.uscc.desc(), entries.c.id.desc()).limit(limit)))
    on_pages = select(entries.c.id, entries.c.bytes).join(shown_on, shown_on.c.entry == entries.c.id)
    on_pages = on_pages.where(shown_on.c.uscc == uscc, shown_on.c.entry < (before or search.ABOVE_ALL))
    rows += tx.execute(on_pages.order_by(shown_on.c.entry.desc()).limit(limit))
    rows = sorted(rows, key=lambda row: str(row.id), reverse=True)[:limit]
    shown = [_own_line(orjson.loads(row.bytes)) for row in rows if row.bytes is not None]
    return shown, _next(rows, limit)


def found(
    tx: Connection, asked: Mapping[str, Any], place: Place, limit: int
) -> tuple[list[dict[str, Any]], Place | None]:
    """Entries that fit, newest first, with everything that they say and `operator` and `reference` in clear.

    Of an entry past its retention only the columns beside its bytes are left. Arguments and errors as `search`.
    """
    rows, more = search.search(tx, asked, place, limit)
    return [_whole(row) for row in rows], more


def timeline(
    tx: Connection, name: str, value: str, after: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """All on the trail of one consent or enterprise (`name`: consent, uscc), in order, a page behind `after`."""
    rows = search.onwards(tx, name, value, after or "", limit)
    return [_whole(row) for row in rows], _next(rows, limit)


def one_for(row: Any, party: str) -> dict[str, Any]:
    """An entry as its party may see it: `require_party` says as what.

    Who at the institution asked, and with which reference of its own, is told to the institution and to compliance,
    with the salt of their digests in the receipt; the enterprise gets what a receipt tells.
    """
    hidden = party == ENTERPRISE
    return _whole(row) | ({"operator": None, "reference": None, "salt": None} if hidden else {"salt": row.salt.hex()})


def require_party(tx: Connection, by: Principal, entry_id: str) -> tuple[Any, str]:
    """An entry's row, and as what the caller may see it; raises NotFound for anyone else."""
    row = search.one(tx, entry_id)
    party = party_of(row, by) if row is not None else None
    if party is None:
        raise NotFound(f"no entry {entry_id} of yours")
    return row, party


def record_look(by: Principal, row: Any, party: str, what: str) -> None:
    """Write down that compliance looked at an entry, before it is shown; its parties' looks are their own business."""
    if party == COMPLIANCE:
        with trail.recording(only_the_entry=True) as tx:
            record_view(tx, by, what, 1, {"entry": row.id, "uscc": row.uscc})


def party_of(row: Any, by: Principal) -> str | None:
    """As what a caller may see an entry: as the institution that asked, as compliance, as the enterprise, or not."""
    if by.institution is not None and row.institution == by.institution.id:
        return INSTITUTION if by.consent in (None, row.consent) else None
    if REVIEWS in by.scopes:
        return COMPLIANCE
    return ENTERPRISE if by.uscc is not None and row.uscc == by.uscc else None


def record_view(
    tx: Connection, by: Principal, what: str, shown: int, asked: Mapping[str, Any], channel: str = "api"
) -> str:
    """Write down that someone of the staff looked at something: who, what, with which filter, how much of it.

    Returns the entry's id.

    A name of a person at a bank is no part of what the enterprise may read in a receipt: the operator that was
    looked for stands as the entry's reference, of which its bytes hold only the salted digest.
    """
    told = {name: value for name, value in asked.items() if value is not None and name != "operator"}
    said = trail.Entry(
        type=Event.STAFF_VIEWED,
        actor=by.actor,
        channel=channel,
        operator=by.person,
        reference=asked.get("operator"),
        uscc=asked.get("uscc"),
        outcome="answered",
        detail={"what": what, "role": by.role, "shown": shown, "asked": told},
    )
    trail.append(tx, said)
    return said.id


def _next(rows: list[Any], limit: int) -> str | None:
    return rows[-1].id if len(rows) == limit else None


def _line(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "query_id": document["id"],
        "time": document["time"],
        "type": document["type"],
        "institution": document.get("institution"),
        "institution_name": document.get("institution_name"),
        "purpose": document.get("purpose"),
        "product": document.get("product"),
        "classes": document.get("classes"),
        "outcome": document.get("outcome"),
        "reason": document.get("rule"),
        "receipt": f"/v1/audit/receipts/{document['id']}",
    }


def _own_line(document: dict[str, Any]) -> dict[str, Any]:
    """As `_line`; a page that showed many is not one enterprise's, and gives it no receipt."""
    return _line(document) if "uscc" in document else _line(document) | {"receipt": None}


def _whole(row: Any) -> dict[str, Any]:
    beside = {name: getattr(row, name) for name in ("id", "type", "actor", "uscc", "institution", "consent")}
    beside |= {"time": clock.rfc3339(row.time), "outcome": row.outcome, "billable": row.billable}
    document = orjson.loads(row.bytes) if row.bytes is not None else beside
    more = {name: document.get(name) for name in _MORE}
    in_clear = {"operator": row.operator, "reference": row.reference, "retained": row.bytes is not None}
    in_clear["leaf"] = row.leaf
    return _line(document) | more | in_clear


_MORE = (
    "actor",
    "channel",
    "client",
    "uscc",
    "consent",
    "consent_version",
    "publication",
    "rule",
    "request_digest",
    "answer_digest",
    "billable",
    "of",
    "detail",
)
