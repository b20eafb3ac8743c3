# SPDX-License-Identifier: Apache-2.0
"""Pushed deliveries: NDJSON over HTTP, spooled within limits and then received as a file is.

    1. whose     the feed must be one of the caller's own source
    2. spool     the body goes to a private file; meanwhile the request takes no place at work
    3. check     all of it is read once: a body that cannot be trusted as a whole is refused, nothing of it stored
    4. receive   by the very function that receives files; the same body again gives the first receipt

Each line is an object whose keys are the feed's columns, whatever format its files have. A sender who was cut off
sends the same body again: what was stored before is not stored twice.
"""

import base64
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import IO

from bureau import intake
from bureau.open_batches import Receipt
from connectors import feeds, spool
from connectors.feeds import Feed
from connectors.layouts import GZIP_MAGIC
from kernel.auth import Principal
from kernel.errors import Malformed, NotFound, NotPermitted, Unavailable

MOST_BYTES = 128 << 20
MOST_AT_ONCE = 8  # bodies that come in at once in one worker process
PIECE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Body:
    """A body as its request tells of it: None where it does not say. `digest` is a Content-Digest (RFC 9530)."""

    stream: IO[bytes]
    length: int | None
    coding: str | None
    digest: str | None


def receive(feed_name: str, by: Principal, body: Body, aside: Callable[[], AbstractContextManager[None]]) -> Receipt:
    """Take a pushed delivery in. `aside` is entered for as long as the request only waits.

    Raises NotFound or NotPermitted for the feed, Malformed for a body that was cut off, Unavailable where too many
    come in at once, and what `feeds.pull` and `intake.receive` raise.
    """
    feed = feeds.as_jsonl(own_feed(feed_name, by))
    limit_bytes = min(feed.layout.limits.packed_bytes, MOST_BYTES)
    with _coming_in(), spool.spooled(f"{feed.feed}.jsonl", limit_bytes) as file:
        with aside():
            _fill(file, body)
            _taking.acquire()
        try:
            return intake.receive(feeds.pull(feed, file.done(), channel="api", client=by.client))
        finally:
            _taking.release()


def own_feed(name: str, by: Principal) -> Feed:
    """A feed of the caller's source. Raises NotFound for none of this name, NotPermitted for another source's."""
    if name.endswith(".toml"):
        raise NotFound(f"no feed {name}")  # a name, never a path
    feed = feeds.load(name)
    if feed.source != by.source:
        raise NotPermitted(f"the feed {name} is another source's", slug="feed-of-another-source")
    return feed


@contextmanager
def _coming_in() -> Iterator[None]:
    if not _coming.acquire(blocking=False):
        raise Unavailable("too many deliveries come in at this moment: try again", slug="too-many-deliveries")
    try:
        yield
    finally:
        _coming.release()


def _fill(file: spool.Spool, body: Body) -> None:
    """Spool the body. Raises `Malformed` where it is not all that was announced, or nothing tells whether it is."""
    if body.length is None and body.digest is None:
        raise Malformed(
            "send Content-Length or, with a chunked body, Content-Digest: else one that was cut off looks whole",
            slug="length-required",
        )
    digest, first = hashlib.sha256(), b""
    while piece := body.stream.read(PIECE_BYTES):
        first = first or piece
        digest.update(piece)
        file.write(piece)
    if body.length is not None and file.size != body.length:
        raise Malformed(f"the body was cut off after {file.size:,} of {body.length:,} bytes: send it again")
    if body.coding == "gzip" and not first.startswith(GZIP_MAGIC):
        raise Malformed("the body is not gzip, as Content-Encoding says: leave the header out, or pack the body")
    told = f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    if body.digest is not None and told not in body.digest.replace(" ", "").split(","):
        raise Malformed("the body is not the one of its Content-Digest (sha-256): send it again")


_coming = threading.BoundedSemaphore(MOST_AT_ONCE)
_taking = threading.Lock()  # one at a time in a process: questions want its interpreter too
