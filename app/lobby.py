# SPDX-License-Identifier: Apache-2.0
"""The lobby of the HTTP workers: a request comes in whole before it takes one of the few places at work.

A caller who sends its body slowly waits here and not in a place; else as many such callers as there are places
would stop the service. A delivery is too large for that: its view reads it, and steps aside while it does.
"""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from wsgiref.types import StartResponse, WSGIEnvironment

from app.http import THREADS
from app.wsgi import application
from kernel.bodies import ASIDE, MAX_BODY_BYTES

DELIVERIES = "/v1/batches"

_free: SimpleQueue[None] = SimpleQueue()
for _ in range(THREADS):
    _free.put(None)


def receive(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The application, behind the lobby. A body that says it is too large is left unread."""
    if environ["PATH_INFO"] == DELIVERIES:
        environ[ASIDE] = _aside
    elif int(environ.get("CONTENT_LENGTH") or 0) <= MAX_BODY_BYTES:
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(MAX_BODY_BYTES + 1))
    _free.get()
    try:
        return application(environ, start_response)
    finally:
        _free.put(None)


@contextmanager
def _aside() -> Iterator[None]:
    _free.put(None)
    try:
        yield
    finally:
        _free.get()
