# SPDX-License-Identifier: Apache-2.0
"""Errors as they are told outside: the one table from errors to HTTP, and their dress as problem documents (RFC 9457).

What pages tell people of the same errors, in words, is `problems.toml`. A failure of ours is told without its text,
and logged without what it was about: either could hold what the vault protects.
"""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import structlog
from flask import Response, current_app, request
from marshmallow import Schema, fields
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge, UnprocessableEntity

from kernel import bodies, errors, jose
from kernel.headers import request_id

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
# Where the standards' names (RFC 6750, RFC 9449) are not ours.
_TOKEN_ERRORS = {
    "insufficient-scope": "insufficient_scope",
    "use-dpop-nonce": "use_dpop_nonce",
    "invalid-dpop-proof": "invalid_dpop_proof",
}

log = structlog.get_logger()


class ProblemSchema(Schema):
    """A problem document (RFC 9457)."""

    type = fields.Url(required=True, metadata={"description": "stable name of the kind of problem"})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True, metadata={"description": "what is wrong and what to do"})
    instance = fields.String(required=True)
    errors = fields.Dict(metadata={"description": "field → messages"})


def dress(error: errors.BureauError) -> Response:
    """What was said inside, as a problem."""
    status = status_of(error)
    headers = {}
    if status == 401 or error.slug == "insufficient-scope":
        headers["WWW-Authenticate"] = _challenge(error.slug)
    elif isinstance(error, errors.TooMany):
        headers["Retry-After"] = str(error.retry_after_s)
    if status >= 500:
        log.error("request failed", request=request_id(), path=request.path, problem=error.slug)
    return problem(status, error.slug, error.detail, headers, **error.extra)


def dress_http(error: HTTPException) -> Response:
    """What Flask and its libraries raise, as a problem."""
    if isinstance(error, UnprocessableEntity):
        told = "some fields are wrong: see errors"
        return problem(422, errors.Invalid.slug, told, errors=_field_errors(error))
    if isinstance(error, RequestEntityTooLarge):
        return dress(bodies.too_large())
    if isinstance(error, BadRequest):
        return dress(errors.Malformed(bodies.UNREADABLE))
    status = error.code or 500
    slug = errors.BureauError.slug if status == 500 else re.sub(r"[^a-z]+", "-", error.name.lower())
    return problem(status, slug, error.description or error.name, dict(error.get_headers()))


def dress_database(error: DBAPIError | PoolTimeout) -> Response:
    """A failure of the database, as a problem."""
    log_database_failure(error)
    return problem(503, "unavailable", "the database did not answer; nothing was done: try again")


def dress_unknown(error: Exception) -> Response:
    """What nobody expected, as a problem; the log names the line where it was raised."""
    where = error.__traceback__
    while where and where.tb_next:
        where = where.tb_next
    line = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else "unknown"
    log.error("unexpected error", request=request_id(), path=request.path, error=type(error).__name__, line=line)
    return problem(500, "internal-error", "the bureau failed; the request id names it in the operator's log")


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


def status_of(error: errors.BureauError) -> int:
    """The HTTP status that an error is told with."""
    return next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)


def log_database_failure(error: DBAPIError | PoolTimeout) -> None:
    """Log that the database failed, without the statement and its parameters: they may hold what the vault protects."""
    kind = type(getattr(error, "orig", error)).__name__
    log.error("database failed", request=request_id(), path=request.path, error=kind)


@cache
def words() -> dict[str, tuple[dict[str, str], dict[str, str]]]:
    """What people are told of errors, by slug: a title and what to do, each by language."""
    found = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return {
        slug: ({"zh": told["title"][0], "en": told["title"][1]}, {"zh": told["told"][0], "en": told["told"][1]})
        for slug, told in found.items()
    }


def _challenge(slug: str) -> str:
    """How to authenticate (RFC 6750 §3, RFC 9449 §7.1): the scheme that was used, with the error; else both."""
    algorithms = f'algs="{" ".join(jose.ALGORITHMS)}"'
    reason = "" if slug == "missing-token" else f', error="{_TOKEN_ERRORS.get(slug, "invalid_token")}"'
    if request.headers.get("Authorization", "").lower().startswith("dpop "):
        return f'DPoP realm="bureau"{reason}, {algorithms}'
    also = f', DPoP realm="bureau", {algorithms}' if slug in ("missing-token", "token-is-bound") else ""
    return f'Bearer realm="bureau"{reason}{also}'


def _field_errors(error: UnprocessableEntity) -> dict[str, Any]:
    messages = getattr(error, "data", {}).get("messages", {})
    return {str(name): told for part in messages.values() if isinstance(part, dict) for name, told in part.items()}
