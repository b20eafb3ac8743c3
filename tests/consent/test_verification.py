# SPDX-License-Identifier: Apache-2.0
"""Whoever edits a consent in the database is found, and `bureau verify` names the consent."""

from datetime import timedelta

import pytest
from sqlalchemy import delete, select, text, update

from app import counter
from consent import verification
from consent.models import consent as table
from consent.models import consent_version as version
from kernel import clock, db
from tests import factories
from tests.conftest import House


def faults() -> list[tuple[str, str]]:
    with db.reading() as reading:
        return [(fault.entry, fault.fault) for fault in verification.faults(reading)]


def test_consents_that_nobody_touched_have_no_fault(house: House) -> None:
    enterprise = factories.new_uscc()
    first, _ = factories.consent(enterprise, max_queries=3), factories.consent(enterprise, history_months=12)
    counter.change("revoke", factories.consent(factories.new_uscc()), "reason")
    assert faults() == []
    assert first


@pytest.mark.parametrize(
    "edit",
    [
        {"classes": "1,2,3"},
        {"grantee": "platform"},
        {"status": "active"},
        {"expires_at": None},
        {"purposes": "screening"},
        {"max_queries": None},
        {"uscc": "91320599MA0000000X"},
        {"version": 1},
    ],
    ids=lambda edit: next(iter(edit)),
)
def test_a_widened_consent_is_named(house: House, edit: dict[str, object]) -> None:
    ends = clock.now() + timedelta(days=9)
    held = factories.consent(
        factories.new_uscc(), "kind:bank", classes=(1,), purposes=("pre_loan",), expires_at=ends, max_queries=2
    )
    factories.consent(factories.new_uscc())
    counter.change("pause", held, None)
    with db.transaction() as tx:
        tx.execute(update(table).where(table.c.id == held).values(**edit))
    ((named, fault),) = faults()
    assert named == held
    assert "differs" in fault or "missing" in fault
    with db.reading() as reading:
        assert not counter.verify(reading).ok


def test_a_version_that_was_edited_behind_the_triggers_is_named(open_house: House) -> None:
    held = factories.consent(factories.new_uscc())
    counter.change("pause", held, None)
    drop = {
        "sqlite": "DROP TRIGGER consent_version_no_update",
        "postgresql": "DROP TRIGGER consent_version_append_only ON consent_version",
    }
    with db.transaction() as tx:
        tx.execute(text(drop[open_house.engine]))
        tx.execute(text("UPDATE consent_version SET signature = NULL WHERE version = 2"))
    assert faults() == [(held, "edited: its version 2 is not signed")]
    with db.transaction() as tx:
        empty = "x'7b7d'" if open_house.engine == "sqlite" else "'\\x7b7d'"
        tx.execute(text(f"UPDATE consent_version SET document = {empty}"))
    assert [named for named, _ in faults()] == [held]


def test_a_consent_whose_signatures_were_all_taken_away_is_named(open_house: House) -> None:
    held = factories.consent(factories.new_uscc(), classes=(1,))
    unguard(open_house, "consent_version", "no_update")
    with db.transaction() as tx:
        document = tx.scalar(select(version.c.document))
        wider = (document or b"").replace(b'"classes":[1]', b'"classes":[1,2]')
        tx.execute(update(version).values(document=wider, signature=None))
        tx.execute(update(table).values(classes="1,2"))
    assert faults() == [(held, "edited: its version 1 is not signed")]


def test_a_consent_that_was_set_aside_so_that_a_wider_one_decides_is_named(house: House) -> None:
    enterprise, bank = factories.new_uscc(), factories.bank()
    factories.consent(enterprise, "platform")
    first, held = factories.consent(enterprise, bank), factories.consent(enterprise, bank)
    counter.change("revoke", held, None)
    assert faults() == []
    with db.transaction() as tx:
        tx.execute(update(table).where(table.c.id == held).values(deciding=False))
    assert faults() == [(held, "edited: it was set aside, and no newer one took its place")]
    with db.transaction() as tx:
        tx.execute(update(table).where(table.c.id == first).values(deciding=True))
    assert (first, "edited: it decides, and must not") in faults()


def test_a_consent_that_was_deleted_whole_is_named(open_house: House) -> None:
    held = factories.consent(factories.new_uscc())
    unguard(open_house, "consent_version", "no_delete")
    with db.transaction() as tx:
        for each in (version, table):
            tx.execute(delete(each))
    assert faults() == [(held, "deleted: the trail tells that it was granted")]


def test_an_expired_consent_that_a_new_one_replaced_has_no_fault(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    enterprise = factories.new_uscc()
    factories.consent(enterprise, expires_at=clock.now() + timedelta(days=1))
    later = clock.now() + timedelta(days=2)
    monkeypatch.setattr(clock, "now", lambda: later)
    factories.consent(enterprise)
    assert faults() == []


def unguard(house: House, name: str, guard: str) -> None:
    """Take the database's guard away, as someone with full rights can."""
    drop = {"sqlite": f"DROP TRIGGER {name}_{guard}", "postgresql": f"DROP TRIGGER {name}_append_only ON {name}"}
    with db.transaction() as tx:
        tx.execute(text(drop[house.engine]))
