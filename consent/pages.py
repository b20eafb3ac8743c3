# SPDX-License-Identifier: Apache-2.0
"""Where an enterprise answers a request: by redirect, with the institution waiting, or later, from its inbox."""

from typing import Any

from flask import Response, current_app, request
from sqlalchemy import Connection

from access import authorizations, browser, redirects
from audit import trail
from consent import faults, redirect, requests, screens, store, words
from consent.acts import Act
from consent.decision import Consent
from consent.guards import require_visible
from consent.words import say
from kernel import clock, db, pages
from kernel.auth import Principal
from kernel.errors import BureauError, Conflict, Invalid, NotPermitted
from kernel.idempotency import settle

blp = pages.Pages("consent_pages", __name__, faults.told)
SIGNATORY = browser.SIGNATORY


@blp.page("/authorize/<request_id>", access=SIGNATORY)
def show_authorization(request_id: str) -> Response:
    """Who asks for what, why and how long; the enterprise grants, narrows or rejects, or answers later."""
    by = browser.person()
    if by is None:
        return pages.lead(f"{pages.SIGN_IN}?then={request_id}")
    browser.require_signatory(by)
    with db.reading() as reading:
        held = authorizations.opened(reading, request_id, browser.name())
    try:
        consent = redirect.arrive(held, browser.name(), by)
    except NotPermitted as refused:
        return blp.show_problem(refused, f"{pages.SIGN_IN}?then={held.id}")
    leads_to = redirects.origin_of(held.redirect_uri)
    return _ask(consent, by, f"/authorize/{held.id}", asking=held.institution_name, leads_to=leads_to)


@blp.page("/authorize/<request_id>", methods=("POST",), access=SIGNATORY)
def answer_authorization(request_id: str) -> Response:
    """Answer it; the browser goes back to the institution."""
    by = browser.signatory()
    browser.require_form()
    here, issuer = browser.name(), str(current_app.config["BUREAU_PUBLIC_URL"])
    decision = request.form.get("decision")
    try:
        if decision == "grant":
            with db.reading() as reading:
                asked = _asked_of(reading, request_id, here)
            narrowed, given = screens.narrowed(request.form, asked), screens.given_on_page(_name(by), pages.language())
            return pages.lead(redirect.grant(request_id, here, by, issuer, narrowed, given))
        if decision == "reject":
            return pages.lead(redirect.reject(request_id, here, by, issuer))
        if decision == "finish":
            return pages.lead(redirect.finish(request_id, here, by, issuer))
    except Conflict as refused:
        return blp.show_problem(refused, f"/authorize/{request_id}")
    raise _no_decision()


@blp.page("/enterprise/requests/<consent_id>", access=SIGNATORY)
def show_request(consent_id: str) -> Response:
    """A request in the inbox, to be answered now."""
    by = browser.signatory()
    with db.reading() as reading:
        consent = store.get(reading, consent_id)
        require_visible(consent, reading)
    return _ask(consent, by, f"/enterprise/requests/{consent_id}")


@blp.page("/enterprise/requests/<consent_id>", methods=("POST",), access=SIGNATORY)
def answer_request(consent_id: str) -> Response:
    """Answer it, and see the consent that came of it."""
    by = browser.signatory()
    browser.require_form()
    decision, act = request.form.get("decision"), Act(by.actor, channel="page")

    def attempt() -> None:
        with trail.recording() as tx:
            asked = store.get(tx, consent_id)
            require_visible(asked, tx)
            if decision == "grant":
                given = screens.given_on_page(_name(by), pages.language())
                requests.approve(tx, consent_id, act, screens.narrowed(request.form, asked), given)
            elif decision == "reject":
                requests.reject(tx, consent_id, act)
            else:
                raise _no_decision()

    try:
        settle(attempt)
    except Conflict as refused:
        return blp.show_problem(refused, f"/enterprise/requests/{consent_id}")
    return pages.lead(f"/enterprise/consents/{consent_id}")


def show(template: str, by: Principal, **values: Any) -> Response:
    """A page of a signed-in signatory, with its enterprise's name and a form's token."""
    with db.reading() as reading:
        enterprise = screens.enterprise_name(reading, by.uscc or "")
    who = {"username": by.person, "uscc": by.uscc, "enterprise": enterprise}
    return browser.remember(pages.show(template, who=who, form_token=browser.form_token(), **values))


def _ask(consent: Consent, by: Principal, action: str, **more: Any) -> Response:
    language = pages.language()
    with db.reading() as reading:
        shown = screens.described(reading, store.shown(reading, consent, clock.now()), language)
    notice = [say(each, language) for each in words.NOTICE]
    labels = {name: say(label, language) for name, label in words.FIELDS.items()}
    told = {"consent": shown, "action": action, "notice": notice, "labels": labels, "asking": None, **more}
    return show("ask.html", by, **told)


def _asked_of(reading: Connection, request_id: str, here: str) -> Consent:
    held = authorizations.opened(reading, request_id, here)
    if held.consent is None:
        raise Conflict("read the request before you answer it", slug="not-answered")
    return store.get(reading, held.consent)


def _name(by: Principal) -> str:
    return by.person or ""


def _no_decision() -> BureauError:
    return Invalid("say whether you grant or reject", errors={"decision": ["grant or reject"]})
