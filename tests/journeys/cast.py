# SPDX-License-Identifier: Apache-2.0
"""Who appears in the stories, and what each of them says to the bureau over HTTP."""

import base64
import hashlib
import itertools
from dataclasses import dataclass
from typing import Any

from access import clients, people
from kernel import db
from tests import factories
from tests.journeys.service import Reply, Service

ENTERPRISE_NAME = "苏州演示精密机械有限公司"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Bank:
    """An institution with its one client."""

    institution: str
    name: str
    client_id: str
    secret: str

    @property
    def basic(self) -> str:
        return "Basic " + base64.b64encode(f"{self.client_id}:{self.secret}".encode()).decode()


@dataclass(frozen=True)
class Enterprise:
    """An enterprise with its one signatory."""

    uscc: str
    username: str
    password: str


@dataclass(frozen=True)
class Cast:
    """A bank and an enterprise, and the consent that the enterprise gave to the bank."""

    bank: Bank
    enterprise: Enterprise
    consent: str


def engaged() -> Cast:
    """A new cast in the bureau that is open: registered at the counter, one record delivered."""
    bank, enterprise = new_bank(), new_enterprise()
    return Cast(bank, enterprise, factories.consent(enterprise.uscc, bank.institution))


def new_bank(scopes: tuple[str, ...] = ("credit:query", "consent:read")) -> Bank:
    name = f"演示银行·{next(_numbers)}"
    institution = factories.bank(name)
    with db.transaction() as tx:
        return Bank(institution, name, *clients.add(tx, institution, scopes, per_second=1_000_000))


def new_enterprise() -> Enterprise:
    uscc = factories.new_uscc()
    factories.deliver([factories.registration(1, uscc, ENTERPRISE_NAME)])
    with db.transaction() as tx:
        return Enterprise(uscc, *people.add(tx, "enterprise", uscc))


def fetch_token(served: Service, bank: Bank, **parameters: str) -> Reply:
    """The bank's client asks for an access token (RFC 6749 §4.4)."""
    form = "&".join(f"{name}={value}" for name, value in {"grant_type": "client_credentials", **parameters}.items())
    content_type = "application/x-www-form-urlencoded"
    return served.call("POST", "/oauth/token", form, Authorization=bank.basic, Content_Type=content_type)


def token(served: Service, bank: Bank) -> str:
    answered = fetch_token(served, bank)
    assert answered.status == 200, answered
    return str(answered.json["access_token"])


def sign_in(served: Service, enterprise: Enterprise) -> str:
    """The signatory's session token."""
    credentials = {"username": enterprise.username, "password": enterprise.password}
    answered = served.call("POST", "/v1/sessions", credentials)
    assert answered.status == 201, answered
    return str(answered.json["token"])


def ask(served: Service, bearer: str, uscc: str, key: str | None = None, **changes: Any) -> Reply:
    """One question, under a new Idempotency-Key unless one is given; `changes` replace members of it."""
    body = {"uscc": uscc, "purpose": "pre_loan", "product": "records", "operator": "OP-00042", **changes}
    key = key or f"story-{next(_numbers)}"
    return served.call("POST", "/v1/credit-queries", body, Authorization=f"Bearer {bearer}", Idempotency_Key=key)


def grant(served: Service, session: str, cast: Cast, **changes: Any) -> Reply:
    """The enterprise lets the bank ask, for a loan it applied for."""
    given = {
        "uscc": cast.enterprise.uscc,
        "grantee": cast.bank.institution,
        "classes": [1],
        "purposes": ["pre_loan"],
    }
    headers = {"Authorization": f"Bearer {session}", "Idempotency_Key": f"story-{next(_numbers)}"}
    return served.call("POST", "/v1/consents", {**given, **changes}, **headers)


def revoke(served: Service, session: str, consent: str) -> Reply:
    return served.call("POST", f"/v1/consents/{consent}/revoke", {}, Authorization=f"Bearer {session}")


def read_access_log(served: Service, session: str, uscc: str) -> list[dict[str, Any]]:
    """The whole access log of an enterprise, page after page, newest first."""
    entries: list[dict[str, Any]] = []
    cursor = ""
    while True:
        path = f"/v1/enterprises/{uscc}/access-log?limit=200{cursor}"
        page = served.call("GET", path, Authorization=f"Bearer {session}")
        assert page.status == 200, page
        entries += page.json["entries"]
        if page.json["next_cursor"] is None:
            return entries
        cursor = f"&cursor={page.json['next_cursor']}"


def content_digest(body: bytes) -> str:
    """What the header Content-Digest says of a body (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
