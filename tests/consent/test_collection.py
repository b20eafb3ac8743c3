# SPDX-License-Identifier: Apache-2.0
"""Who lets the bureau collect."""

from datetime import UTC, datetime, timedelta

import pytest

from consent import collection, consents
from kernel import clock, db
from tests import factories
from tests.conftest import House

T0 = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def test_only_consents_in_force_let_the_bureau_collect(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: T0)
    firms = [factories.new_uscc() for _ in range(6)]
    factories.consent(firms[0], scope="collect", classes=(1,))
    factories.consent(firms[1], scope="collect", expires_at=T0)
    factories.consent(firms[2], scope="collect", not_before=T0 + timedelta(microseconds=1))
    ended = factories.consent(firms[3], scope="collect")
    with db.transaction() as tx:
        consents.revoke(tx, ended, factories.COUNTER)
    factories.consent(firms[4], scope="query")
    with db.reading() as reading:
        assert collection.allowed(reading, firms) == {firms[0]: frozenset({1})}
        assert collection.allowed(reading, []) == {}
