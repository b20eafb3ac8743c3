# SPDX-License-Identifier: Apache-2.0
"""The web edge: blueprints, the API that flask-smorest makes of them, and what every request passes.

Blueprints come from here, so that what a route asks of its caller is enforced and documented in one line:
every view is under `@blp.requires(scope)` or on the public list under `@blp.public`.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import flask_smorest
import orjson
from flask import Flask, Response, request
from flask.json.provider import JSONProvider
from marshmallow import Schema
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, UnsupportedMediaType

from kernel import auth, bodies, headers, problems
from kernel.errors import BureauError

View = TypeVar("View", bound=Callable[..., Any])


class Blueprint(flask_smorest.Blueprint):
    """A blueprint whose views say who may call them."""

    ARGUMENTS_PARSER = bodies.StrictParser()

    def requires(self, scope: str) -> Callable[[View], View]:
        """Only callers whose token carries `scope` reach the view; checked before the body is read."""

        def decorate(view: View) -> View:
            @wraps(view)
            def guarded(*args: Any, **kwargs: Any) -> Any:
                auth.admit(scope)
                return view(*args, **kwargs)

            guarded.access = scope  # type: ignore[attr-defined]
            return self.doc(security=[{"bearer": [scope]}])(guarded)  # type: ignore[no-any-return]

        return decorate

    def needs_idempotency_key(self, view: View) -> View:
        """Document the Idempotency-Key header; the view itself asks for it with `required_key`."""
        header = {
            "in": "header",
            "name": "Idempotency-Key",
            "required": True,
            "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
            "description": "new for each new request; the same key and body again gives the same answer",
        }
        return self.doc(parameters=[header])(view)  # type: ignore[no-any-return]

    def streams(self, media_types: tuple[str, ...], most_bytes: int) -> Callable[[View], View]:
        """The view reads `request.stream` itself, of one of these types, plain or gzip, up to so many bytes."""

        def decorate(view: View) -> View:
            @wraps(view)
            def reading(*args: Any, **kwargs: Any) -> Any:
                if request.mimetype not in media_types or request.headers.get("Content-Encoding", "gzip") != "gzip":
                    raise UnsupportedMediaType(f"send the body as {media_types[0]}, plain or with gzip")
                request.max_content_length = most_bytes
                return view(*args, **kwargs)

            reading.streams = True  # type: ignore[attr-defined]
            body = {"content": {name: {"schema": {}} for name in media_types}, "required": True}
            return self.doc(requestBody=body)(reading)  # type: ignore[no-any-return]

        return decorate

    def documents_form(self, schema: type[Schema]) -> Callable[[View], View]:
        """Document a form body that another library (Authlib) reads and judges itself."""
        body = {"content": {bodies.FORM: {"schema": schema}}, "required": True}
        return self.doc(requestBody=body)  # type: ignore[no-any-return]

    def public(self, view: View) -> View:
        """Anyone may call the view: it tells nothing about an enterprise."""

        @wraps(view)
        def open_to_all(*args: Any, **kwargs: Any) -> Any:
            return view(*args, **kwargs)

        open_to_all.access = "public"  # type: ignore[attr-defined]
        return self.doc(security=[])(open_to_all)  # type: ignore[no-any-return]


class Api(flask_smorest.Api):
    """flask-smorest's, with problem documents for errors."""

    ERROR_SCHEMA: type[Schema] = problems.ProblemSchema

    def handle_http_exception(self, error: HTTPException) -> Response:
        return problems.dress_http(error)


class OrjsonProvider(JSONProvider):
    """JSON as RFC 8259 has it: no NaN, no lone surrogates, UTF-8 only."""

    def dumps(self, obj: Any, **_: Any) -> str:
        return orjson.dumps(obj, option=orjson.OPT_NON_STR_KEYS).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:
        return orjson.loads(s)


def install(app: Flask) -> None:
    """Give an app the project's edge: request ids, limits, headers, error dress."""
    app.json = OrjsonProvider(app)
    app.config["MAX_CONTENT_LENGTH"] = bodies.MAX_BODY_BYTES
    app.before_request(headers.name_request)
    app.before_request(bodies.require_within_limit)
    app.before_request(bodies.refuse_nul)
    app.after_request(headers.finish)
    app.register_error_handler(BureauError, problems.dress)
    app.register_error_handler(DBAPIError, problems.dress_database)
    app.register_error_handler(PoolTimeout, problems.dress_database)
    app.register_error_handler(Exception, problems.dress_unknown)


def json_response(body: bytes | dict[str, Any], status: int = 200, **fields: str) -> Response:
    """A JSON answer from bytes already encoded, or from a document of plain values."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    response = Response(content, status, content_type="application/json")
    for name, value in fields.items():
        response.headers[name.replace("_", "-")] = value
    return response
