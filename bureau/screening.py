# SPDX-License-Identifier: Apache-2.0
"""Screening (信息筛选, requirements G4): which enterprises fit conditions, of those that let themselves be found.

A cursor is the question itself with the place of the last row, encrypted and bound to the institution: any worker
goes on from it, over the same snapshot, with the consents of that moment.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from bureau import indicators
from bureau.disclosure_many import Page, Search, disclose_many
from bureau.screening_engine import Classes, Snapshot, View
from bureau.screening_terms import named, parse, parse_sort
from kernel import auth, clock, keys
from kernel.errors import Invalid, NotPermitted
from kernel.keys import Altered

LIMIT_ROWS = 50
MAX_ROWS = 200
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
    if principal.institution is None:
        raise NotPermitted("only a client of an institution may screen", slug="not-an-institution")
    asking = principal.institution
    asked = _read(body, asking)
    where, sort = parse(asked.where), parse_sort(asked.sort)
    told = list(dict.fromkeys([*named(where), *(each.indicator for each in sort)]))

    def produce(page_id: str, snapshot: Snapshot, classes: Classes) -> Page:
        view = View(snapshot, classes)
        matched, without = view.without(where)
        after = [np.inf if each is None else each for each in asked.after] if asked.after is not None else None
        rows = [int(row) for row in view.order(matched, sort, after)[: asked.limit + 1]]
        more, rows = len(rows) > asked.limit, rows[: asked.limit]
        total = int(matched.sum())
        document = {
            "screening_id": page_id,
            "as_of": {"publication": snapshot.publication, "time": clock.rfc3339(snapshot.time)},
            "total": total,
            "conditions": [{"path": path, "without": count} for path, count in without],
            "facets": view.facets(matched, FACETS),
            "enterprises": [
                {
                    "uscc": snapshot.usccs[row],
                    "name": snapshot.names[row],
                    "indicators": {code: view.value(code, row) for code in told},
                }
                for row in rows
            ],
            "next_cursor": _cursor(asked, snapshot, asking, view.key(rows[-1], sort)) if more else None,
            "entry_id": page_id,
        }
        # The conditions as text: canonical JSON of the trail knows no floats.
        said = {"conditions": orjson.dumps({"where": asked.where, "sort": asked.sort}).decode(), "total": total}
        return Page(orjson.dumps(document), tuple(snapshot.usccs[row] for row in rows), said)

    search = Search(asking, principal.actor, principal.client, key, str(body["operator"]), dict(body), asked.version)
    return disclose_many(search, produce)[1]


def describe(snapshot: Snapshot) -> dict[str, Any]:
    """Every indicator with how its values spread over all enterprises; no group of fewer than SMALLEST is told."""
    classes = []
    for number, (name, name_en) in indicators.CLASSES.items():
        of_class = [
            _described(snapshot, place, each)
            for place, each in enumerate(indicators.ALL.values())
            if each.number == number
        ]
        classes.append({"class": number, "name": name, "name_en": name_en, "indicators": of_class})
    as_of = {"publication": snapshot.publication, "time": clock.rfc3339(snapshot.time)}
    return {"as_of": as_of, "enterprises": len(snapshot.usccs), "proposal": True, "classes": classes}


SMALLEST = 10
QUANTILES = (5, 10, 25, 50, 75, 90, 95)
BINS = 10


def _described(snapshot: Snapshot, place: int, each: indicators.Indicator) -> dict[str, Any]:
    column, words = snapshot.columns[place], snapshot.words[place]
    known = column[~np.isnan(column)]
    missing = len(column) - len(known)
    small = len(known) < SMALLEST or 0 < missing < SMALLEST
    told: dict[str, Any] = {
        "code": each.code,
        "name": each.name,
        "name_en": each.name_en,
        "type": each.type,
        "unit": each.unit,
        "direction": each.direction,
        "formula": each.rule.formula,
        "window_months": each.rule.window_months,
        "source_items": list(each.rule.items),
        "source_classes": list(each.source_classes),
        "missing_share": None if small or not len(column) else round(missing / len(column), 4),
        "quantiles": None,
        "histogram": None,
    }
    if each.type in ("number", "integer") and len(known) * QUANTILES[0] >= SMALLEST * 100:
        told["quantiles"] = [
            {"percent": percent, "value": float(value)}
            for percent, value in zip(QUANTILES, np.percentile(known, QUANTILES, method="lower"), strict=True)
        ]
        low, high = np.percentile(known, (QUANTILES[0], QUANTILES[-1]), method="lower")
        counts, edges = np.histogram(np.clip(known, low, high), BINS)
        told["histogram"] = [
            {"from": float(edges[n]), "to": float(edges[n + 1]), "count": int(counts[n])}
            for n in range(BINS)
            if counts[n] >= SMALLEST
        ]
    elif each.type == "category":
        counts = np.bincount(known.astype(np.intp), minlength=len(words))
        ranks = [int(rank) for rank in np.argsort(-counts, kind="stable")[:50] if counts[rank] >= SMALLEST]
        told["histogram"] = [{"value": words[rank], "count": int(counts[rank])} for rank in ranks]
    return told


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
