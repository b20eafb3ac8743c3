# SPDX-License-Identifier: Apache-2.0
"""Grants and revocations that come at the same time: one consent decides, and everybody gets an answer."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import select

from app import counter
from audit import trail, verification
from audit.models import entry as entries
from consent import consents, grants, store
from consent.models import consent as table
from consent.question import CLASSES, PRODUCTS, PURPOSES
from consent.terms import Grant
from kernel import db
from kernel.errors import Conflict, NotPermitted
from tests import factories
from tests.conftest import House

AT_ONCE = 6
ROUNDS = 3


def together(acts: Sequence[Callable[[], Any]]) -> list[Any]:
    """Do all of them at the same moment; gives each one's result or the exception that it raised."""
    barrier = threading.Barrier(len(acts))

    def do(act: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return act()
        except Exception as error:  # noqa: BLE001
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(do, acts))


def given(enterprise: str, classes: tuple[int, ...] = CLASSES) -> Grant:
    return Grant(enterprise, "query", "platform", classes, PRODUCTS, PURPOSES)


def send(enterprise: str, key: str, classes: tuple[int, ...] = CLASSES) -> dict[str, Any]:
    """A grant as the route makes it."""
    return grants.grant_once(given(enterprise, classes), "person:p", f"{enterprise}-{key}")


def grant_directly(enterprise: str) -> str:
    with trail.recording() as tx:
        return consents.grant(tx, given(enterprise), factories.COUNTER).id


def revoke(consent_id: str) -> str:
    with trail.recording() as tx:
        return consents.revoke(tx, consent_id, factories.COUNTER).status


def held(enterprise: str) -> list[Any]:
    with db.reading() as reading:
        found = select(table).where(table.c.uscc == enterprise).order_by(table.c.granted_at, table.c.id)
        return list(reading.execute(found))


def assert_whole(enterprise: str, expected: int) -> None:
    """One active consent decides, the others are superseded, the chains and the trail are in order."""
    rows = held(enterprise)
    assert len(rows) == expected
    assert sorted(row.status for row in rows) == ["active", *["superseded"] * (expected - 1)]
    assert [row.status for row in rows if row.deciding] == ["active"]
    with db.reading() as reading:
        for row in rows:
            chain = list(store.history(reading, row.id))
            assert [version["version"] for version in chain] == list(range(1, row.version + 1))
            for before, after in pairwise(chain):
                assert after["previous"] == store.digest_of(before)
        about = select(entries.c.id).where(entries.c.uscc == enterprise)
        assert len(reading.scalars(about).all()) == expected
        assert verification.verify(reading).ok


@pytest.mark.parametrize("earlier", [0, 1])
def test_of_grants_at_once_each_is_written_and_one_decides(open_house: House, earlier: int) -> None:
    for _ in range(ROUNDS):
        enterprise = factories.new_uscc()
        for _ in range(earlier):
            factories.consent(enterprise)
        results = together([partial(send, enterprise, str(number)) for number in range(AT_ONCE)])
        assert [result for result in results if isinstance(result, Exception)] == []
        assert len({result["consent_id"] for result in results}) == AT_ONCE
        assert_whole(enterprise, AT_ONCE + earlier)


def test_grants_at_once_at_the_counter_and_over_the_api_do_not_fail(open_house: House) -> None:
    for _ in range(ROUNDS):
        enterprise = factories.new_uscc()
        at_counter = partial(counter.grant, given(enterprise))
        results = together([at_counter, at_counter, *(partial(send, enterprise, key) for key in "ab")])
        assert [result for result in results if isinstance(result, Exception)] == []
        assert_whole(enterprise, 4)


def test_a_grant_made_directly_either_counts_or_says_that_another_came_first(open_house: House) -> None:
    for _ in range(ROUNDS):
        enterprise = factories.new_uscc()
        results = together([partial(grant_directly, enterprise)] * AT_ONCE)
        failed = [result for result in results if isinstance(result, Exception)]
        assert all(db.is_taken(error) for error in failed)
        assert_whole(enterprise, AT_ONCE - len(failed))


def test_the_same_grant_sent_many_times_at_once_is_one_consent(open_house: House) -> None:
    for _ in range(ROUNDS):
        enterprise = factories.new_uscc()
        results = together([partial(send, enterprise, "k")] * AT_ONCE)
        assert all(result == results[0] for result in results)
        assert results[0]["consent_id"]
        assert_whole(enterprise, 1)


def test_a_key_sent_with_two_bodies_at_once_is_spent_by_one(open_house: House) -> None:
    for _ in range(ROUNDS):
        enterprise = factories.new_uscc()
        results = together([partial(send, enterprise, "k", classes) for classes in ((1,), (2,))])
        refused = [result for result in results if isinstance(result, Exception)]
        assert [getattr(error, "slug", error) for error in refused] == ["idempotency-key-reused"]
        assert_whole(enterprise, 1)


def test_a_grant_and_a_revocation_at_once_leave_one_order_of_the_two(open_house: House) -> None:
    for _ in range(2 * ROUNDS):
        enterprise = factories.new_uscc()
        old = factories.consent(enterprise)
        new, ended = together([partial(send, enterprise, "k"), partial(revoke, old)])
        rows = {row.id: row for row in held(enterprise)}
        assert rows[new["consent_id"]].status == "active"
        assert [row.id for row in rows.values() if row.deciding] == [new["consent_id"]]
        assert rows[old].status == ("superseded" if isinstance(ended, Conflict) else ended)
        assert rows[old].status in ("superseded", "revoked")
        assert rows[old].version == 2


def test_of_revocations_at_once_one_counts_and_the_others_are_conflicts(open_house: House) -> None:
    consent_id = factories.consent(factories.new_uscc())
    results = together([partial(revoke, consent_id)] * AT_ONCE)
    assert results.count("revoked") == 1
    assert len([result for result in results if isinstance(result, Conflict)]) == AT_ONCE - 1
    with db.reading() as reading:
        assert len(list(store.history(reading, consent_id))) == 2


def test_whoever_asks_after_a_revocation_was_acknowledged_is_refused(open_house: House) -> None:
    institution, enterprise = factories.bank(), factories.new_uscc()
    question = factories.question(institution, enterprise)
    for _ in range(ROUNDS):
        acknowledged = threading.Event()

        def end(consent_id: str, acknowledged: threading.Event) -> None:
            revoke(consent_id)
            acknowledged.set()

        def ask(acknowledged: threading.Event) -> list[bool]:
            """For each question that was allowed: whether it began after the acknowledgement."""
            allowed = []
            for _ in range(20):
                after = acknowledged.is_set()
                with db.transaction() as tx, suppress(NotPermitted):
                    consents.require(tx, question)
                    allowed.append(after)
            return allowed

        ending = partial(end, factories.consent(enterprise, institution), acknowledged)
        _, *allowed = together([ending, *[partial(ask, acknowledged)] * 3])
        assert acknowledged.is_set()
        for each in allowed:
            assert isinstance(each, list), each
            assert not any(each)
