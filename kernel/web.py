# SPDX-License-Identifier: Apache-2.0
"""The web edge: the one table from errors to HTTP, problem documents (RFC 9457), request ids, strict JSON.

Blueprints come from here, so that what a route asks of its caller is enforced and documented in one line:
every view is under `@blp.requires(scope)` or on the public list under `@blp.public`.
"""

import base64
import io
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any, NamedTuple, TypeVar

import flask_smorest
import orjson
import structlog
from flask import Flask, Response, current_app, g, request
from flask.json.provider import JSONProvider
from marshmallow import Schema, fields, missing
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import BadRequest, HTTPException, UnprocessableEntity, UnsupportedMediaType

from kernel import auth, errors, ids, jose

MAX_BODY_BYTES = 64 * 1024  # of a JSON request; deliveries state their own limit
STATUS = {
    errors.Malformed: 400,
    errors.Unauthenticated: 401,
    errors.NotPermitted: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.TooLarge: 413,
    errors.Invalid: 422,
    errors.TooMany: 429,
    errors.Unavailable: 503,
}
RETRY_AFTER_S = {409: 1, 503: 2}
# Where the library's name for a status is not ours.
_TOKEN_ERRORS = {
    "insufficient-scope": "insufficient_scope",
    "use-dpop-nonce": "use_dpop_nonce",
    "invalid-dpop-proof": "invalid_dpop_proof",
}
FORM = "application/x-www-form-urlencoded"
_SLUGS = {413: errors.TooLarge.slug, 422: errors.Invalid.slug, 500: errors.BureauError.slug}

# U+0000 in a JSON text can only be written so; the backslash itself must not be an escaped one.
_NUL_IN_JSON = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
ASIDE = "bureau.aside"  # in the environment: what `aside` enters, where the server has few places
_NUL_REFUSED = "the request holds the character U+0000, which no text here can: leave it out"

log = structlog.get_logger()
View = TypeVar("View", bound=Callable[..., Any])


class Limit(NamedTuple):
    """A limit as the header fields RateLimit-Policy and RateLimit tell it (draft-ietf-httpapi-ratelimit-headers-10).

    `quota` requests in `window` seconds; `remaining` of them in the `reset` seconds that are left of this window.
    """

    name: str
    quota: int
    window: int
    remaining: int
    reset: int


class ProblemSchema(Schema):
    """A problem document (RFC 9457)."""

    type = fields.Url(required=True, metadata={"description": "stable name of the kind of problem"})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True, metadata={"description": "what is wrong and what to do"})
    instance = fields.String(required=True)
    errors = fields.Dict(metadata={"description": "field → messages"})


class StrictParser(FlaskParser):
    """webargs, but a body that is not JSON is said to be so, and not read as an empty one.

    JSON is what RFC 8259 says: no NaN, no lone surrogates, UTF-8 only, and no nesting without end.
    """

    def load_json(self, req: Any, schema: Any) -> Any:
        if not req.is_json:
            raise UnsupportedMediaType("send the body as application/json, UTF-8")
        body = req.get_data()
        if _NUL_IN_JSON.search(body):
            raise errors.Malformed(_NUL_REFUSED)
        try:
            return orjson.loads(body) if body else missing
        except orjson.JSONDecodeError as error:
            raise errors.Malformed("the request cannot be read: is the body valid JSON in UTF-8?") from error


class Blueprint(flask_smorest.Blueprint):
    """A blueprint whose views say who may call them."""

    ARGUMENTS_PARSER = StrictParser()

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
        body = {"content": {FORM: {"schema": schema}}, "required": True}
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

    ERROR_SCHEMA: type[Schema] = ProblemSchema

    def handle_http_exception(self, error: HTTPException) -> Response:
        status = error.code or 500
        slug = _SLUGS.get(status) or re.sub(r"[^a-z]+", "-", error.name.lower())
        detail = error.description or error.name
        if isinstance(error, UnprocessableEntity):
            return problem(422, slug, "some fields are wrong: see errors", errors=_field_errors(error))
        if status == 413:
            detail = _body_limit()
        if isinstance(error, BadRequest):
            slug, detail = "malformed-request", "the request cannot be read: is the body valid JSON in UTF-8?"
        return problem(status, slug, detail, headers=dict(error.get_headers()))


class OrjsonProvider(JSONProvider):
    """JSON as RFC 8259 has it: no NaN, no lone surrogates, UTF-8 only."""

    def dumps(self, obj: Any, **_: Any) -> str:
        return orjson.dumps(obj, option=orjson.OPT_NON_STR_KEYS).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:
        return orjson.loads(s)


def install(app: Flask) -> None:
    """Give an app the project's edge: error dress, request ids, limits, headers."""
    app.json = OrjsonProvider(app)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.before_request(_name_request)
    app.before_request(_bound_body)
    app.before_request(_refuse_nul)
    app.after_request(_finish)
    app.register_error_handler(errors.BureauError, _dress)
    app.register_error_handler(DBAPIError, _dress_database)
    app.register_error_handler(PoolTimeout, _dress_database)
    app.register_error_handler(Exception, _dress_unknown)


def problem(status: int, slug: str, detail: str, headers: dict[str, str] | None = None, **extra: object) -> Response:
    """A problem document; `extra` members are added to it."""
    document = {
        "type": f"{current_app.config['BUREAU_PUBLIC_URL']}/problems/{slug}",
        "title": slug.replace("-", " "),
        "status": status,
        "detail": detail,
        "instance": f"{request.path}#{request_id()}",
        **extra,
    }
    # The faults of a list's members are named by their place: a number.
    body = orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS)
    response = Response(body, status, content_type="application/problem+json")
    for name, value in (headers or {}).items():
        if name.lower() in ("allow", "retry-after", "www-authenticate"):
            response.headers[name] = value
    if status in RETRY_AFTER_S:
        response.headers.setdefault("Retry-After", str(RETRY_AFTER_S[status]))
    return response


def json_response(body: bytes | dict[str, Any], status: int = 200, **headers: str) -> Response:
    """A JSON answer from bytes already encoded, or from a document of plain values."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    response = Response(content, status, content_type="application/json")
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response


def content_digest(digest: bytes) -> str:
    """A body's SHA-256 as the header Content-Digest has it (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(digest).decode()}:"


def aside() -> AbstractContextManager[None]:
    """For as long as the block runs, the request only waits for its caller and leaves its place at work to others."""
    step: Callable[[], AbstractContextManager[None]] = request.environ.get(ASIDE, nullcontext)
    return step()


def request_id() -> str:
    """The id of the present request: the caller's own X-Request-Id if it is sane, else ours."""
    return str(g.get("request_id", "unnamed"))


def _name_request() -> None:
    g.request_id = named(request.headers.get("X-Request-Id", ""))


def named(offered: str) -> str:
    """A request's id: the caller's own where it is sane, else ours."""
    return offered if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", offered) else ids.new_id()


def _bound_body() -> None:
    if getattr(current_app.view_functions.get(request.endpoint or ""), "streams", False):
        return
    # A body that does not say its length werkzeug would cut at the limit in silence, and pass on as the whole.
    if request.content_length is None and request.environ.get("wsgi.input_terminated"):
        body = request.environ["wsgi.input"].read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise errors.TooLarge(_body_limit())
        request.environ["wsgi.input"] = io.BytesIO(body)


def _body_limit() -> str:
    return f"the body is larger than {request.max_content_length} bytes, the most that is read here"


def _refuse_nul() -> None:
    # PostgreSQL keeps no U+0000 in a text: refused here, both engines answer alike.
    if "\0" in request.path:
        raise errors.NotFound(_NUL_REFUSED)
    if any("\0" in text for pair in request.args.items(multi=True) for text in pair):
        raise errors.Malformed(_NUL_REFUSED)


def _finish(response: Response) -> Response:
    response.headers["X-Request-Id"] = request_id()
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")
    if nonce := g.get("dpop_nonce"):
        response.headers["DPoP-Nonce"] = nonce
    if told := g.get("limits"):
        policies = [f'"{each.name}";q={each.quota};w={each.window}' for each in told]
        response.headers["RateLimit-Policy"] = ", ".join(policies)
        response.headers["RateLimit"] = ", ".join(f'"{each.name}";r={each.remaining};t={each.reset}' for each in told)
    return response


def tell_limits(limits: tuple[Limit, ...]) -> None:
    """Have the present request's answer, whatever it will be, carry its limits (RateLimit header fields)."""
    g.limits = limits


def status_of(error: errors.BureauError) -> int:
    """The HTTP status that an error is told with."""
    return next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)


def tell_nonce(nonce: str) -> None:
    """Have the present request's answer, whatever it will be, carry the nonce for DPoP proofs to come (RFC 9449 §8)."""
    g.dpop_nonce = nonce


def _dress(error: errors.BureauError) -> Response:
    status = status_of(error)
    headers = {}
    if status == 401 or error.slug == "insufficient-scope":
        headers["WWW-Authenticate"] = _challenge(error.slug)
    elif isinstance(error, errors.TooMany):
        headers["Retry-After"] = str(error.retry_after_s)
    if status >= 500:
        log.error("request failed", request=request_id(), path=request.path, problem=error.slug)
    return problem(status, error.slug, error.detail, headers, **error.extra)


def _challenge(slug: str) -> str:
    """How to authenticate (RFC 6750 §3, RFC 9449 §7.1): the scheme that was used, with the error; else both."""
    algorithms = f'algs="{" ".join(jose.ALGORITHMS)}"'
    reason = "" if slug == "missing-token" else f', error="{_TOKEN_ERRORS.get(slug, "invalid_token")}"'
    if request.headers.get("Authorization", "").lower().startswith("dpop "):
        return f'DPoP realm="bureau"{reason}, {algorithms}'
    also = f', DPoP realm="bureau", {algorithms}' if slug in ("missing-token", "token-is-bound") else ""
    return f'Bearer realm="bureau"{reason}{also}'


def log_database_failure(error: DBAPIError | PoolTimeout) -> None:
    """Log that the database failed, without the statement and its parameters: they may hold what the vault protects."""
    kind = type(getattr(error, "orig", error)).__name__
    log.error("database failed", request=request_id(), path=request.path, error=kind)


def _dress_database(error: DBAPIError | PoolTimeout) -> Response:
    log_database_failure(error)
    return problem(503, "unavailable", "the database did not answer; nothing was done: try again")


def _dress_unknown(error: Exception) -> Response:
    where = error.__traceback__
    while where and where.tb_next:
        where = where.tb_next
    line = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else "unknown"
    log.error("unexpected error", request=request_id(), path=request.path, error=type(error).__name__, line=line)
    return problem(500, "internal-error", "the bureau failed; the request id names it in the operator's log")


def _field_errors(error: UnprocessableEntity) -> dict[str, Any]:
    messages = getattr(error, "data", {}).get("messages", {})
    return {str(name): told for part in messages.values() if isinstance(part, dict) for name, told in part.items()}
