# SPDX-License-Identifier: Apache-2.0
"""Pages to sign in and out, and the authorization endpoint, which leads to where an enterprise answers.

`/oauth/authorize` takes a request_uri and nothing else (RFC 9126 §4): redirect_uri, scope and all the rest were
judged at the push, so there is nothing here that a link could change, and nothing that would send a browser away.
Whatever is wrong is shown here, and never told by redirect.
"""

import re
from typing import Any

from flask import Response, current_app, request

from access import authorizations, browser, lockout, networks, people, sessions, totp
from access.authorizations import Authorization
from audit import trail
from kernel import db, pages
from kernel.errors import Invalid, NotFound, NotPermitted, TooMany, Unauthenticated

blp = pages.Pages("access_pages", __name__)
PORTAL = "/enterprise/requests"  # the enterprise's own pages begin here (consent/pages.py)
ENROL = "/second-factor"
ANSWER = "/authorize/{}"  # where a request by redirect is answered (consent/pages.py)
_ID = re.compile(r"[0-9a-f-]{36}")


@blp.page("/")
def enter() -> Response:
    """The front door."""
    return pages.lead(PORTAL)


@blp.page("/oauth/authorize")
def authorize() -> Response:
    """Spend a request_uri, for this browser, and lead to the page where the enterprise answers."""
    client_id, request_uri = request.args.get("client_id", ""), request.args.get("request_uri", "")
    with db.transaction() as tx:
        opened = authorizations.open_once(tx, client_id, request_uri, browser.name())
    return browser.remember(pages.lead(ANSWER.format(opened)))


@blp.page("/sign-in")
def show_sign_in() -> Response:
    """The form to sign in."""
    return _form(request.args.get("then", ""))


@blp.page("/sign-in", methods=("POST",))
def sign_in() -> Response:
    """Sign in as at /v1/sessions; only signatories of enterprises have pages here."""
    browser.require_form()
    then, typed = request.form.get("then", ""), {name: request.form.get(name, "") for name in ("username", "totp")}
    password = request.form.get("password", "")
    if not typed["username"] or not password or len(password) > 200:
        return _form(then, typed, "sign-in-failed", 401)
    try:
        opened = sessions.sign_in(
            typed["username"][:64].strip(),
            password,
            typed["totp"].replace(" ", "")[:32] or None,
            network=lockout.network_of(networks.of_caller()),
            requiring=current_app.config["BUREAU_REQUIRE_TOTP"],
        )
    except (Unauthenticated, TooMany) as refused:
        return _form(then, typed, refused.slug, 401 if isinstance(refused, Unauthenticated) else 429, refused)
    principal = browser.holder(opened.token)
    if principal is None or principal.uscc is None:
        browser.discard(opened.token)
        raise NotPermitted("only an enterprise's signatory acts here", slug="not-a-signatory")
    waiting = _waiting(then)
    if opened.scopes == sessions.ENROL_ONLY:
        response = pages.lead(ENROL)
    else:
        response = pages.lead(ANSWER.format(waiting.id) if waiting else PORTAL)
    browser.admit(response, opened.token)
    return response


@blp.page(ENROL, access="enterprise")
def show_second_factor() -> Response:
    """What a second factor is, and a button to begin."""
    browser.enrolling()
    return _enrolment("begin")


@blp.page(ENROL, methods=("POST",), access="enterprise")
def enrol() -> Response:
    """Begin to enrol a second factor, or confirm it by a code; all other sessions end then."""
    by = browser.enrolling()
    browser.require_form()
    username, code = people.require_person(by), request.form.get("code", "").replace(" ", "")[:32]
    wrong = False
    if code:
        try:
            with trail.recording() as tx:
                codes = totp.confirm(tx, username, code)
                people.end_sessions(tx, username, but=by.token)
            return _enrolment("done", codes=codes)
        except Invalid:
            wrong = True
    with trail.recording() as tx:
        begun = totp.begin(tx, username)
    return _enrolment("confirm", 422 if wrong else 200, wrong=wrong, **begun)


@blp.page("/sign-out", methods=("POST",))
def sign_out() -> Response:
    """End the session of this browser."""
    browser.require_form()
    browser.end()
    response = pages.lead(pages.SIGN_IN)
    pages.drop_cookie(response, "session")
    return response


def _form(
    then: str, typed: dict[str, str] | None = None, wrong: str = "", status: int = 200, error: Any = None
) -> Response:
    values: dict[str, Any] = {"waiting": _waiting(then), "typed": typed or {"username": "", "totp": ""}}
    values |= {"wrong": wrong, "form_token": browser.form_token()}
    response = pages.show("sign_in.html", status, **values)
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(error.retry_after_s)
    return browser.remember(response)


def _enrolment(step: str, status: int = 200, **values: Any) -> Response:
    shown = {"codes": [], "wrong": False, "secret": "", "uri": "", **values}
    return browser.remember(
        pages.show("second_factor.html", status, step=step, form_token=browser.form_token(), **shown)
    )


def _waiting(then: str) -> Authorization | None:
    """The request by redirect that waits in this browser: the only place, beside the portal, to go on to."""
    if not _ID.fullmatch(then):
        return None
    try:
        with db.reading() as reading:
            return authorizations.opened(reading, then, browser.name())
    except NotFound:
        return None
