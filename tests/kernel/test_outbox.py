# SPDX-License-Identifier: Apache-2.0
"""The outbox: messages with their act or not at all, and places that leave nobody behind."""

import contextlib
import threading
from datetime import timedelta

import pytest
from sqlalchemy import update

from kernel import clock, db, outbox
from kernel.models import outbox as messages
from tests.conftest import House
from tests.factories import put_message


def settle() -> int:
    with db.transaction() as tx:
        return outbox.settle(tx)


def read(place: int = 0, *audiences: str, limit: int = 100) -> list[outbox.Message]:
    with db.reading() as reading:
        return outbox.after(reading, place, audiences or ("platform",), limit)


def test_a_message_is_there_only_if_its_act_is(house: House) -> None:
    with contextlib.suppress(RuntimeError), db.transaction() as tx:
        outbox.put(tx, "consent.granted", "platform", {})
        raise RuntimeError("the act fails")
    assert settle() == 0
    put_message("platform")
    assert settle() == 1


def test_a_message_is_read_once_it_has_its_place_and_by_its_audience_alone(house: House) -> None:
    first, second, other = put_message("platform", n=1), put_message("bank-1"), put_message("bank-2")
    assert read(0, "platform", "bank-1") == []
    settle()
    found = read(0, "platform", "bank-1")
    assert [each.id for each in found] == [first, second]
    assert found[0].data == b'{"n":1}'
    assert [each.id for each in read(found[0].place, "platform", "bank-1", "bank-2")] == [second, other]
    assert [each.id for each in read(0, "platform", "bank-1", limit=1)] == [first]


def test_places_are_dense_and_go_on(house: House) -> None:
    for _ in range(3):
        put_message("platform")
        settle()
    assert [each.place for each in read()] == [1, 2, 3]
    assert settle() == 0


def test_whoever_commits_late_is_still_read_after_what_was_read_before(open_house: House) -> None:
    """A transaction that began first and commits last: its message must not slip in before the reader's place."""
    if open_house.engine == "sqlite":
        pytest.skip("one writes at a time there")
    begun, may_end = threading.Event(), threading.Event()

    def slow() -> None:
        with db.transaction() as tx:
            outbox.put(tx, "consent.granted", "platform", {"n": "slow"})
            begun.set()
            assert may_end.wait(30)

    thread = threading.Thread(target=slow)
    thread.start()
    assert begun.wait(30)
    put_message("platform", n="fast")
    settle()
    (fast,) = read()
    may_end.set()
    thread.join()
    settle()
    (late,) = read(fast.place)
    assert late.data == b'{"n":"slow"}'


def test_two_who_give_places_at_once_give_each_once(open_house: House) -> None:
    for _ in range(50):
        put_message("platform")
    threads = [threading.Thread(target=settle) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.place for each in read()) == list(range(1, 51))


def test_what_is_old_is_deleted_but_places_go_on(house: House) -> None:
    for _ in range(3):
        put_message("platform")
    settle()
    with db.transaction() as tx:
        tx.execute(update(messages).values(time=clock.now() - outbox.KEEP - timedelta(days=1)))
        assert outbox.tidy(tx) == 2
        assert (outbox.first_place(tx), outbox.last_place(tx)) == (3, 3)
    put_message("platform")
    settle()
    assert [each.place for each in read()] == [3, 4]
