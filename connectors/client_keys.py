# SPDX-License-Identifier: Apache-2.0
"""Fetches the keys that clients publish at a URL, ahead of time, so that no request ever waits for another's server.

What is fetched replaces what was there, at once; a document that cannot be had or holds no good key changes nothing.
"""

from collections.abc import Iterable
from typing import Any

import orjson
import structlog

from access import client_keys, clients
from access.networks import Network
from audit import trail
from connectors import outward
from connectors.outward import Unreachable
from kernel import db
from kernel.errors import Invalid

log = structlog.get_logger()


def work_once(listed: Iterable[Network]) -> int:
    """Fetch the keys that are due; `listed` are the networks that may be called into. Returns how many were fetched."""
    with db.reading() as reading:
        due = client_keys.due(reading)
    return sum(refresh(client_id, uri, tuple(listed)) for client_id, uri in due)


def refresh(client_id: str, uri: str, listed: Iterable[Network]) -> bool:
    """Fetch one client's keys. Whether that went well; what did not is noted, and tried again later."""
    try:
        jwks = fetched(uri, listed)
    except (Invalid, Unreachable) as error:
        log.warning("a client's keys could not be fetched", client=client_id, fault=error.detail)
        with db.transaction() as tx:
            client_keys.note_fetch(tx, client_id, error.detail)
        return False
    with trail.recording() as tx:
        clients.take_published(tx, client_id, jwks)
        client_keys.note_fetch(tx, client_id, None)
    return True


def fetched(uri: str, listed: Iterable[Network]) -> list[dict[str, Any]]:
    """The keys for signing at a URL; raises Unreachable, or Invalid where the document holds none that does."""
    reply = outward.request("GET", uri, listed, headers={"Accept": "application/jwk-set+json, application/json"})
    if reply.status != 200:
        raise Unreachable(f"the keys' URL answered {reply.status}")
    try:
        return client_keys.checked(orjson.loads(reply.body), skipping=True)
    except orjson.JSONDecodeError as error:
        raise Unreachable("the keys' URL answered no JSON") from error
