# SPDX-License-Identifier: Apache-2.0
"""The consent machine against a model small enough to be read at once.

The model knows of each consent its state, its terms and how often it was used, and of each (scope, grantee) which
consent decides. After each step every question is asked through `require`; what is answered goes through the door.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run
from sqlalchemy import select

from bureau import answers, disclosure
from consent import consents, requests, store, suspension, verification
from consent.models import consent as table
from consent.store import Given
from consent.terms import Grant
from kernel import canonical, clock, db, signing
from kernel.errors import Conflict, NotPermitted
from tests import factories
from tests.conftest import House

T0 = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
OWN, KIND, PLATFORM = "own", "kind:bank", "platform"
SLOTS = [("query", OWN), ("query", KIND), ("query", PLATFORM), ("collect", PLATFORM)]
ASKED = [(1,), (2,), (1, 2)]
COUNTER = factories.COUNTER
ACTS = ["approve", "reject", "pause", "resume", "suspend", "reinstate", "revoke"]
RULES = {"no-consent", "consent-expired", "consent-paused", "consent-suspended", "quota-exhausted", "class-not-covered"}
TERMINAL = {"revoked", "expired", "consumed", "superseded", "rejected", "lapsed"}
LIFE = timedelta(days=14)
hours = st.integers(0, 4).map(lambda count: timedelta(hours=count))
limits = st.none() | st.integers(1, 3)


@dataclass
class Held:
    """What the model knows of one consent."""

    id: str
    slot: tuple[str, str]
    classes: tuple[int, ...]
    begins: datetime
    ends: datetime | None
    most: int | None
    state: str = "active"
    before: str = "active"  # where a suspension returns to
    asked_at: datetime = T0
    used: int = 0
    versions: int = 1

    def at(self, now: datetime) -> str:
        if self.state == "requested":
            return "lapsed" if self.asked_at + LIFE <= now else "requested"
        over = self.ends is not None and self.ends <= now
        return "expired" if over and self.state in ("active", "paused", "suspended") else self.state


class ConsentMachine(RuleBasedStateMachine):
    """Grants, requests, pauses, suspensions, revocations, answers and time."""

    @initialize()
    def begin(self) -> None:
        self.now = T0
        self.enterprise, self.institution = factories.new_uscc(), factories.bank()
        self.deciding: dict[tuple[str, str], Held] = {}
        self.all: list[Held] = []
        self.ended: dict[str, str] = {}

    @rule(slot=st.sampled_from(SLOTS), classes=st.sampled_from(ASKED), delay=hours, life=st.none() | hours, most=limits)
    def grant(self, slot: Any, classes: Any, delay: timedelta, life: timedelta | None, most: int | None) -> None:
        begins = self.now + delay
        held = Held("", slot, classes, begins, None if life is None else begins + life, most)
        earlier = self.deciding.get(slot)
        refused = self._done(lambda tx: setattr(held, "id", consents.grant(tx, self._terms(held), COUNTER).id))
        suspended = earlier is not None and earlier.at(self.now) == "suspended"
        assert refused == ("consent-suspended" if suspended else None)
        if refused:
            return
        self._decides(held)
        self.all.append(held)

    @rule(classes=st.sampled_from(ASKED), most=limits)
    def request(self, classes: Any, most: int | None) -> None:
        held = Held("", ("query", OWN), classes, self.now, None, most, state="requested", asked_at=self.now)
        waiting = [one for one in self.all if one.at(self.now) == "requested"]
        refused = self._done(lambda tx: setattr(held, "id", requests.ask(tx, self._terms(held), COUNTER).id))
        assert refused == ("requests-open" if len(waiting) == requests.OPEN_AT_ONCE else None)
        if refused:
            return
        self.all.append(held)

    @precondition(lambda self: self.all)
    @rule(data=st.data(), act=st.sampled_from(ACTS))
    def act(self, data: st.DataObject, act: str) -> None:
        held = data.draw(st.sampled_from(self.all), label="held")
        allowed = self._allowed(held, act)
        refused = self._done(lambda tx: self._do(tx, held.id, act))
        assert (refused is None) == allowed
        if refused:
            return
        held.versions += 1
        if act == "approve":
            held.begins, held.state = self.now, "active"
            self._decides(held)
        elif act == "suspend":
            held.before, held.state = held.state, "suspended"
        else:
            after = {"reject": "rejected", "pause": "paused", "resume": "active", "revoke": "revoked"}
            held.state = after.get(act, held.before)

    @rule(classes=st.sampled_from(ASKED))
    def ask(self, classes: tuple[int, ...]) -> None:
        expected = self._expected(classes)
        question = factories.question(self.institution, self.enterprise, classes=classes)
        try:
            with self._clock():
                disclosure.disclose(question, answers.records)
        except NotPermitted as refusal:
            told = refusal.slug
        else:
            told = "answered"
        assert told == (expected if expected in RULES else "answered")
        if told != "answered":
            return
        held = next(one for one in self.all if one.id == expected)
        held.used += 1
        if held.slot == ("query", OWN) and held.used == held.most:
            held.state, held.versions = "consumed", held.versions + 1

    @rule(passed=hours | st.just(LIFE))
    def wait(self, passed: timedelta) -> None:
        self.now += passed

    @invariant()
    def every_question_is_decided_as_the_model_decides_it(self) -> None:
        for classes in ASKED:
            question = factories.question(self.institution, self.enterprise, classes=classes)
            with self._acting() as tx:
                try:
                    decided = consents.require(tx, question).consent.id
                except NotPermitted as refusal:
                    decided = refusal.slug
            assert decided == self._expected(classes)

    @invariant()
    def nothing_leads_out_of_a_terminal_state(self) -> None:
        with db.reading() as reading:
            for held in self.all:
                status = store.get(reading, held.id).status_at(self.now)
                assert status == held.at(self.now)
                assert self.ended.get(held.id, status) == status
                if status in TERMINAL:
                    self.ended[held.id] = status

    def teardown(self) -> None:
        """What was written on the way: one decides in each slot, every chain holds, every signature verifies."""
        with db.reading() as reading:
            rows: list[Any] = list(reading.execute(select(table).where(table.c.uscc == self.enterprise)))
            assert {row.id for row in rows if row.deciding} == {held.id for held in self.deciding.values()}
            assert {row.id for row in rows} == {held.id for held in self.all}
            public = signing.public_keys(reading, "consent")
            for held in self.all:
                previous, count = None, 0
                for version in store.history(reading, held.id):
                    assert version["previous"] == previous
                    previous, count = store.digest_of(version), count + 1
                    signature = version.pop("signature")
                    assert signing.is_signed(signature, canonical.encode(version), public)
                assert count == held.versions
            assert list(verification.faults(reading)) == []

    def _done(self, act: Callable[[Any], object]) -> str | None:
        """Do it in a transaction; the slug of the Conflict, if one refused it."""
        try:
            with self._acting() as tx:
                act(tx)
        except Conflict as refused:
            return refused.slug
        return None

    def _do(self, tx: Any, consent_id: str, act: str) -> None:
        simple = {"pause": consents.pause, "resume": consents.resume, "revoke": consents.revoke}
        if act == "approve":
            requests.approve(tx, consent_id, COUNTER, {}, Given())
        elif act == "reject":
            requests.reject(tx, consent_id, COUNTER)
        elif act in simple:
            simple[act](tx, consent_id, COUNTER)
        else:
            suspension.at_the_counter(act, tx, consent_id, COUNTER, None)

    def _allowed(self, held: Held, act: str) -> bool:
        state = held.at(self.now)
        if act == "approve":
            earlier = self.deciding.get(held.slot)
            return state == "requested" and (earlier is None or earlier.at(self.now) != "suspended")
        if act == "revoke" and held.slot[0] == "collect":
            others = [one for one in self.all if one.slot[0] == "query"]
            if any(one.at(self.now) in ("active", "paused", "suspended") for one in others):
                return False
        return (
            state
            in {
                "reject": ("requested",),
                "pause": ("active",),
                "resume": ("paused",),
                "suspend": ("active", "paused"),
                "reinstate": ("suspended",),
                "revoke": ("active", "paused", "suspended"),
            }[act]
        )

    def _decides(self, held: Held) -> None:
        earlier = self.deciding.get(held.slot)
        if earlier and earlier.at(self.now) in ("active", "paused"):
            earlier.state, earlier.versions = "superseded", earlier.versions + 1
        self.deciding[held.slot] = held

    def _expected(self, classes: tuple[int, ...]) -> str:
        collect = self.deciding.get(("collect", PLATFORM))
        if collect and collect.at(self.now) not in ("active", "paused"):
            return "no-consent"
        held = next((self.deciding[slot] for slot in SLOTS[:3] if slot in self.deciding), None)
        if held is None:
            return "no-consent"
        state = held.at(self.now)
        if state != "active":
            named = {"expired": "consent-expired", "paused": "consent-paused", "suspended": "consent-suspended"}
            return {**named, "consumed": "quota-exhausted"}.get(state, "no-consent")
        if held.begins > self.now:
            return "no-consent"
        if not set(classes) <= set(held.classes):
            return "class-not-covered"
        return "quota-exhausted" if held.most is not None and held.used >= held.most else held.id

    def _terms(self, held: Held) -> Grant:
        scope, grantee = held.slot
        to = self.institution if grantee == OWN else grantee
        return Grant(
            self.enterprise, scope, to, held.classes, ("records",), ("pre_loan",), held.begins, held.ends, held.most
        )

    @contextmanager
    def _acting(self) -> Iterator[Any]:
        with self._clock(), db.transaction() as tx:
            yield tx

    @contextmanager
    def _clock(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(clock, "now", lambda: self.now)
            yield


def test_consents_behave_as_their_model_does_over_any_course_of_events(house: House) -> None:
    quiet = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    run(ConsentMachine, settings=settings(max_examples=30, stateful_step_count=20, deadline=None,
                                          suppress_health_check=quiet))  # fmt: skip
