# SPDX-License-Identifier: Apache-2.0
"""Consents as they are kept: granted, superseded, revoked, each version chained to the one before."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import select, text

from audit.models import entry as entries
from consent import consents, policy, store
from consent.acts import Act
from consent.decision import Consent
from consent.models import consent as table
from consent.models import consent_version as versions
from consent.terms import Grant
from kernel import canonical, clock, db
from kernel.errors import Conflict, NotFound, NotPermitted
from tests import factories
from tests.conftest import House

T0 = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set the clock."""

    def set_clock(moment: datetime) -> None:
        monkeypatch.setattr(clock, "now", lambda: moment)

    set_clock(T0)
    return set_clock


def held(consent_id: str) -> Consent:
    with db.reading() as reading:
        return store.get(reading, consent_id)


def revoke(consent_id: str, reason: str | None = None) -> Consent:
    with db.transaction() as tx:
        return consents.revoke(tx, consent_id, factories.COUNTER, reason)


def answer(institution: str, enterprise: str, **asked: Any) -> str:
    """The id of the consent that allows the question, or the slug of the rule that refuses it."""
    question = factories.question(institution, enterprise, **asked)
    with db.transaction() as tx:
        try:
            return consents.require(tx, question).consent.id
        except NotPermitted as refusal:
            return refusal.slug


def told(consent_id: str) -> list[dict[str, Any]]:
    """The entries about a consent, oldest first."""
    with db.reading() as reading:
        about = select(entries.c.bytes).where(entries.c.consent == consent_id).order_by(entries.c.id)
        return sorted((orjson.loads(leaf) for leaf in reading.scalars(about)), key=lambda entry: entry["time"])


def history(consent_id: str) -> list[dict[str, Any]]:
    with db.reading() as reading:
        return list(store.history(reading, consent_id))


def test_a_grant_is_kept_as_it_was_given_and_is_an_entry(house: House, at: Any) -> None:
    given = Grant("u-1", "query", "platform", (1, 2), ("records",), ("pre_loan",), T0, T0 + timedelta(days=365))
    with db.transaction() as tx:
        granted = consents.grant(tx, given, Act("person:p-1", key="k-1", request_digest="d" * 64))
    assert held(granted.id) == granted
    for name in sorted(set(given.__slots__) - {"notice", "evidence"}):
        assert getattr(granted, name) == getattr(given, name)
    assert (granted.version, granted.status, granted.granted_at) == (1, "active", T0)
    (entry,) = told(granted.id)
    assert entry["type"] == "consent.granted"
    assert (entry["actor"], entry["channel"]) == ("person:p-1", "api")
    assert (entry["uscc"], entry["consent_version"], entry["classes"]) == ("u-1", 1, [1, 2])
    assert entry["detail"] == {
        "scope": "query",
        "grantee": "platform",
        "purposes": ["pre_loan"],
        "products": ["records"],
        "status": "active",
        "version_digest": store.digest_of(history(granted.id)[0]),
    }


def test_a_grant_without_a_beginning_begins_now_and_without_an_end_stays(house: House, at: Any) -> None:
    enterprise, institution = factories.new_uscc(), factories.bank()
    granted = factories.consent(enterprise, institution)
    assert (held(granted).not_before, held(granted).expires_at) == (T0, None)
    limit = policy.current().purposes["pre_loan"].longest_validity
    at(T0 + limit - timedelta(microseconds=1))
    assert answer(institution, enterprise) == granted
    at(T0 + limit)
    assert answer(institution, enterprise) == "consent-expired"


def test_a_new_grant_supersedes_the_one_before(house: House) -> None:
    enterprise, institution = factories.new_uscc(), factories.bank()
    first = factories.consent(enterprise, institution, classes=(1, 2))
    second = factories.consent(enterprise, institution, classes=(2,))
    assert (held(first).status, held(first).version) == ("superseded", 2)
    assert answer(institution, enterprise, classes=(2,)) == second
    assert answer(institution, enterprise, classes=(1,)) == "class-not-covered"
    assert [entry["type"] for entry in told(first)] == ["consent.granted"]


@pytest.mark.parametrize("other", ["kind:bank", "platform"])
def test_a_grant_leaves_consents_for_other_grantees_alone(house: House, other: str) -> None:
    enterprise, institution = factories.new_uscc(), factories.bank()
    wide, own = factories.consent(enterprise, other), factories.consent(enterprise, institution)
    assert held(wide).status == held(own).status == "active"
    assert answer(institution, enterprise) == own
    assert answer(factories.bank(), enterprise) == wide


def test_collect_and_query_to_the_platform_live_side_by_side(house: House) -> None:
    enterprise = factories.new_uscc()
    query, collect = factories.consent(enterprise), factories.consent(enterprise, scope="collect")
    assert held(query).status == held(collect).status == "active"
    assert answer(factories.bank(), enterprise) == query


def test_a_revoked_specific_consent_refuses_until_a_new_grant(house: House) -> None:
    enterprise, institution = factories.new_uscc(), factories.bank()
    factories.consent(enterprise)
    own = factories.consent(enterprise, institution)
    revoked = revoke(own, "changed our mind")
    assert (revoked.status, revoked.version, revoked.reason) == ("revoked", 2, "changed our mind")
    assert answer(institution, enterprise) == "no-consent"
    again = factories.consent(enterprise, institution)
    assert held(own).status == "revoked"
    assert answer(institution, enterprise) == again


def test_revoking_twice_is_a_conflict_and_writes_nothing(house: House) -> None:
    given = factories.consent(factories.new_uscc())
    revoke(given)
    with pytest.raises(Conflict, match="revoked already"):
        revoke(given)
    assert [entry["type"] for entry in told(given)] == ["consent.granted", "consent.revoked"]
    assert len(history(given)) == 2


def test_what_ended_otherwise_is_not_revoked_either(house: House, at: Any) -> None:
    enterprise = factories.new_uscc()
    superseded = factories.consent(enterprise)
    expired = factories.consent(enterprise, expires_at=T0 + timedelta(days=1))
    with pytest.raises(Conflict, match="superseded already"):
        revoke(superseded)
    at(T0 + timedelta(days=1))
    with pytest.raises(Conflict, match="expired already"):
        revoke(expired)
    with pytest.raises(NotFound):
        revoke("nothing")


def test_an_expired_consent_stays_expired_when_a_new_one_is_granted(house: House, at: Any) -> None:
    enterprise, institution = factories.new_uscc(), factories.bank()
    old = factories.consent(enterprise, institution, expires_at=T0 + timedelta(days=1))
    at(T0 + timedelta(days=1))
    assert answer(institution, enterprise) == "consent-expired"
    new = factories.consent(enterprise, institution)
    assert answer(institution, enterprise) == new
    assert held(old).status_at(clock.now()) == "expired"
    with db.transaction() as tx, pytest.raises(NotPermitted) as refused:
        consents.require_still(tx, old, "pre_loan")
    assert refused.value.slug == "consent-expired"


def test_time_alone_begins_and_ends_a_consent_and_writes_nothing(house: House, at: Any) -> None:
    enterprise, institution = factories.new_uscc(), factories.bank()
    begin, end = T0 + timedelta(hours=1), T0 + timedelta(hours=2)
    given = factories.consent(enterprise, institution, not_before=begin, expires_at=end)
    steps = [begin - timedelta(microseconds=1), begin, end - timedelta(microseconds=1), end]
    answers = []
    for moment in steps:
        at(moment)
        answers.append(answer(institution, enterprise))
    assert answers == ["no-consent", given, given, "consent-expired"]
    assert len(history(given)) == len(told(given)) == 1


def test_collection_does_not_end_before_queries_have(house: House, at: Any) -> None:
    enterprise = factories.new_uscc()
    collect = factories.consent(enterprise, scope="collect")
    live = [factories.consent(enterprise), factories.consent(enterprise, "kind:bank")]
    factories.consent(enterprise, "kind:insurer", expires_at=T0 + timedelta(hours=1))
    later = factories.consent(enterprise, "kind:other", not_before=T0 + timedelta(days=9))
    at(T0 + timedelta(hours=1))
    for count, consent_id in zip((3, 2, 1), [*live, later], strict=True):
        with pytest.raises(Conflict, match=f"^{count} query consents are live"):
            revoke(collect)
        revoke(consent_id)
    assert revoke(collect).status == "revoked"


def test_after_collection_ended_nothing_is_answered_and_nothing_repeated(house: House) -> None:
    enterprise, institution = factories.new_uscc(), factories.bank()
    revoke(factories.consent(enterprise, scope="collect"))
    own = factories.consent(enterprise, institution)
    assert answer(institution, enterprise) == "no-consent"
    with db.transaction() as tx, pytest.raises(NotPermitted):
        consents.require_still(tx, own, "pre_loan")
    factories.consent(enterprise, scope="collect")
    assert answer(institution, enterprise) == own


def test_each_version_names_the_digest_of_the_one_before(house: House) -> None:
    given = factories.consent(factories.new_uscc(), classes=(1, 3))
    revoke(given, "不再合作")
    first, second = history(given)
    assert (first["version"], first["previous"], first["status"]) == (1, None, "active")
    assert (second["version"], second["status"], second["reason"]) == (2, "revoked", "不再合作")
    assert second["previous"] == store.digest_of(first)
    with db.reading() as reading:
        kept = reading.scalars(select(versions.c.document).where(versions.c.consent == given)).all()
    assert all(canonical.encode(orjson.loads(document)) == document for document in kept)


def test_a_consent_of_another_enterprise_or_institution_never_decides(house: House) -> None:
    enterprise, institution = factories.new_uscc(), factories.bank()
    factories.consent(factories.new_uscc(), institution)
    factories.consent(enterprise, factories.bank())
    factories.consent(enterprise, "kind:insurer")
    assert answer(institution, enterprise) == "no-consent"


def test_the_database_itself_lets_one_consent_decide(house: House) -> None:
    enterprise = factories.new_uscc()
    for _ in range(2):
        factories.consent(enterprise)
    with pytest.raises(Exception, match=r"(?i)unique"), db.transaction() as tx:
        tx.execute(text("UPDATE consent SET deciding = true WHERE uscc = :u"), {"u": enterprise})
    with db.reading() as reading:
        deciding = select(table.c.id).where(table.c.uscc == enterprise, table.c.deciding)
        assert len(reading.scalars(deciding).all()) == 1
