# SPDX-License-Identifier: Apache-2.0
"""A way past Flask for the one request of a route that comes by the thousand; all others go through it as ever."""

import io
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import orjson
import structlog
from flask import Flask
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from kernel.bodies import FORM, MAX_BODY_BYTES
from kernel.headers import named

log = structlog.get_logger()

# Answers a POST of a form from its environment and its body: a document, told with 200. None, and nothing done, where
# it cannot.
ShortWay = Callable[[WSGIEnvironment, bytes], dict[str, Any] | None]
_TOLD_WITH = (
    ("Content-Type", "application/json"),
    ("Cache-Control", "no-store"),
    ("Pragma", "no-cache"),
    ("X-Content-Type-Options", "nosniff"),
)


def shorten(app: Flask, path: str, short_way: ShortWay) -> None:
    """Have POSTs of a form to `path` answered by `short_way` where it can; where it fails, Flask answers or says so."""
    whole_way = app.wsgi_app

    def either(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = _form_body(environ) if environ["PATH_INFO"] == path else None
        try:
            document = short_way(environ, body) if body is not None else None
        except (DBAPIError, PoolTimeout):
            document = None
        except Exception as error:  # noqa: BLE001  # a fault of ours is no reason to refuse what the whole way grants
            log.error("short way failed", path=path, error=type(error).__name__)
            document = None
        if document is None:
            return whole_way(environ, start_response)
        content = orjson.dumps(document)
        own = ("X-Request-Id", named(environ.get("HTTP_X_REQUEST_ID", ""))), ("Content-Length", str(len(content)))
        start_response("200 OK", [*_TOLD_WITH, *own])
        return [content]

    app.wsgi_app = either  # type: ignore[method-assign]


def _form_body(environ: WSGIEnvironment) -> bytes | None:
    """The body of a POST of a form without a query, left to be read again; None for all other requests."""
    kind, length = environ.get("CONTENT_TYPE", "").partition(";")[0], environ.get("CONTENT_LENGTH", "")
    if environ["REQUEST_METHOD"] != "POST" or environ.get("QUERY_STRING") or kind != FORM:
        return None
    if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
        return None
    body: bytes = environ["wsgi.input"].read(int(length))
    environ["wsgi.input"] = io.BytesIO(body)
    return body
