# SPDX-License-Identifier: Apache-2.0
"""Who may do what with whose things: every route × every caller, each cell tried.

What a route asks of its caller is read from the route itself; whose things it is about is said in OWNERSHIP. A
route that is not there fails the first test, which says what to add.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson
import pyotp
import pytest
from flask import Flask
from joserfc.jwk import OKPKey
from sqlalchemy import insert

from access import clients, institutions, invitations, people, sessions, sources, switch, tokens, totp
from access.lifecycle import Act
from access.models import token as token_table
from access.people import Newcomer
from app import counter
from app.application import create_app
from audit.models import export_request, reward_correction
from bureau import amendments, catalogue, reconciliation, reconciliation_list
from bureau.folios import Correction
from bureau.screening import index as screening_index
from connectors import webhooks
from consent import evidence, requests
from consent.terms import Grant
from kernel import auth, clock, db, ids
from tests import factories
from tests.conftest import PUBLIC_URL, House

NAME = "苏州演示精密机械有限公司"
PASSWORD = "correct-horse-battery"  # of those invited here
PEOPLE = ("signatory", "other-signatory", "compliance", "finance", "admin", "security", "unenrolled")
NOBODY = ("anonymous", "cookie", "garbage", "expired", "revoked", "idle", "disabled")
BANKS = tuple(f"{bank}:{scope}" for bank in ("bank", "other-bank") for scope in clients.INSTITUTION_SCOPES)
CALLERS = (*NOBODY, *PEOPLE, *BANKS, "source")
OF_PEOPLE = frozenset(PEOPLE)


@dataclass
class Stage:
    """A bureau with two enterprises and two banks; everything in it belongs to the first of each."""

    uscc: str
    other_uscc: str
    bank: str
    other_bank: str
    consent: str
    answered: str
    administrator: str


@dataclass(frozen=True)
class Caller:
    name: str
    header: Mapping[str, str]
    scopes: frozenset[str]
    username: str | None = None
    password: str | None = None


@dataclass(frozen=True)
class Sent:
    """A request about the stage's own things."""

    path: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    form: Mapping[str, str] | None = None
    ndjson: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """Who may do it with the stage's things (`success`), and what others who have the scope are told.

    `owners` None: the route is public, and everyone is told `success`.
    """

    owners: frozenset[str] | None
    success: int
    others: int = 403
    clients: int | None = None  # where clients are told something else than other people
    send: Callable[[Stage, Caller], Sent] = lambda stage, caller: Sent()


def public(status: int, send: Callable[[Stage, Caller], Sent] = lambda stage, caller: Sent()) -> Row:
    return Row(None, status, send=send)


def of_bank(scope: str) -> frozenset[str]:
    return frozenset({f"bank:{scope}"})


def someone() -> str:
    return factories.person("finance")[0]


def consented(stage: Stage, caller: Caller) -> Sent:
    return Sent({"consent_id": factories.consent(stage.uscc, "kind:insurer")}, {})


def consented_and(act: str) -> Callable[[Stage, Caller], Sent]:
    """A consent to which this was done at the counter."""

    def send(stage: Stage, caller: Caller) -> Sent:
        sent = consented(stage, caller)
        counter.change(act, sent.path["consent_id"], None)
        return sent

    return send


def requested(stage: Stage, caller: Caller) -> Sent:
    asked = Grant(stage.uscc, "query", factories.bank(), (1,), ("records",), ("pre_loan",))
    with db.transaction() as tx:
        return Sent({"consent_id": requests.ask(tx, asked, factories.COUNTER).id}, {})


def requesting(stage: Stage, caller: Caller) -> Sent:
    body = {"uscc": stage.uscc, "classes": [1], "purposes": ["pre_loan"]}
    return Sent(json=body, headers={"Idempotency-Key": f"matrix-{clock.now().timestamp()}"})


def registering(stage: Stage, caller: Caller) -> Sent:
    return Sent({"uscc": stage.uscc}, {"jwk": OKPKey.generate_key("Ed25519").as_dict(private=False)})


def registered(stage: Stage, caller: Caller) -> Sent:
    jwk = OKPKey.generate_key("Ed25519").as_dict(private=False)
    with db.transaction() as tx:
        return Sent({"uscc": stage.uscc, "kid": evidence.register(tx, stage.uscc, jwk, factories.COUNTER)["kid"]})


def enrolling(stage: Stage, caller: Caller) -> Sent:
    return Sent({"trigger": "policy_support"}, {"origin": "list", "members": [{"uscc": factories.new_uscc()}]})


SECOND = Act("person:another-administrator")


def applying(stage: Stage, caller: Caller) -> Sent:
    return Sent(json={"name": f"演示银行 {clock.now().timestamp()}", "kind": "bank"})


def party(status: str = "approved", json: Any = None) -> Callable[[Stage, Caller], Sent]:
    """An institution of this status, and what is sent about it."""

    def send(stage: Stage, caller: Caller) -> Sent:
        name = f"演示担保 {clock.now().timestamp()}"
        with db.transaction() as tx:
            if status == "applied":
                added = institutions.apply_for(tx, name, "guarantor", institutions.Terms(), SECOND)
            else:
                added = institutions.add(tx, name, "guarantor")
            if status == "suspended":
                institutions.act(tx, added, "suspend", SECOND, "why")
        return Sent({"institution_id": added}, {} if json is None else json)

    return send


def a_client(json: Any = None) -> Callable[[Stage, Caller], Sent]:
    def send(stage: Stage, caller: Caller) -> Sent:
        with db.transaction() as tx:
            return Sent({"client_id": clients.add(tx, stage.other_bank, ("credit:query",))[0]}, json)

    return send


def a_source(status: str | None, json: Any = None) -> Callable[[Stage, Caller], Sent]:
    """A source of this status (None: not registered), and what is sent about it."""

    def send(stage: Stage, caller: Caller) -> Sent:
        with db.transaction() as tx:
            taken = {"S01", "S07", *sources.registered(tx)}
            code = next(code for code in catalogue.current().sources if code not in taken)
            if status == "applied":
                sources.apply_for(tx, code, sources.Terms(), SECOND)
            elif status is not None:
                sources.add(tx, code)
            if status == "suspended":
                sources.act(tx, code, "suspend", SECOND, "why")
        return Sent({"code": code}, {} if json is None else json)

    return send


def stopping(stage: Stage, caller: Caller) -> Sent:
    return Sent(json={"target": "institution", "id": factories.bank(), "reason": "why"})


def stopped(stage: Stage, caller: Caller) -> Sent:
    bank = factories.bank()
    with db.transaction() as tx:
        switch.stop(tx, "institution", bank, "why", SECOND)
    return Sent({"target": f"institution:{bank}"})


def enterprise(stage: Stage, caller: Caller) -> Sent:
    return Sent({"uscc": stage.uscc})


def granting(stage: Stage, caller: Caller) -> Sent:
    body = {"uscc": stage.uscc, "grantee": stage.bank, "classes": [1], "purposes": ["pre_loan"]}
    return Sent(json=body, headers={"Idempotency-Key": f"matrix-{clock.now().timestamp()}"})


def asking(stage: Stage, caller: Caller) -> Sent:
    body = {"uscc": stage.uscc, "purpose": "pre_loan", "product": "records", "operator": "OP-1"}
    return Sent(json=body, headers={"Idempotency-Key": f"matrix-{clock.now().timestamp()}"})


def signing_in(stage: Stage, caller: Caller) -> Sent:
    username, password = factories.person("finance")
    return Sent(json={"username": username, "password": password})


def another_session(stage: Stage, caller: Caller) -> Sent:
    username, _ = factories.person("enterprise", stage.uscc)
    owner = caller.username if caller.name == "signatory" and caller.username else username
    factories.session(owner, {"self:read"})
    with db.reading() as reading:
        return Sent({"session_id": sessions.listed(reading, owner, None, 1)[0]["session_id"]})


def code_of_mine(stage: Stage, caller: Caller) -> Sent:
    if caller.username is None:
        return Sent(json={"code": "000000"})
    with db.transaction() as tx:
        secret = totp.begin(tx, caller.username)["secret"]
    return Sent(json={"code": pyotp.TOTP(secret).at(int(clock.now().timestamp()))})


def new_password(stage: Stage, caller: Caller) -> Sent:
    return Sent(json={"current": caller.password or "x", "new": PASSWORD})


def someone_else(stage: Stage, caller: Caller) -> Sent:
    return Sent({"username": someone()})


def inviting(stage: Stage, caller: Caller) -> Sent:
    return Sent(json={"role": "enterprise", "uscc": stage.uscc, "name": "演示·张三"})


def confirming(stage: Stage, caller: Caller) -> Sent:
    by = auth.Principal(f"person:{stage.administrator}", frozenset(), person=stage.administrator, role="admin")
    newcomer = Newcomer("security", None, "演示·李四", f"no-{clock.now().timestamp()}")
    with db.transaction() as tx:
        return Sent({"invitation_id": invitations.invite(tx, newcomer, by)["invitation_id"]})


FORM = Sent(form={"grant_type": "client_credentials", "token": "x"})
BOTH_SIDES = frozenset({"signatory", "bank:consent:read"})
SIGNATORY = frozenset({"signatory"})
ADMIN, SECURITY = frozenset({"admin"}), frozenset({"security"})


# Any institution may screen: whom it finds hangs on consents.
SCREENERS = frozenset({"bank:screening:search", "other-bank:screening:search"})


def screened(stage: Stage, caller: Caller) -> Sent:
    screening_index.build()
    return Sent()


def screening(stage: Stage, caller: Caller) -> Sent:
    screening_index.build()
    body = {"where": {"all": []}, "operator": "OP-00042"}
    return Sent(json=body, headers={"Idempotency-Key": f"matrix-{clock.now().timestamp()}"})


def delivered(stage: Stage) -> str:
    receipt = factories.deliver([factories.registration(1, stage.uscc, NAME)])
    return f"{receipt.batch}.1.C1.01"


def amending(stage: Stage, caller: Caller) -> Sent:
    return Sent({"uscc": stage.uscc}, {"record": delivered(stage), "kind": "withdrawal", "reason": "why"})


def lifting(stage: Stage, caller: Caller) -> Sent:
    record = delivered(stage)
    with db.transaction() as tx:
        laid = amendments.amend(tx, stage.uscc, record, Correction("dispute"), "why")
    return Sent({"uscc": stage.uscc, "overlay_id": laid}, {"reason": "why"})


def contradicted(json: Any = None) -> Callable[[Stage, Caller], Sent]:
    """A discrepancy between two sources, and what is sent about it."""

    def send(stage: Stage, caller: Caller) -> Sent:
        uscc = factories.new_uscc()
        for source, name in (("S01", "演示甲公司"), ("S02", "演示乙公司")):
            factories.deliver([factories.registration(1, uscc, name)], source=source)
        reconciliation.catch_up()
        ((listed, *_), _) = reconciliation_list.page({"uscc": uscc}, None, 1)
        return Sent({"discrepancy_id": listed["discrepancy"]}, json)

    return send


HEARERS = frozenset({"bank:consent:read", "other-bank:consent:read"})
HEARER = of_bank("consent:read")


def a_webhook(json: Any = None, *, stopped: bool = False) -> Callable[[Stage, Caller], Sent]:
    """The only webhook of the stage's bank, and what is sent about it."""

    def send(stage: Stage, caller: Caller) -> Sent:
        with db.transaction() as tx:
            mine = auth.Principal("client:bank", frozenset(), institution=institutions.get(tx, stage.bank))
            for earlier in webhooks.list_own(tx, mine):
                webhooks.remove(tx, mine, earlier["webhook_id"])
            added = webhooks.add(tx, mine, "https://bank.example/hook")["webhook_id"]
            if stopped:
                webhooks.stop(tx, added, "why")
        return Sent({"webhook_id": added}, json)

    return send


def pushing(stage: Stage, caller: Caller) -> Sent:
    row = {"统一社会信用代码": factories.new_uscc(), "企业名称": "演示公司"}
    return Sent(ndjson=orjson.dumps(row), query={"feed": "market-regulation-register"})


def received(stage: Stage, caller: Caller) -> Sent:
    return Sent({"batch_id": factories.deliver([factories.registration(1, stage.uscc)]).batch})


CORRECTORS = frozenset({"finance", "compliance"})
FINANCE, READERS = frozenset({"finance"}), frozenset({"finance", "compliance"})


def of_the_year(stage: Stage, caller: Caller) -> Sent:
    return Sent({"int:year": "2026"}, {"entries": [stage.answered], "count": "out", "reason": "why"})


def correcting(stage: Stage, caller: Caller) -> Sent:
    held = {"id": ids.new_id(), "year": 2026, "billable": 0, "entries": "[]", "reason": "why"}
    with db.transaction() as tx:
        tx.execute(insert(reward_correction).values(**held, proposed_by="person:x", proposed_at=clock.now()))
    return Sent({"int:year": "2026", "correction_id": held["id"]})


def repairing(stage: Stage, caller: Caller) -> Sent:
    row = {"统一社会信用代码": "nobody"}
    rejected = factories.registration(1, "nobody")._replace(delivered=row)
    receipt = factories.deliver([rejected], feed="market-regulation-register")
    body = {"rows": [{"row": 1, "delivered": {**row, "企业名称": "演示", "统一社会信用代码": factories.new_uscc()}}]}
    return Sent({"batch_id": receipt.batch}, body)


def taking(stage: Stage, caller: Caller) -> Sent:
    held = {"id": ids.new_id(), "leaf_from": 0, "leaf_to": 1, "format": "csv", "asked": "{}", "shown": 1}
    with db.transaction() as tx:
        said = {"reason": "why", "requested_by": "person:x", "requested_at": clock.now()}
        tx.execute(insert(export_request).values(**held, **said))
    return Sent({"request_id": held["id"]})


OWNERSHIP: dict[str, Row] = {
    "GET /healthz": public(200),
    "GET /readyz": public(200),
    "GET /metrics": public(200),  # to this machine, or to whoever bears a token: tests/app/test_metrics.py
    "GET /openapi.json": public(200),
    "GET /.well-known/oauth-authorization-server": public(200),
    "POST /oauth/token": public(401, lambda stage, caller: FORM),
    "POST /oauth/par": public(401, lambda stage, caller: FORM),
    "POST /oauth/introspect": public(401, lambda stage, caller: FORM),
    "POST /oauth/revoke": public(401, lambda stage, caller: FORM),
    "POST /v1/sessions": public(201, signing_in),
    "POST /v1/invitations/accept": public(
        404, lambda stage, caller: Sent(json={"code": "x", "username": "someone", "password": PASSWORD})
    ),
    "GET /v1/sessions": Row(OF_PEOPLE, 200),
    "DELETE /v1/sessions/current": Row(OF_PEOPLE, 204),
    "DELETE /v1/sessions/<session_id>": Row(SIGNATORY, 204, 404, clients=403, send=another_session),
    "POST /v1/people/me/totp": Row(OF_PEOPLE, 200),
    "POST /v1/people/me/totp/confirm": Row(OF_PEOPLE, 200, send=code_of_mine),
    "POST /v1/people/me/password": Row(OF_PEOPLE, 204, send=new_password),
    "GET /v1/people": Row(frozenset({"admin"}), 200),
    "POST /v1/people/<username>/disable": Row(frozenset({"security"}), 204, send=someone_else),
    "POST /v1/people/<username>/enable": Row(frozenset({"security"}), 204, send=someone_else),
    "POST /v1/people/<username>/totp/reset": Row(frozenset({"security"}), 204, send=someone_else),
    "POST /v1/invitations": Row(frozenset({"admin"}), 201, send=inviting),
    "GET /v1/invitations": Row(frozenset({"admin", "compliance", "security"}), 200),
    "POST /v1/invitations/<invitation_id>/confirm": Row(frozenset({"compliance", "security"}), 200, send=confirming),
    "POST /v1/consents": Row(SIGNATORY, 201, send=granting),
    "POST /v1/consents/<consent_id>/revoke": Row(SIGNATORY, 200, 404, send=consented),
    "GET /v1/consents": Row(BOTH_SIDES, 200, 200),
    "GET /v1/consents/<consent_id>": Row(
        BOTH_SIDES, 200, 404, send=lambda stage, caller: Sent({"consent_id": stage.consent})
    ),
    "POST /v1/credit-queries": Row(of_bank("credit:query"), 200, send=asking),
    "GET /v1/indicators": Row(SCREENERS, 200, send=screened),
    "POST /v1/screenings": Row(SCREENERS, 200, send=screening),
    "POST /v1/screenings/exports": Row(SCREENERS, 200, send=screening),
    "GET /v1/credit-queries/<query_id>": Row(
        of_bank("credit:query"), 200, 404, send=lambda stage, caller: Sent({"query_id": stage.answered})
    ),
    "GET /v1/enterprises/<uscc>/access-log": Row(SIGNATORY, 200, send=enterprise),
    "GET /v1/enterprises/<uscc>/dossier": Row(SIGNATORY, 200, send=enterprise),
    "POST /v1/enterprises/<uscc>/overlays": Row(ADMIN, 201, send=amending),
    "POST /v1/enterprises/<uscc>/overlays/<overlay_id>/lift": Row(ADMIN, 204, send=lifting),
    "GET /v1/enterprises/<uscc>/records/<record_id>": Row(
        frozenset({"compliance"}),
        200,
        send=lambda stage, caller: Sent({"uscc": stage.uscc, "record_id": delivered(stage)}),
    ),
    "GET /v1/discrepancies": Row(ADMIN, 200),
    "GET /v1/discrepancies/<discrepancy_id>": Row(ADMIN, 200, send=contradicted()),
    "POST /v1/discrepancies/<discrepancy_id>/explain": Row(ADMIN, 200, send=contradicted({"reason": "why"})),
    "POST /v1/batches/<batch_id>/repairs": Row(frozenset({"source"}), 201, send=repairing),
    "GET /v1/source-quality": Row(ADMIN, 200, send=lambda *_: Sent(query={"month": "2026-01"})),
    "GET /v1/source-quality/own": Row(frozenset({"source"}), 200, send=lambda *_: Sent(query={"month": "2026-01"})),
    "GET /v1/audit/entries": Row(frozenset({"compliance"}), 200),
    "GET /v1/audit/entries/<entry_id>": Row(
        frozenset({"signatory", "compliance", *(bank for bank in BANKS if bank.startswith("bank:"))}),
        200,
        404,
        send=lambda stage, caller: Sent({"entry_id": stage.answered}),
    ),
    "GET /v1/audit/consents/<consent_id>/timeline": Row(
        frozenset({"compliance"}), 200, send=lambda stage, caller: Sent({"consent_id": stage.consent})
    ),
    "GET /v1/audit/enterprises/<uscc>/timeline": Row(frozenset({"compliance"}), 200, send=enterprise),
    "GET /v1/audit/findings": Row(
        frozenset({"compliance"}), 200, send=lambda *_: Sent(query={"from": "2026-01-01", "to": "2026-01-31"})
    ),
    # Nothing is sealed on this stage, so there is nothing to take.
    "GET /v1/audit/exports": Row(frozenset({"compliance"}), 422),
    "POST /v1/audit/export-requests": Row(frozenset({"compliance"}), 422, send=lambda *_: Sent(json={"reason": "why"})),
    "GET /v1/audit/export-requests": Row(frozenset({"compliance"}), 200),
    "POST /v1/audit/export-requests/<request_id>/confirm": Row(frozenset({"compliance"}), 200, send=taking),
    "GET /oauth/jwks": public(200),
    "GET /docs": public(200),
    "GET /docs/<name>": public(200, lambda stage, caller: Sent({"name": "start.js"})),
    "GET /log/checkpoint": public(404),  # nothing is sealed on this stage
    "GET /log/tile/<path:place>": public(404, lambda stage, caller: Sent({"path:place": "0/000.p/1"})),
    "GET /v1/audit/receipts/<entry_id>": Row(
        frozenset({"signatory", "compliance", *(bank for bank in BANKS if bank.startswith("bank:"))}),
        202,
        404,
        send=lambda stage, caller: Sent({"entry_id": stage.answered}),
    ),
    "GET /v1/consents/<consent_id>/printable": Row(
        BOTH_SIDES, 200, 404, send=lambda stage, caller: Sent({"consent_id": stage.consent})
    ),
    "POST /v1/consents/<consent_id>/pause": Row(SIGNATORY, 200, 404, send=consented),
    "POST /v1/consents/<consent_id>/resume": Row(SIGNATORY, 200, 404, send=consented_and("pause")),
    "POST /v1/consents/<consent_id>/suspend": Row(frozenset({"compliance", "security"}), 202, send=consented),
    "POST /v1/consents/<consent_id>/reinstate": Row(
        frozenset({"compliance", "security"}), 202, send=consented_and("suspend")
    ),
    "GET /v1/consent-requests": Row(BOTH_SIDES, 200, 200),
    # Any institution may ask any enterprise: in its own name.
    "POST /v1/consent-requests": Row(of_bank("consent:request") | {"other-bank:consent:request"}, 201, send=requesting),
    "POST /v1/consent-requests/<consent_id>/approve": Row(SIGNATORY, 200, 404, send=requested),
    "POST /v1/consent-requests/<consent_id>/reject": Row(SIGNATORY, 200, 404, send=requested),
    "GET /v1/enterprises/<uscc>/keys": Row(SIGNATORY, 200, send=enterprise),
    "POST /v1/enterprises/<uscc>/keys": Row(SIGNATORY, 201, send=registering),
    "DELETE /v1/enterprises/<uscc>/keys/<kid>": Row(SIGNATORY, 204, send=registered),
    "GET /v1/institutions": Row(ADMIN, 200),
    "POST /v1/institutions": Row(ADMIN, 201, send=applying),
    "GET /v1/institutions/<institution_id>": Row(ADMIN, 200, send=party()),
    "PATCH /v1/institutions/<institution_id>": Row(ADMIN, 200, send=party(json={"per_day": 5})),
    "POST /v1/institutions/<institution_id>/approve": Row(ADMIN, 200, send=party("applied")),
    "POST /v1/institutions/<institution_id>/suspend": Row(ADMIN, 200, send=party(json={"reason": "why"})),
    "POST /v1/institutions/<institution_id>/resume": Row(ADMIN, 200, send=party("suspended")),
    "POST /v1/institutions/<institution_id>/close": Row(ADMIN, 200, send=party(json={"reason": "why"})),
    "GET /v1/institutions/<institution_id>/clients": Row(ADMIN, 200, send=party()),
    "POST /v1/institutions/<institution_id>/clients": Row(ADMIN, 201, send=party(json={"scopes": ["credit:query"]})),
    "PATCH /v1/clients/<client_id>": Row(ADMIN, 200, send=a_client({"per_second": 5})),
    "PUT /v1/clients/<client_id>/redirect-uris": Row(ADMIN, 200, send=a_client({"redirect_uris": []})),
    "POST /v1/clients/<client_id>/rotate": Row(ADMIN, 200, send=a_client({})),
    "POST /v1/clients/<client_id>/disable": Row(ADMIN, 200, send=a_client()),
    "POST /v1/clients/<client_id>/enable": Row(ADMIN, 200, send=a_client()),
    "GET /v1/sources": Row(ADMIN, 200),
    "POST /v1/sources": Row(ADMIN, 201, send=lambda stage, caller: Sent(json={"source": "S07"})),
    "GET /v1/sources/<code>": Row(ADMIN, 200, send=a_source(None)),
    "PATCH /v1/sources/<code>": Row(ADMIN, 200, send=a_source("approved", {"basis": "law"})),
    "POST /v1/sources/<code>/approve": Row(ADMIN, 200, send=a_source("applied")),
    "POST /v1/sources/<code>/suspend": Row(ADMIN, 200, send=a_source("approved", {"reason": "why"})),
    "POST /v1/sources/<code>/resume": Row(ADMIN, 200, send=a_source("suspended")),
    "POST /v1/sources/<code>/close": Row(ADMIN, 200, send=a_source("approved", {"reason": "why"})),
    "GET /v1/sources/<code>/clients": Row(ADMIN, 200, send=a_source(None)),
    "POST /v1/sources/<code>/clients": Row(ADMIN, 201, send=a_source(None, {"scopes": ["batch:write"]})),
    "POST /v1/batches": Row(frozenset({"source"}), 202, send=pushing),
    "GET /v1/sources/<code>/feeds": Row(frozenset({"source", "admin"}), 200, send=lambda *_: Sent({"code": "S01"})),
    "GET /v1/batches/<batch_id>": Row(frozenset({"source"}), 200, send=received),
    "GET /v1/switches": Row(SECURITY, 200),
    "POST /v1/switches": Row(SECURITY, 201, send=stopping),
    "DELETE /v1/switches/<target>": Row(SECURITY, 204, send=stopped),
    "GET /v1/consent-events": Row(HEARERS, 200),
    "POST /v1/webhooks": Row(HEARERS, 201, send=lambda stage, caller: Sent(json={"url": "https://bank.example/hook"})),
    "GET /v1/webhooks": Row(HEARERS, 200),
    "GET /v1/webhooks/<webhook_id>": Row(HEARER, 200, clients=404, send=a_webhook()),
    "DELETE /v1/webhooks/<webhook_id>": Row(HEARER, 204, clients=404, send=a_webhook()),
    "POST /v1/webhooks/<webhook_id>/rotate": Row(HEARER, 200, clients=404, send=a_webhook()),
    "POST /v1/webhooks/<webhook_id>/resume": Row(HEARER, 200, clients=404, send=a_webhook(stopped=True)),
    "POST /v1/webhooks/<webhook_id>/test": Row(HEARER, 202, clients=404, send=a_webhook()),
    "POST /v1/webhooks/<webhook_id>/replay": Row(
        HEARER, 202, clients=404, send=a_webhook({"since": "2026-01-01T00:00:00Z"})
    ),
    "GET /v1/webhooks/<webhook_id>/messages": Row(HEARER, 200, clients=404, send=a_webhook()),
    "GET /v1/reward-statements/<int:year>": Row(READERS, 200, send=of_the_year),
    "GET /v1/reward-statements/<int:year>/supplements": Row(READERS, 200, send=of_the_year),
    # Nothing is sealed on this stage, so no question of it can be corrected.
    "POST /v1/reward-statements/<int:year>/corrections": Row(FINANCE, 422, send=of_the_year),
    "GET /v1/reward-statements/<int:year>/corrections": Row(READERS, 200, send=of_the_year),
    "POST /v1/reward-statements/<int:year>/corrections/<correction_id>/confirm": Row(
        frozenset({"compliance"}), 200, send=correcting
    ),
    "GET /v1/coverage": Row(frozenset({"admin"}), 200),
    "POST /v1/coverage/<trigger>/members": Row(frozenset({"admin"}), 200, send=enrolling),
}


def test_every_route_is_in_the_matrix() -> None:
    there = set(routes(create_app(PUBLIC_URL)))
    missing, gone = sorted(there - OWNERSHIP.keys()), sorted(OWNERSHIP.keys() - there)
    assert not missing, f"say in OWNERSHIP whose things they are about, and how to ask for them: {missing}"
    assert not gone, f"no longer there: {gone}"


def test_what_is_public_is_so_in_both_places() -> None:
    declared = routes(create_app(PUBLIC_URL))
    assert {route for route, row in OWNERSHIP.items() if row.owners is None} == {
        route for route, access in declared.items() if access == "public"
    }


def test_the_three_offices_share_nothing_that_only_one_may_do() -> None:
    for first, second in (("admin", "security"), ("admin", "compliance"), ("security", "compliance")):
        shared = people.ROLE_SCOPES[first] & people.ROLE_SCOPES[second]
        assert shared <= {"staff:confirm", "consent:suspend"}
    assert "consent:suspend" not in people.ROLE_SCOPES["admin"]


@pytest.mark.parametrize("caller", CALLERS)
def test_every_cell(house: House, app: Flask, caller: str) -> None:
    stage, wrong = set_stage(app), []
    for route, access in routes(app).items():
        row, asking_now = OWNERSHIP[route], enter(caller, stage)
        sent = row.send(stage, asking_now)
        method, path = route.split(" ")
        for name, value in sent.path.items():
            path = path.replace(f"<{name}>", value)
        body: dict[str, Any] = {"json": sent.json} if sent.json is not None else {}
        if sent.form or sent.ndjson:
            body = {"data": sent.form or sent.ndjson}
        if sent.ndjson:
            body["content_type"] = "application/x-ndjson"
        headers = {**asking_now.header, **sent.headers}
        answer = app.test_client().open(path, method=method, headers=headers, query_string=sent.query, **body)
        if answer.status_code != (told := expected(access, row, asking_now)):
            wrong.append(f"{route}: {answer.status_code} instead of {told}")
        owned = row.owners is None or caller in row.owners
        told_of = answer.data.replace(path.encode(), b"")  # a problem repeats the path that was asked for
        if not owned and (stage.uscc.encode() in told_of or NAME.encode() in told_of):
            wrong.append(f"{route}: tells of another's things")
    assert not wrong


def expected(access: str, row: Row, caller: Caller) -> int:
    """What a cell must answer, from what the route declares and from whose things it is about."""
    if row.owners is None:
        return row.success
    if caller.name in NOBODY:
        return 401
    if access and access not in caller.scopes:
        return 403
    if caller.name in row.owners:
        return row.success
    return row.clients if row.clients is not None and caller.username is None else row.others


def routes(app: Flask) -> dict[str, str]:
    """`METHOD /path/<with>/places` → what the route asks of its caller. Pages have a matrix of their own."""
    return {
        f"{method} {rule.rule}": app.view_functions[rule.endpoint].access  # type: ignore[attr-defined]
        for rule in app.url_map.iter_rules()
        if not hasattr(app.view_functions[rule.endpoint], "page")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def set_stage(app: Flask) -> Stage:
    uscc, other_uscc = factories.new_uscc(), factories.new_uscc()
    factories.deliver([factories.registration(1, uscc, NAME), factories.registration(2, other_uscc, "别的演示公司")])
    bank, other_bank = factories.bank(), factories.bank(kind="guarantor")
    consent = factories.consent(uscc, bank)
    answered = factories.ask(app.test_client(), factories.token(bank), uscc).json["query_id"]
    return Stage(uscc, other_uscc, bank, other_bank, consent, answered, factories.person("admin")[0])


def enter(name: str, stage: Stage) -> Caller:
    """A caller with a token of its own, so that no cell spoils another."""
    if name in BANKS or name == "source":
        kind, _, scope = name.partition(":")
        scopes = frozenset({scope}) if scope else frozenset(clients.SOURCE_SCOPES)
        party = {"bank": stage.bank, "other-bank": stage.other_bank, "source": "S01"}[kind]
        with db.transaction() as tx:
            client_id, _ = clients.add(tx, party, tuple(scopes), is_source=name == "source")
            secret, _ = tokens.issue(tx, scopes, tokens.CLIENT_TOKEN_LIFE, client_id=client_id)
        return Caller(name, bearer(secret), scopes)
    if name == "anonymous":
        return Caller(name, {}, frozenset())
    if name == "garbage":
        return Caller(name, bearer("garbage"), frozenset())
    role = {"signatory": "enterprise", "other-signatory": "enterprise", "unenrolled": "compliance"}.get(name, name)
    role = "enterprise" if name in NOBODY else role
    uscc = (stage.other_uscc if name == "other-signatory" else stage.uscc) if role == "enterprise" else None
    username, password = factories.person(role, uscc)
    scopes = sessions.ENROL_ONLY if name == "unenrolled" else people.ROLE_SCOPES[role]
    secret = factories.session(username, scopes, timedelta(0) if name == "expired" else tokens.SESSION_LIFE)
    spoil(name, username, secret)
    header = {"Cookie": f"session={secret}; token={secret}"} if name == "cookie" else bearer(secret)
    return Caller(name, header, scopes, username, password)


def spoil(name: str, username: str, secret: str) -> None:
    """Make a good session what its caller's name says."""
    mine = token_table.update().where(token_table.c.hash == tokens.token_hash(secret))
    with db.transaction() as tx:
        if name == "revoked":
            tokens.revoke(tx, tokens.token_hash(secret))
        if name == "idle":
            tx.execute(mine.values(last_used_at=clock.now() - tokens.IDLE_LIFE))
        if name == "disabled":
            people.disable(tx, username, auth.Principal("person:officer", frozenset(), person="officer"))


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}
