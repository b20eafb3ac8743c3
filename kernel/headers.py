# SPDX-License-Identifier: Apache-2.0
"""Header fields that an answer carries whatever it says: the request's id, its limits, the nonce for the next proof.

What is to be told is noted with the request as soon as it is known, so that a refusal tells it too.
"""

import base64
import re
from typing import NamedTuple

from flask import Response, g, request

from kernel import ids


class Limit(NamedTuple):
    """A limit as the header fields RateLimit-Policy and RateLimit tell it (draft-ietf-httpapi-ratelimit-headers-10).

    `quota` requests in `window` seconds; `remaining` of them in the `reset` seconds that are left of this window.
    """

    name: str
    quota: int
    window: int
    remaining: int
    reset: int


def tell_limits(limits: tuple[Limit, ...]) -> None:
    """Have the present request's answer, whatever it will be, carry its limits (RateLimit header fields)."""
    g.limits = limits


def tell_nonce(nonce: str) -> None:
    """Have the present request's answer, whatever it will be, carry the nonce for DPoP proofs to come (RFC 9449 §8)."""
    g.dpop_nonce = nonce


def content_digest(digest: bytes) -> str:
    """A body's SHA-256 as the header Content-Digest has it (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(digest).decode()}:"


def request_id() -> str:
    """The id of the present request: the caller's own X-Request-Id if it is sane, else ours."""
    return str(g.get("request_id", "unnamed"))


def named(offered: str) -> str:
    """A request's id: the caller's own where it is sane, else ours."""
    return offered if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", offered) else ids.new_id()


def name_request() -> None:
    """Give the present request its id, before anything is done for it."""
    g.request_id = named(request.headers.get("X-Request-Id", ""))


def finish(response: Response) -> Response:
    """Put on an answer what is to be told with it."""
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
