# SPDX-License-Identifier: Apache-2.0
"""A grant from the request to the trail: what is refused before it is written; a key writes it once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from access.institutions import KINDS
from audit.models import entry as entries
from consent import consents, grants
from consent.models import consent as table
from consent.terms import Grant
from kernel import clock, db
from kernel.errors import Invalid
from tests import factories
from tests.conftest import House

T0 = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: T0)


def body(**changes: Any) -> dict[str, Any]:
    """A validated body, as the schema leaves it."""
    given = {
        "uscc": factories.new_uscc(),
        "scope": "query",
        "grantee": "platform",
        "classes": [1],
        "products": ["records"],
        "purposes": ["pre_loan"],
        "not_before": None,
        "expires_at": None,
    }
    return {**given, **changes}


def fields_refused(**changes: Any) -> set[str]:
    with pytest.raises(Invalid) as refused:
        grants.checked(body(**changes))
    errors: Any = refused.value.extra["errors"]
    return set(errors)


def count(column: Any) -> int:
    with db.reading() as reading:
        return reading.scalar(select(func.count(column))) or 0


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_institution_can_be_named(house: House, kind: str) -> None:
    assert grants.checked(body(grantee=f"kind:{kind}")).grantee == f"kind:{kind}"


def test_an_institution_of_ours_can_be_named_whatever_its_standing(house: House) -> None:
    institution = factories.bank()
    assert grants.checked(body(grantee=institution)).grantee == institution


@pytest.mark.parametrize("grantee", ["nobody", "kind:", "kind:pawnshop", "kind:Bank", "Platform", "bank", "*"])
def test_a_grantee_that_nobody_is_is_refused(house: House, grantee: str) -> None:
    assert fields_refused(grantee=grantee) == {"grantee"}


def test_a_consent_to_collect_is_given_to_the_bureau_only(house: House) -> None:
    assert grants.checked(body(scope="collect")).scope == "collect"
    for grantee in (factories.bank(), "kind:bank"):
        assert fields_refused(scope="collect", grantee=grantee) == {"grantee"}


@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        (None, T0),
        (None, T0 - INSTANT),
        (T0 - timedelta(days=2), T0),
        (T0 - timedelta(days=2), T0 - timedelta(days=1)),
        (T0 + timedelta(days=1), T0 + timedelta(days=1)),
        (T0 + timedelta(days=2), T0 + timedelta(days=1)),
    ],
)
def test_an_end_that_is_past_or_before_the_beginning_is_refused(
    house: House, begins: datetime | None, ends: datetime
) -> None:
    given = grants.checked(body(not_before=begins, expires_at=ends))
    with pytest.raises(Invalid) as refused:
        grants.grant_once(given, "person:p-1", "k")
    assert refused.value.extra["errors"].keys() == {"expires_at"}


def test_an_end_one_instant_after_now_and_after_the_beginning_is_taken(house: House) -> None:
    assert grants.checked(body(expires_at=T0 + INSTANT)).expires_at == T0 + INSTANT
    later = T0 + timedelta(days=1)
    assert grants.checked(body(not_before=later, expires_at=later + INSTANT)).not_before == later


def test_what_is_listed_twice_or_out_of_order_is_the_same_grant(house: House) -> None:
    given = grants.checked(body(classes=[7, 1, 7], products=["screening", "records"], purposes=["pre_loan"] * 2))
    assert (given.classes, given.products, given.purposes) == (
        (1, 7),
        ("records", "screening"),
        ("pre_loan",),
    )


def given(**changes: Any) -> Grant:
    return grants.checked(body(**changes))


def test_the_same_key_and_grant_again_give_the_same_consent_and_one_entry(house: House) -> None:
    grant = given(expires_at=T0 + timedelta(days=1), not_before=T0)
    first = grants.grant_once(grant, "person:p", "k")
    before = count(entries.c.id)
    assert grants.grant_once(grant, "person:p", "k") == first
    assert (count(table.c.id), count(entries.c.id)) == (1, before)


def test_what_a_key_bought_is_told_again_as_it_was_even_when_it_ended_since(house: House) -> None:
    grant = given()
    first = grants.grant_once(grant, "person:p", "k")
    with db.transaction() as tx:
        consents.revoke(tx, first["consent_id"], factories.COUNTER)
    assert grants.grant_once(grant, "person:p", "k") == first
    assert first["status"] == "active"
    assert count(table.c.id) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": [1, 2]},
        {"purposes": ["post_loan"]},
        {"products": ["screening"]},
        {"grantee": "kind:bank"},
        {"scope": "collect"},
        {"expires_at": T0 + timedelta(days=2)},
        {"not_before": T0},
    ],
    ids=str,
)
def test_the_same_key_with_another_grant_is_refused_and_writes_nothing(house: House, changes: dict[str, Any]) -> None:
    enterprise = factories.new_uscc()
    grants.grant_once(given(uscc=enterprise), "person:p", "k")
    before = count(entries.c.id)
    with pytest.raises(Invalid) as refused:
        grants.grant_once(given(uscc=enterprise, **changes), "person:p", "k")
    assert refused.value.slug == "idempotency-key-reused"
    assert (count(table.c.id), count(entries.c.id)) == (1, before)


def test_two_people_may_use_the_same_key(house: House) -> None:
    grant = given()
    one, other = (grants.grant_once(grant, actor, "k") for actor in ("person:p", "person:q"))
    assert one["consent_id"] != other["consent_id"]


def test_the_same_grant_under_a_new_key_is_a_new_consent(house: House) -> None:
    grant = given()
    one, other = (grants.grant_once(grant, "person:p", key) for key in ("k", "l"))
    assert one["consent_id"] != other["consent_id"]
    assert count(table.c.id) == 2
