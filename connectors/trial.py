# SPDX-License-Identifier: Apache-2.0
"""A feed tried on a sample: what each row would become, and why some would not; nothing is stored."""

from collections import Counter
from pathlib import Path
from typing import Any

from bureau import catalogue
from bureau.judging import CONSENT_BASES, Rejected, judge
from bureau.records import Row
from connectors import feeds
from connectors.feeds import Feed

EXAMPLES = 3  # of each reason and warning


class _Everything:
    """Stands for consents that cover all classes: whether an enterprise consented a trial does not ask."""

    def __contains__(self, _class: object) -> bool:
        return True


def check(feed: Feed, sample: Path) -> dict[str, Any]:
    """`{"feed", "rows", "accepted", "rejected", "reasons", "warnings", "event_date", "items"}` of a sample file.

    `reasons` and `warnings`: each with its count and the numbers of the first rows; `items` and `event_date`: the
    column it comes from, how many accepted rows fill it, and the first one's value. Raises what `feeds.pull` raises.
    """
    batch, known = feeds.pull(feed, sample), catalogue.current()
    reasons, warnings = Counter[str](), Counter[str]()
    places: dict[str, list[int]] = {}
    filled, first = Counter[str](), dict[str, Any]()
    rows = accepted = 0
    for row in batch.rows:
        rows += 1
        covers = {row.uscc: _Everything()} if isinstance(row, Row) and batch.basis in CONSENT_BASES else {}
        judged = judge(row, batch, known, covers)
        told = [judged.reason] if isinstance(judged, Rejected) else list(judged.warnings)
        (reasons if isinstance(judged, Rejected) else warnings).update(told)
        for each in told:
            if len(places.setdefault(each, [])) < EXAMPLES:
                places[each].append(row.number)
        if not isinstance(judged, Rejected):
            accepted += 1
            for item, value in (*judged.items.items(), (catalogue.EVENT_DATE, judged.row.event_date)):
                if value is not None:
                    filled[item] += 1
                    first.setdefault(item, value)
    dataset, columns = known.datasets[feed.dataset], _columns(feed)

    def shown(item: str) -> dict[str, Any]:
        return {"column": columns.get(item), "filled": filled[item], "example": first.get(item)}

    return {
        "feed": feed.feed,
        "rows": rows,
        "accepted": accepted,
        "rejected": rows - accepted,
        "reasons": {each: {"count": count, "rows": places[each]} for each, count in sorted(reasons.items())},
        "warnings": {each: {"count": count, "rows": places[each]} for each, count in sorted(warnings.items())},
        "event_date": shown(catalogue.EVENT_DATE),
        "items": {item.code: {"name": item.name_zh, **shown(item.code)} for item in dataset.items},
    }


def _columns(feed: Feed) -> dict[str, str]:
    """Item → the column that fills it: what defaults, division and currencies fill has none."""
    translation = feed.translation
    columns = {column.item: column.name for column in translation.columns}
    event = columns.get(translation.event_item or "", translation.event_column)
    return columns | ({catalogue.EVENT_DATE: event} if event else {})
