# SPDX-License-Identifier: Apache-2.0
"""The keys that the log signs with. A new one signs beside the earlier ones, until those are retired.

So whoever trusts an earlier key, a bank with its file or a witness with its list, finds its signature for as long
as the overlap lasts. A retired key signs nothing more; what it signed goes on verifying.
"""

from typing import Any

from sqlalchemy import Connection

from audit import trail
from audit.events import Event
from audit.notes import ED25519, Verifier
from kernel import clock, signing
from kernel.errors import Conflict, NotFound


def add(tx: Connection, origin: str) -> Verifier:
    """Make a key that signs beside the others from the next sealing on; on the trail. The caller commits."""
    kid = signing.add(tx, "log")
    (added,) = (_verifier(origin, each) for each in signing.held(tx, "log") if each.kid == kid)
    _tell(tx, Event.LOG_KEY_ADDED, added)
    return added


def retire(tx: Connection, origin: str, key_id: str) -> Verifier:
    """Have a key, named by the hex id in its text form, sign no more; on the trail. The caller commits.

    Raises NotFound for one that does not sign, Conflict for the last one that does.
    """
    in_use = [each for each in signing.held(tx, "log") if each.retired_at is None]
    named = [each for each in in_use if _verifier(origin, each).id.hex() == key_id]
    if not named:
        raise NotFound(f"the log signs with no key of the id {key_id}: `bureau log-key list` shows them")
    if len(in_use) == 1:
        raise Conflict("it is the only key that signs: `bureau log-key add` first, and give the new one to everyone")
    signing.retire(tx, named[0].kid)
    retired = _verifier(origin, named[0])
    _tell(tx, Event.LOG_KEY_RETIRED, retired)
    return retired


def listed(tx: Connection, origin: str) -> list[dict[str, Any]]:
    """Every key that the log ever signed with, oldest first: `{"key", "since", "retired_at"}`."""
    return [
        {
            "key": str(_verifier(origin, each)),
            "since": clock.rfc3339(each.created_at),
            "retired_at": clock.rfc3339(each.retired_at) if each.retired_at else None,
        }
        for each in signing.held(tx, "log")
    ]


def _verifier(origin: str, held: signing.Held) -> Verifier:
    return Verifier(origin, ED25519, held.public)


def _tell(tx: Connection, event: Event, key: Verifier) -> None:
    trail.append(tx, trail.Entry(type=event, actor="counter", channel="counter", detail={"key": str(key)}))
