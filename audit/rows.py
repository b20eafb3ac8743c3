# SPDX-License-Identifier: Apache-2.0
"""A row of the trail held against its own bytes: a row is right if it is the one that its bytes make. Pure.

Rows are taken as the driver gives them (`COLUMNS`), so that a value of the wrong type is named and not stumbled over.
"""

from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, String, cast, type_coerce
from sqlalchemy.types import NullType

from audit import trail
from audit.merkle import leaf_hash
from audit.models import entry as entries
from kernel import canonical

_INDEXED = ("id", "type", "actor", "uscc", "institution", "consent", "outcome", "billable")
_SALTED = tuple((name, f"{name}_digest") for name in ("operator", "reference", "idempotency_key"))

# As the driver gives them; _INDEXED first. The time in words: one that is nonsense could not be fetched as a time.
COLUMNS: tuple[ColumnElement[Any], ...] = (
    *(type_coerce(entries.c[name], NullType()).label(name) for name in _INDEXED),
    *(type_coerce(each, NullType()).label(each.name) for each in entries.c if each.name not in (*_INDEXED, "time")),
    cast(entries.c.time, String).label("time"),
)


def fault(row: Any) -> str | None:
    """What is wrong with a row of COLUMNS, or None."""
    try:
        return _fault(row)
    except (TypeError, AttributeError, ValueError, UnicodeError):
        return "edited: a column holds what was never written"


def is_hashed(row: Any) -> bool:
    """Whether a row's leaf hash is that of its bytes."""
    return isinstance(row.bytes, bytes) and leaf_hash(row.bytes) == row.leaf_hash


def _fault(row: Any) -> str | None:
    if not isinstance(row.bytes, bytes):
        return "edited: its bytes are gone"
    if not is_hashed(row):
        return "edited: its bytes do not hash to its leaf hash"
    document = _read(row.bytes)
    if document is None:
        return "edited: its bytes are not a canonical JSON object"
    told, kept = tuple(map(document.get, _INDEXED)), row[: len(_INDEXED)]
    if told != kept:
        return f"edited: its column {_first_difference(told, kept)} differs from its bytes"
    if trail.facet_of(document) != row.facet or trail.mask_of(document.get("classes")) != row.classes:
        return "edited: what review finds it by differs from its bytes"
    if datetime.fromisoformat(document["time"]) != datetime.fromisoformat(row.time).replace(tzinfo=UTC):
        return "edited: its column time differs from its bytes"
    for name, digest in _SALTED:
        clear = getattr(row, name)
        if document.get(digest) != (clear and trail.salted_digest(row.salt, clear)):
            return f"edited: its {name} differs from its digest"
    return None


def _read(content: bytes) -> dict[str, Any] | None:
    """The document of an entry's bytes, if they are what canonical JSON makes of one."""
    try:
        document = orjson.loads(content)
        return document if isinstance(document, dict) and canonical.encode(document) == content else None
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):  # the latter where it is nested too deeply
        return None


def _first_difference(told: tuple[Any, ...], kept: tuple[Any, ...]) -> str:
    return next(name for name, one, other in zip(_INDEXED, told, kept, strict=True) if one != other)
