# SPDX-License-Identifier: Apache-2.0
"""Builders of what tests need, with defaults; each goes through the real doors."""

import itertools
import threading
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask.testing import FlaskClient

from access import clients, institutions, people, tokens
from bureau import intake
from bureau.open_batches import Receipt
from bureau.records import Batch, Row
from consent import consents
from consent.acts import Act
from consent.question import CLASSES, PRODUCTS, PURPOSES, Question
from consent.terms import Grant
from kernel import db, outbox, uscc

COUNTER = Act("counter", channel="counter")
_numbers = itertools.count(1)
_one_at_a_time = threading.Lock()  # two who put the same thing aside at once would not both put it back


def new_uscc() -> str:
    """A valid code of the unassigned division 320599, another one each time."""
    first17 = f"91320599MA{next(_numbers):07d}"
    return first17 + uscc.check_symbol(first17)


def bank(name: str | None = None, kind: str = "bank") -> str:
    """An approved institution. Returns its id."""
    with db.transaction() as tx:
        return institutions.add(tx, name or f"演示银行{next(_numbers)}", kind)


def token(
    institution: str,
    scopes: Iterable[str] = ("credit:query", "consent:read"),
    life: Any = tokens.CLIENT_TOKEN_LIFE,
) -> str:
    """An access token of a new client of the institution."""
    with db.transaction() as tx:
        client_id, _ = clients.add(tx, institution, tuple(scopes))
        return tokens.issue(tx, frozenset(scopes), life, client_id=client_id)[0]


def person(role: str, enterprise: str | None = None, username: str | None = None) -> tuple[str, str]:
    """Username and password of a new person. Hashed cheaply: a real hash takes as long as twenty tests."""
    with _one_at_a_time, pytest.MonkeyPatch.context() as patch, db.transaction() as tx:
        patch.setattr(people, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        return people.add(tx, role, enterprise, username)


def signatory(enterprise: str) -> str:
    """A session token of a new signatory of the enterprise."""
    username, _ = person("enterprise", enterprise)
    with db.transaction() as tx:
        return tokens.issue(tx, people.ROLE_SCOPES["enterprise"], tokens.SESSION_LIFE, username=username)[0]


def session(username: str, scopes: Iterable[str], life: Any = tokens.SESSION_LIFE) -> str:
    """A session token of a person, without signing in."""
    with db.transaction() as tx:
        return tokens.issue(tx, frozenset(scopes), life, username=username)[0]


def consent(
    enterprise: str,
    grantee: str = "platform",
    *,
    scope: str = "query",
    classes: tuple[int, ...] = CLASSES,
    products: tuple[str, ...] = PRODUCTS,
    purposes: tuple[str, ...] = PURPOSES,
    not_before: datetime | None = None,
    expires_at: datetime | None = None,
    **limits: Any,
) -> str:
    """A consent given at the counter; `limits` as in Grant. Returns its id."""
    given = Grant(enterprise, scope, grantee, classes, products, purposes, not_before, expires_at, **limits)
    with db.transaction() as tx:
        return consents.grant(tx, given, COUNTER).id


def registration(number: int, enterprise: str, name: str = "苏州演示精密机械有限公司", **items: Any) -> Row:
    """A delivered row of C1.01."""
    known = {
        "C1.01.01": name,
        "C1.01.02": enterprise,
        "C1.01.07": 200_000_000,
        "C1.01.08": "CNY",
        "C1.01.17": "320505",
    }
    return Row(number, enterprise, "C1.01", "2019-05-06", {**known, **items})


def batch(
    rows: Iterable[Any],
    *,
    digest: str | None = None,
    feed: str = "test-feed",
    source: str = "S01",
    **more: Any,
) -> Batch:
    """A delivery; another one each time unless its digest is given."""
    return Batch(feed, source, digest or f"{next(_numbers):064x}", more.pop("basis", "public"), rows, **more)


def deliver(rows: Iterable[Any], **more: Any) -> Receipt:
    """Take rows in, through the real intake."""
    return intake.receive(batch(list(rows), **more))


def question(institution: str, enterprise: str, **changes: Any) -> Question:
    """A question as an institution's client would ask it, in process."""
    with db.reading() as reading:
        asking = institutions.get(reading, institution)
    asked: dict[str, Any] = {
        "uscc": enterprise,
        "purpose": "pre_loan",
        "product": "records",
        "classes": None,
        "operator": "OP-00042",
        "reference": None,
        "asking": asking,
        "actor": f"client:{institution}",
        "client": institution,
        "key": f"key-{next(_numbers)}",
    }
    return Question(**{**asked, **changes})


def ask(client: FlaskClient, bearer: str, enterprise: str, key: str | None = None, **changes: Any) -> Any:
    """POST a question; `changes` replace or (None) remove members of its body. Returns the response."""
    body: Mapping[str, Any] = {
        "uscc": enterprise,
        "purpose": "pre_loan",
        "product": "records",
        "operator": "OP-00042",
        **changes,
    }
    headers = {"Authorization": f"Bearer {bearer}", "Idempotency-Key": key or f"key-{next(_numbers)}"}
    sent = {name: value for name, value in body.items() if value is not None}
    return client.post("/v1/credit-queries", json=sent, headers=headers)


def put_message(audience: str, **data: Any) -> str:
    """A message in the outbox, without its place yet. Returns its id."""
    with db.transaction() as tx:
        return outbox.put(tx, "consent.granted", audience, data)
