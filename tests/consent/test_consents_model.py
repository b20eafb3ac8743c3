# SPDX-License-Identifier: Apache-2.0
"""The consent machine against a model small enough to be read at once, seen only through `require`.

The model remembers for each (scope, grantee) the last grant and whether it was revoked, and nothing else.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from consent import consents, store
from consent.models import consent as table
from consent.terms import Grant
from kernel import clock, db
from kernel.errors import Conflict, NotPermitted
from tests import factories
from tests.conftest import House

T0 = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
OWN, KIND, PLATFORM = "own", "kind:bank", "platform"
SLOTS = [("query", OWN), ("query", KIND), ("query", PLATFORM), ("collect", PLATFORM)]
ASKED = [(1,), (2,), (1, 2)]
hours = st.integers(0, 4).map(lambda count: timedelta(hours=count))


@dataclass
class Held:
    """What the model knows of one consent."""

    id: str
    classes: tuple[int, ...]
    begins: datetime
    ends: datetime | None
    revoked: bool = False

    def live(self, now: datetime) -> bool:
        return not self.revoked and not self.expired(now)

    def expired(self, now: datetime) -> bool:
        return not self.revoked and self.ends is not None and self.ends <= now


class ConsentMachine(RuleBasedStateMachine):
    """Grants, revocations and time; after each step every question is asked."""

    @initialize()
    def begin(self) -> None:
        self.now = T0
        self.enterprise, self.institution = factories.new_uscc(), factories.bank()
        self.last: dict[tuple[str, str], Held] = {}
        self.all: list[str] = []

    @rule(slot=st.sampled_from(SLOTS), classes=st.sampled_from(ASKED), delay=hours, life=st.none() | hours)
    def grant(self, slot: tuple[str, str], classes: tuple[int, ...], delay: timedelta, life: timedelta | None) -> None:
        scope, grantee = slot
        begins, ends = self.now + delay, None if life is None else self.now + delay + life
        to = self.institution if grantee == OWN else grantee
        given = Grant(self.enterprise, scope, to, classes, ("records",), ("pre_loan",), begins, ends)
        with self._clock(), db.transaction() as tx:
            granted = consents.grant(tx, given, factories.COUNTER).id
        self.last[slot] = Held(granted, classes, begins, ends)
        self.all.append(granted)

    @precondition(lambda self: self.all)
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(self.all))
        slot, held = next(((slot, held) for slot, held in self.last.items() if held.id == chosen), (None, None))
        allowed = held is not None and held.live(self.now)
        if slot and slot[0] == "collect":
            allowed &= not any(each.live(self.now) for key, each in self.last.items() if key[0] == "query")
        try:
            with self._clock(), db.transaction() as tx:
                consents.revoke(tx, chosen, factories.COUNTER)
        except Conflict:
            assert not allowed
        else:
            assert allowed
            assert held
            held.revoked = True

    @rule(passed=hours)
    def wait(self, passed: timedelta) -> None:
        self.now += passed

    @invariant()
    def every_question_is_decided_as_the_model_decides_it(self) -> None:
        for classes in ASKED:
            question = factories.question(self.institution, self.enterprise, classes=classes)
            with self._clock(), db.transaction() as tx:
                try:
                    decided = consents.require(tx, question).consent.id
                except NotPermitted as refusal:
                    decided = refusal.slug
            assert decided == self._expected(classes)

    def _expected(self, classes: tuple[int, ...]) -> str:
        collect = self.last.get(("collect", PLATFORM))
        if collect and not collect.live(self.now):
            return "no-consent"
        held = next((self.last[slot] for slot in SLOTS[:3] if slot in self.last), None)
        if held is None or held.revoked:
            return "no-consent"
        if held.expired(self.now):
            return "consent-expired"
        if held.begins > self.now:
            return "no-consent"
        return held.id if set(classes) <= set(held.classes) else "class-not-covered"

    def teardown(self) -> None:
        """What was written on the way: one decides in each slot, and every chain of versions holds."""
        with db.reading() as reading:
            rows: list[Any] = list(reading.execute(select(table).where(table.c.uscc == self.enterprise)))
            assert {row.id for row in rows if row.deciding} == {held.id for held in self.last.values()}
            assert {row.id for row in rows} == set(self.all)
            for row in rows:
                previous = None
                for version in store.history(reading, row.id):
                    assert version["previous"] == previous
                    previous = store.digest_of(version)
                assert version["version"] == row.version <= 2

    @contextmanager
    def _clock(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(clock, "now", lambda: self.now)
            yield


def test_consents_behave_as_their_model_does_over_any_course_of_events(house: House) -> None:
    steps = settings(
        max_examples=25,
        stateful_step_count=12,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    run_state_machine_as_test(ConsentMachine, settings=steps)
