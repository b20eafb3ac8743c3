# SPDX-License-Identifier: Apache-2.0
"""A page of a screening: the enterprises that fit, of those that let themselves be found, or many as a CSV file.

A cursor is the question itself with the place of the last row, encrypted and bound to the institution: any worker
goes on from it, over the same snapshot, with the consents of that moment.
"""

import base64
import binascii
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from bureau import indicators
from bureau.disclosure_many import Page, Search, disclose_many
from bureau.screening.columns import Snapshot
from bureau.screening.engine import Classes, View
from bureau.screening.terms import Node, Sort, named, parse, parse_sort, said
from kernel import auth, cells, clock, keys
from kernel.errors import Invalid, NotPermitted
from kernel.keys import Altered

LIMIT_ROWS = 50
MAX_ROWS = 200  # of a page; the most that one entry names
MAX_EXPORTED = 2_000  # rows of a CSV file
MAX_CURSOR = 32_768
FACETS = ("REGION.CODE", "INDUSTRY.SECTION", "HONOUR.TITLE", "TAX.GRADE", "BASIC.SIZE", "BASIC.STATUS")


@dataclass(frozen=True, slots=True)
class Asked:
    """A screening, or how one goes on: conditions and order as they came, and behind which row of which snapshot."""

    where: Any
    sort: Any
    limit: int
    version: int | None = None
    after: list[float | None] | None = None


def screen(principal: auth.Principal, body: Mapping[str, Any], key: str) -> bytes:
    """A page of enterprises, as JSON; it is on the trail when this returns. Raises Invalid, NotPermitted, Gone."""
    asking = _institution(principal)
    asked = _read(body, asking)
    where, sort = parse(asked.where), parse_sort(asked.sort)
    told, told_of = _told(where, sort), said(asked.where, asked.sort)

    def produce(page_id: str, snapshot: Snapshot, classes: Classes) -> Page:
        view = View(snapshot, classes)
        matched, without = view.without(where)
        rows = _rows(view, matched, sort, asked, asked.limit + 1)
        more, rows = len(rows) > asked.limit, rows[: asked.limit]
        usccs, total = tuple(snapshot.uscc(row) for row in rows), int(np.count_nonzero(matched))
        document = {
            "screening_id": page_id,
            "as_of": {"publication": snapshot.publication, "time": clock.rfc3339(snapshot.time)},
            "total": total,
            "conditions": [{"path": path, "without": count} for path, count in without],
            "facets": view.facets(matched, FACETS),
            "enterprises": [
                {
                    "uscc": uscc,
                    "name": snapshot.names[row],
                    "indicators": {code: view.value(code, row) for code in told},
                }
                for uscc, row in zip(usccs, rows, strict=True)
            ],
            "next_cursor": _cursor(asked, snapshot, asking, view.key(rows[-1], sort)) if more else None,
            "entry_id": page_id,
        }
        # The conditions as text: canonical JSON of the trail knows no floats.
        return Page(orjson.dumps(document), usccs, {"conditions": told_of, "total": total})

    return disclose_many(_search(principal, asking, body, key, asked), produce)[1]


def export(principal: auth.Principal, body: Mapping[str, Any], key: str) -> tuple[str, bytes]:
    """The first rows of a screening as CSV (UTF-8 with its mark), under the same consents, each on the trail.

    Returns the entry's id, by which its receipt is fetched, and the file.
    A text that a spreadsheet would take for a formula begins with an apostrophe. Raises as `screen` does.
    """
    asking = _institution(principal)
    asked = Asked(body["where"], body.get("sort", []), int(body.get("limit", MAX_EXPORTED)))
    where, sort = parse(asked.where), parse_sort(asked.sort)
    told, told_of = _told(where, sort), said(asked.where, asked.sort)

    def produce(_id: str, snapshot: Snapshot, classes: Classes) -> Page:
        view = View(snapshot, classes)
        matched = view.matches(where)
        rows = _rows(view, matched, sort, asked, asked.limit)
        usccs = tuple(snapshot.uscc(row) for row in rows)
        lines = [
            [uscc, snapshot.names[row], *(view.value(code, row) for code in told)]
            for uscc, row in zip(usccs, rows, strict=True)
        ]
        heads = ["USCC", "企业名称", *(f"{indicators.ALL[code].name} {code}" for code in told)]
        about = {"conditions": told_of, "total": int(np.count_nonzero(matched))}
        return Page(_csv([heads, *lines]), usccs, about)

    return disclose_many(_search(principal, asking, body, key, asked), produce)


def pages_of(rows: int) -> int:
    """How many pages an export of so many rows counts for."""
    return -(-rows // MAX_ROWS)


def _institution(principal: auth.Principal) -> auth.Institution:
    if principal.institution is None:
        raise NotPermitted("only a client of an institution may screen", slug="not-an-institution")
    return principal.institution


def _search(
    principal: auth.Principal, asking: auth.Institution, body: Mapping[str, Any], key: str, asked: Asked
) -> Search:
    return Search(asking, principal.actor, principal.client, key, str(body["operator"]), dict(body), asked.version)


def _told(where: Node, sort: Sequence[Sort]) -> list[str]:
    """The indicators that a page tells: those that its conditions and its order name."""
    return list(dict.fromkeys([*named(where), *(each.indicator for each in sort)]))


def _rows(view: View, matched: Any, sort: Sequence[Sort], asked: Asked, most: int) -> list[int]:
    after = [np.inf if each is None else each for each in asked.after] if asked.after is not None else None
    return [int(row) for row in view.order(matched, sort, after, most)]


def _csv(lines: Sequence[Sequence[Any]]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows([_cell(each) for each in line] for line in lines)
    return ("\N{BYTE ORDER MARK}" + written.getvalue()).encode()


def _cell(value: Any) -> str:
    """A value as a cell: nothing where it is missing, `true` or `false`, a number as it is, a text made harmless."""
    if isinstance(value, str):
        return cells.harmless(value)
    return "" if value is None else orjson.dumps(value).decode()


def _read(body: Mapping[str, Any], asking: auth.Institution) -> Asked:
    if "cursor" in body:
        if more := set(body) - {"cursor", "operator"}:
            told = "a cursor goes on with the screening that gave it: leave this out"
            raise Invalid(told, errors={name: [told] for name in sorted(more)})
        return _of_cursor(str(body["cursor"]), asking)
    if "where" not in body:
        raise Invalid("say `where`, or go on with a `cursor`", errors={"where": ["is missing"]})
    return Asked(body["where"], body.get("sort", []), int(body.get("limit", LIMIT_ROWS)))


def _cursor(asked: Asked, snapshot: Snapshot, asking: auth.Institution, after: list[float]) -> str:
    place = [None if each == np.inf else each for each in after]
    plain = orjson.dumps([asked.where, asked.sort, asked.limit, snapshot.version, place])
    return base64.urlsafe_b64encode(keys.purpose("screening").encrypt(plain, _bound_to(asking))).decode()


def _of_cursor(cursor: str, asking: auth.Institution) -> Asked:
    try:
        plain = keys.purpose("screening").decrypt(base64.urlsafe_b64decode(cursor), _bound_to(asking))
    except (binascii.Error, ValueError, Altered) as error:
        raise Invalid("the cursor is not one that a screening of yours gave", errors={"cursor": ["unknown"]}) from error
    where, sort, limit, version, after = orjson.loads(plain)
    return Asked(where, sort, limit, version, after)


def _bound_to(asking: auth.Institution) -> bytes:
    return f"screening-cursor\0{asking.id}".encode()
