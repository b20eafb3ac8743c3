# SPDX-License-Identifier: Apache-2.0
"""JSON Lines: one object a line, its keys the feed's columns. A key that is absent or null is an empty cell.

Numbers stay the text that they were, so that no code and no sum becomes a float. An object with unknown or
repeated keys, or with a value that is an object or a list, is one malformed row.
"""

import json
from collections.abc import Iterator
from typing import Any

from connectors.layouts import Layout, Records, overlong


def records(lines: Iterator[str], record: list[str], layout: Layout) -> Records:
    """First the feed's columns as a header, then each object's cells in their order, with its line.

    Optional columns (`ignored`) are left out of the cells. `record` is what `lines` notes its lines in.
    """
    columns = layout.columns
    yield list(columns), []
    record.clear()
    for line in lines:
        if line.strip():
            cells = _cells(line, layout)
            if cells and max(map(len, cells)) > layout.limits.cell_characters:
                raise overlong(layout.limits.cell_characters)
            yield cells, record
        record.clear()


def _cells(line: str, layout: Layout) -> list[str]:
    """The texts of an object in the order of the columns; none where it is no such object."""
    try:
        found = json.loads(line, parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return []
    if not isinstance(found, dict):
        return []
    if any(name not in layout.columns and name not in layout.ignored for name in found):
        return []
    texts = [_text(found.get(name)) for name in layout.columns]
    return [text for text in texts if text is not None] if None not in texts else []


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _text(value: object) -> str | None:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else None
