# SPDX-License-Identifier: Apache-2.0
"""Where a client may be answered: its registered redirect URIs, compared character by character (RFC 9700 §4.1.3).

https, or http on the machine itself for a sandbox; no fragment, no user, no wildcard.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

from sqlalchemy import Connection, delete, insert, select

from access.models import client_redirect
from kernel.errors import Invalid

MOST = 10  # of one client
MOST_CHARS = 400
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def checked(uris: Iterable[str]) -> tuple[str, ...]:
    """The redirect URIs of a client, each once; raises Invalid naming the one that is none."""
    known = tuple(dict.fromkeys(uris))
    if len(known) > MOST:
        raise Invalid(f"a client has at most {MOST} redirect URIs", errors={"redirect_uris": ["too many"]})
    for uri in known:
        if (fault := _fault(uri)) is not None:
            raise Invalid(f"a redirect URI is wrong: {fault}", errors={"redirect_uris": [f"{uri[:80]}: {fault}"]})
    return known


def register(tx: Connection, client_id: str, uris: Iterable[str]) -> None:
    """Make these, and no others, the client's redirect URIs. The caller commits. Raises Invalid."""
    known = checked(uris)
    tx.execute(delete(client_redirect).where(client_redirect.c.client == client_id))
    if known:
        tx.execute(insert(client_redirect), [{"client": client_id, "uri": uri} for uri in known])


def of_clients(reading: Connection, client_ids: Iterable[str]) -> dict[str, list[str]]:
    """The redirect URIs of those clients that have any, in the order of their text."""
    found: dict[str, list[str]] = {}
    known = select(client_redirect).where(client_redirect.c.client.in_(list(client_ids)))
    for row in reading.execute(known.order_by(client_redirect.c.uri)):
        found.setdefault(row.client, []).append(row.uri)
    return found


def is_registered(reading: Connection, client_id: str, uri: str) -> bool:
    mine = client_redirect.c.client == client_id, client_redirect.c.uri == uri
    return reading.scalar(select(client_redirect.c.uri).where(*mine)) == uri


def origin_of(uri: str) -> str:
    """Scheme, host and port, as a Content-Security-Policy names them."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"


def _fault(uri: str) -> str | None:
    if len(uri) > MOST_CHARS or not uri.isascii() or not uri.isprintable() or set(uri) & set(" \"'<>\\^`{|};,*"):
        return f"at most {MOST_CHARS} characters of a URI, and no * ' , or ;"
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "no URI"
    if not host or "#" in uri or parts.username is not None or parts.password is not None:
        return "an absolute URI without fragment and user"
    if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK):
        return "https, or http on 127.0.0.1, [::1] or localhost"
    return None
