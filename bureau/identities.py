# SPDX-License-Identifier: Apache-2.0
"""What a record is told apart by, and what a delivered row is recognised by when it comes again."""

import hashlib
from collections.abc import Mapping

import orjson

from bureau.catalogue import Dataset
from bureau.records import Value
from kernel import keys


def of_key(dataset: Dataset, source: str, event_date: str | None, items: Mapping[str, Value]) -> int:
    """What a state or period record is identified by: its source and key items (design section 4)."""
    named = [event_date if name == "event_date" else items.get(name) for name in dataset.key_items]
    content = orjson.dumps([source, dataset.code, *named])
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def mark_of(source: str, dataset: str, uscc: str, event_date: bytes, items: bytes) -> int:
    """The fingerprint by which repeats of a delivered row are counted; `event_date` and `items` as JSON.

    An event is identified by it too: events with the same content are one.
    """
    told = b"\0".join((source.encode(), dataset.encode(), uscc.encode(), event_date, items))
    return keys.purpose("marks").mac64(told)
