# SPDX-License-Identifier: Apache-2.0
"""The Idempotency-Key header: what makes it safe to send a request again.

A key is kept where the act itself is kept: on the entry, under a unique index (actor, key). So a key cannot be
spent without its entry, a twin that arrives while the first is in flight waits on that index, and there is no
second table to keep in step (docs/adr/0004).
"""

import re
from collections.abc import Callable
from typing import TypeVar

from flask import request
from sqlalchemy.exc import IntegrityError

from kernel.errors import Conflict, Invalid, Malformed

T = TypeVar("T")
_KEY = re.compile(r"[\x21-\x7e]{1,128}")


def required_key() -> str:
    """The present request's key; raises Malformed where it is missing or not 1-128 visible ASCII characters."""
    key = request.headers.get("Idempotency-Key", "")
    if not _KEY.fullmatch(key):
        raise Malformed(
            "send the header Idempotency-Key with 1-128 visible ASCII characters, new for each new request",
            slug="idempotency-key-required",
        )
    return key


def require_same(earlier_digest: str, digest: str) -> None:
    """Raise Invalid where a key comes back with another body."""
    if earlier_digest != digest:
        raise Invalid("this Idempotency-Key was used with another body: use a new key", slug="idempotency-key-reused")


def in_flight() -> Conflict:
    """The error for a twin that waited in vain for the first to finish."""
    return Conflict("the same request is still being answered: try again in a second", slug="request-in-flight")


def settle(attempt: Callable[[], T]) -> T:
    """Make an attempt, and once more where a twin took its key (or its place) in between.

    The second attempt finds what the twin wrote. `attempt` is one whole transaction.
    """
    try:
        return attempt()
    except IntegrityError:
        return attempt()
