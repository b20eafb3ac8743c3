# SPDX-License-Identifier: Apache-2.0
"""Identifiers: UUIDv7 (RFC 9562 §5.7), so that newer things sort later, and unguessable secrets."""

import secrets
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

SECRET_BYTES = 32  # 256 bits: tokens and client secrets
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_id() -> str:
    """A UUIDv7: 48 bits of Unix milliseconds, 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    value = (milliseconds << 80) | (0x7 << 76) | ((random >> 62) << 64) | (0b10 << 62) | (random & (2**62 - 1))
    return str(UUID(int=value))


def first_at(instant: datetime) -> str:
    """The smallest id of an instant's millisecond: what was made earlier sorts before it, what comes later after."""
    milliseconds = (instant - _EPOCH) // timedelta(milliseconds=1)
    return str(UUID(int=(milliseconds << 80) | (0x7 << 76) | (0b10 << 62)))


def instant_of(made: str) -> datetime:
    """The millisecond in which an id was made."""
    return _EPOCH + timedelta(milliseconds=int(made[:8] + made[9:13], 16))


def new_secret() -> str:
    """256 random bits in URL-safe base64: for tokens and secrets, which are stored only as a hash."""
    return secrets.token_urlsafe(SECRET_BYTES)
