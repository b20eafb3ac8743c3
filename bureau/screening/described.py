# SPDX-License-Identifier: Apache-2.0
"""The indicators as they are listed: what each says, and how its values spread over all enterprises.

No group of fewer than SMALLEST is told, nor what would tell it by subtraction: then the next larger one is kept back
as well. Those who have no value are a group too.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from bureau import indicators
from bureau.screening.columns import Numbers, Snapshot
from kernel import clock

SMALLEST = 10  # enterprises
QUANTILES = (5, 10, 25, 50, 75, 90, 95)
BINS = 10
MOST_WORDS = 50


def describe(snapshot: Snapshot) -> dict[str, Any]:
    """Every indicator in its class, with its spread. Computed once for a snapshot."""
    global _latest
    if _latest is None or _latest[0] != snapshot.key:
        _latest = snapshot.key, _describe(snapshot)
    return _latest[1]


_latest: tuple[Any, dict[str, Any]] | None = None


def told(counts: Sequence[int]) -> list[bool]:
    """Which groups of these sizes may be told."""
    shown = [count >= SMALLEST for count in counts]
    while 0 < sum(count for count, seen in zip(counts, shown, strict=True) if not seen) < SMALLEST and any(shown):
        smallest = min((place for place, seen in enumerate(shown) if seen), key=lambda place: counts[place])
        shown[smallest] = False
    return shown


def _describe(snapshot: Snapshot) -> dict[str, Any]:
    classes = []
    for number, (name, name_en) in indicators.CLASSES.items():
        of_class = [
            _described(each, snapshot.columns[place].values(), snapshot.columns[place].kind.words)
            for place, each in enumerate(indicators.ALL.values())
            if each.number == number
        ]
        classes.append({"class": number, "name": name, "name_en": name_en, "indicators": of_class})
    as_of = {"publication": snapshot.publication, "time": clock.rfc3339(snapshot.time)}
    return {"as_of": as_of, "enterprises": len(snapshot), "proposal": True, "classes": classes}


def _described(each: indicators.Indicator, column: Numbers, words: Sequence[str]) -> dict[str, Any]:
    known = column[~np.isnan(column)]
    missing = len(column) - len(known)
    spread = _of_groups(known, words, missing) if words or each.type == "boolean" else _of_numbers(each, known)
    has_share = all(told([missing, len(known)])) or not missing
    return {
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
        "missing_share": round(missing / len(column), 4) if has_share and len(column) >= SMALLEST else None,
        **spread,
    }


def _of_numbers(each: indicators.Indicator, known: Numbers) -> dict[str, Any]:
    """Quantiles from the 5th to the 95th, beyond which fewer than SMALLEST may stand; bins of equal width between."""
    if each.type == "category" or len(known) * QUANTILES[0] < SMALLEST * 100:
        return {"quantiles": None, "histogram": None}
    values = np.percentile(known, QUANTILES, method="lower")
    counts, edges = np.histogram(np.clip(known, values[0], values[-1]), BINS)
    shown = told(counts.tolist())
    return {
        "quantiles": [
            {"percent": percent, "value": _said(each, value)} for percent, value in zip(QUANTILES, values, strict=True)
        ],
        "histogram": [
            {"from": _said(each, edges[n]), "to": _said(each, edges[n + 1]), "count": int(counts[n])}
            for n in range(BINS)
            if shown[n]
        ],
    }


def _of_groups(known: Numbers, words: Sequence[str], missing: int) -> dict[str, Any]:
    """How many have each word, or each of yes and no; the most frequent first."""
    names: Sequence[Any] = words or (False, True)
    counts = np.bincount(known.astype(np.intp), minlength=len(names)).tolist()
    shown = told([missing, *counts])[1:]
    ranks = sorted((rank for rank in range(len(names)) if shown[rank]), key=lambda rank: -counts[rank])
    groups = [{"value": names[rank], "count": counts[rank]} for rank in ranks[:MOST_WORDS]]
    return {"quantiles": None, "histogram": groups or None}


def _said(each: indicators.Indicator, value: Any) -> Any:
    return date.fromordinal(int(value)).isoformat() if each.type == "date" else round(float(value), 4)
