# SPDX-License-Identifier: Apache-2.0
"""The lobby of the HTTP workers: a request comes in whole before it takes one of the few places at work.

A caller who sends its body slowly waits here and not in a place; else as many such callers as there are places
would stop the service.
"""

import io
from collections.abc import Iterable
from queue import SimpleQueue
from wsgiref.types import StartResponse, WSGIEnvironment

from app.http import THREADS
from app.wsgi import application
from kernel.web import MAX_BODY_BYTES

_free: SimpleQueue[None] = SimpleQueue()
for _ in range(THREADS):
    _free.put(None)


def receive(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The application, behind the lobby. A body that says it is too large is left unread."""
    if int(environ.get("CONTENT_LENGTH") or 0) <= MAX_BODY_BYTES:
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(MAX_BODY_BYTES + 1))
    _free.get()
    try:
        return application(environ, start_response)
    finally:
        _free.put(None)
