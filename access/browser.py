# SPDX-License-Identifier: Apache-2.0
"""A person at a browser: the session in a cookie, and the token that each form carries.

    browser   256 random bits, given with the first form; binds a redirect to the browser in which it began
    session   a session's token (access/sessions.py); always a new one, so nothing planted beforehand becomes one

A form's token is a digest of both: another site cannot read it, and one taken before the sign-in fits no form after
it. The API reads no cookie.
"""

import hashlib
import hmac

from flask import Response, g, request

from access import tokens
from access.presented import Validator
from kernel import auth, db, ids, pages
from kernel.auth import Principal
from kernel.errors import NotPermitted, Unauthenticated

SIGNATORY = "consent:write"


def person() -> Principal | None:
    """Who is signed in at this browser, if anyone; becomes the caller of the present request."""
    principal = holder(pages.cookie("session"))
    if principal is not None:
        g.principal = principal
    return principal


def holder(token: str | None) -> Principal | None:
    """The person whose session a token is, if it lives."""
    found = Validator().authenticate_token(token) if token else None
    if found is None or found.is_expired() or found.is_revoked() or found.principal.person is None:
        return None
    return found.principal


def signatory() -> Principal:
    """The signed-in signatory of an enterprise; raises Unauthenticated, NotPermitted (`not-a-signatory`)."""
    principal = person()
    if principal is None:
        raise Unauthenticated("sign in first")
    require_signatory(principal)
    return auth.caller()


def enrolling() -> Principal:
    """The signed-in person of an enterprise, who may have to enrol a second factor before anything else.

    Raises Unauthenticated.
    """
    principal = person()
    if principal is None or principal.uscc is None:
        raise Unauthenticated("sign in first")
    return principal


def require_signatory(principal: Principal) -> None:
    if SIGNATORY not in principal.scopes or principal.uscc is None:
        raise NotPermitted("only an enterprise's signatory acts here", slug="not-a-signatory")


def require_form() -> None:
    """Raise NotPermitted (`form-expired`) unless the form was made by us, for this browser and session."""
    offered = request.form.get("form_token", "")
    from_here = request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
    known = pages.cookie("browser") is not None and hmac.compare_digest(offered.encode(), form_token().encode())
    if not (from_here and known):
        raise NotPermitted("the form is out of date: reload the page and submit it again", slug="form-expired")


def form_token() -> str:
    """What each form of the present page carries."""
    both = "\0".join(("form", name(), pages.cookie("session") or ""))
    return hashlib.sha256(both.encode()).hexdigest()


def name() -> str:
    """This browser's random name; a new one where it has none (`remember` keeps it)."""
    if "browser" not in g:
        g.browser = pages.cookie("browser") or ids.new_secret()
    return str(g.browser)


def remember(response: Response) -> Response:
    """Have the browser keep its name."""
    if pages.cookie("browser") is None:
        pages.set_cookie(response, "browser", name())
    return response


def admit(response: Response, token: str) -> None:
    """Keep a session that was just opened in the browser; one that was there before ends."""
    end()
    pages.set_cookie(response, "session", token)


def end() -> None:
    """End the session of this browser, if it has one."""
    if secret := pages.cookie("session"):
        discard(secret)


def discard(token: str) -> None:
    """End a session by its token."""
    with db.transaction() as tx:
        tokens.revoke(tx, tokens.token_hash(token))
