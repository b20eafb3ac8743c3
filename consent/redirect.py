# SPDX-License-Identifier: Apache-2.0
"""An enterprise that an institution sent here answers its request; where its browser goes then.

    arrive   the request becomes one in the inbox, once; whoever leaves the page finds it there
    grant    consent, whole or narrowed, and a code, in one transaction
    reject   the institution is told access_denied
    finish   what was answered elsewhere meanwhile (in the inbox, over the API) is told to the institution

Every answer carries `iss` (RFC 9207) and the request's own state.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Connection

from access import authorizations
from access.authorizations import Authorization
from audit import trail
from consent import credit_query, requests, store
from consent.acts import Act
from consent.decision import Consent
from consent.store import Given
from kernel import clock
from kernel.auth import Principal
from kernel.errors import Conflict, NotPermitted
from kernel.idempotency import settle


def arrive(held: Authorization, browser: str, by: Principal) -> Consent:
    """The request for consent that this became, made now unless it was before.

    Raises NotPermitted (`other-enterprise`) for a signatory of another enterprise than the one that is asked,
    Conflict (`requests-open`).
    """
    enterprise = _require_asked(held, by)
    with trail.recording() as tx:
        held = authorizations.opened(tx, held.id, browser, lock=True)
        consent = _waiting(tx, held, enterprise)
        if consent is None:
            given = credit_query.asked(held.details, enterprise, held.institution, clock.now())
            consent = requests.ask(tx, given, Act(f"client:{held.client}", client=held.client))
        authorizations.attach(tx, held, consent.id, enterprise)
    return consent


def grant(request_id: str, browser: str, by: Principal, issuer: str, narrowed: Mapping[str, Any], given: Given) -> str:
    """Consent as narrowed; returns where the browser goes, with a code.

    Clicked twice, it is granted once, and the later code is the one that works. Raises Conflict where the request
    was answered otherwise, Invalid where `narrowed` is wider than what was asked for.
    """

    def attempt() -> str:
        with trail.recording() as tx:
            held, consent = _held(tx, request_id, browser, by)
            if held.answered_at is None:
                consent = requests.approve(tx, consent.id, _act(by), narrowed, given)
            elif consent.status_at(clock.now()) != "active":
                raise Conflict("the request was answered already", slug="answered-already")
            return _coded(tx, held, consent, by, issuer)

    return settle(attempt)


def reject(request_id: str, browser: str, by: Principal, issuer: str) -> str:
    """Turn the request down; returns where the browser goes. Raises Conflict where it was granted."""
    with trail.recording() as tx:
        held, consent = _held(tx, request_id, browser, by)
        if consent.status != "rejected":
            requests.reject(tx, consent.id, _act(by))
    return _answer(held, issuer, error="access_denied", error_description="the enterprise turned the request down")


def finish(request_id: str, browser: str, by: Principal, issuer: str) -> str:
    """Tell the institution what was answered already; returns where the browser goes.

    Raises Conflict (`not-answered`) while the request waits.
    """
    with trail.recording() as tx:
        held, consent = _held(tx, request_id, browser, by)
        status = consent.status_at(clock.now())
        if status == "requested":
            raise Conflict("the request waits for an answer", slug="not-answered")
        if status == "active":
            return _coded(tx, held, consent, by, issuer)
    return _answer(held, issuer, error="access_denied", error_description="the enterprise has not consented")


def _require_asked(held: Authorization, by: Principal) -> str:
    """The caller's enterprise, if it is the one that is asked."""
    if by.uscc is None or held.details.get("uscc", by.uscc) != by.uscc or held.uscc not in (None, by.uscc):
        raise NotPermitted("another enterprise is asked than the one you act for", slug="other-enterprise")
    return by.uscc


def _waiting(tx: Connection, held: Authorization, enterprise: str) -> Consent | None:
    """The consent that this request became, or an earlier one in the same terms that nobody has answered yet."""
    if held.consent is not None:
        return store.get(tx, held.consent)
    earlier = authorizations.earlier_consent(tx, held, enterprise)
    consent = store.get(tx, earlier) if earlier is not None else None
    return consent if consent is not None and consent.status_at(clock.now()) == "requested" else None


def _held(tx: Connection, request_id: str, browser: str, by: Principal) -> tuple[Authorization, Consent]:
    """The request, locked, and its consent; raises NotFound, NotPermitted."""
    held = authorizations.opened(tx, request_id, browser, lock=True)
    _require_asked(held, by)
    if held.consent is None:
        raise Conflict("read the request before you answer it", slug="not-answered")
    return held, store.get(tx, held.consent, lock=True)


def _coded(tx: Connection, held: Authorization, consent: Consent, by: Principal, issuer: str) -> str:
    code = authorizations.give_code(tx, held, by.person or "", credit_query.granted(consent))
    return _answer(held, issuer, code=code)


def _answer(held: Authorization, issuer: str, **told: str) -> str:
    state = {"state": held.state} if held.state is not None else {}
    joint = "&" if "?" in held.redirect_uri else "?"  # its own query stays as it is (RFC 6749 §3.1.2)
    return f"{held.redirect_uri}{joint}{urlencode({**told, **state, 'iss': issuer})}"


def _act(by: Principal) -> Act:
    return Act(by.actor, channel="page")
