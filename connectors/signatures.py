# SPDX-License-Identifier: Apache-2.0
"""Signed messages as Standard Webhooks 1.0 has them: HMAC-SHA256 (`v1`) and Ed25519 (`v1a`) side by side. Pure."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable
from datetime import datetime

SECRET_BYTES = 32
_SECRET, _PUBLIC = "whsec_", "whpk_"


def new_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def secret_text(secret: bytes) -> str:
    """A secret as a receiver's library takes it."""
    return _SECRET + base64.b64encode(secret).decode()


def public_text(public: bytes) -> str:
    """An Ed25519 public key as a receiver's library takes it."""
    return _PUBLIC + base64.b64encode(public).decode()


def headers(
    message_id: str, now: datetime, body: bytes, secrets: Iterable[bytes], sign: Callable[[bytes], bytes]
) -> dict[str, str]:
    """The headers of a message: its id, the time of this attempt, a signature for each secret and one by `sign`."""
    timestamp = str(int(now.timestamp()))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    made = [("v1", hmac.digest(secret, signed, hashlib.sha256)) for secret in secrets] + [("v1a", sign(signed))]
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"{version},{base64.b64encode(value).decode()}" for version, value in made),
    }
