# SPDX-License-Identifier: Apache-2.0
"""Whoever edits a consent in the database is found, and `bureau verify` names the consent."""

from datetime import timedelta

import pytest
from sqlalchemy import text, update

from app import counter
from consent import verification
from consent.models import consent as table
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
