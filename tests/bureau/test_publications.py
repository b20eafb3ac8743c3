# SPDX-License-Identifier: Apache-2.0
"""Publication numbers: dense, in the order of commits, and never taken back."""

import itertools
import threading
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import DBAPIError

from bureau.models import publication, publication_head
from bureau.publications import publish
from kernel import db
from tests.conftest import House


def published() -> list[Any]:
    with db.reading() as reading:
        return list(reading.execute(select(publication).order_by(publication.c.number)))


def test_a_bureau_begins_with_publication_0(house: House) -> None:
    (first,) = published()
    assert (first.number, first.kind, first.batch) == (0, "first-day", None)


def test_numbers_follow_one_another_with_their_times(house: House) -> None:
    given = []
    for kind in ("batch", "overlay", "directory"):
        with db.transaction() as tx:
            given.append(publish(tx, kind, 7 if kind == "batch" else None))
    held = published()[1:]
    assert [(row.number, row.time) for row in held] == given
    assert [(row.number, row.kind, row.batch) for row in held] == [
        (1, "batch", 7),
        (2, "overlay", None),
        (3, "directory", None),
    ]
    assert [time for _, time in given] == sorted(time for _, time in given)


def test_a_number_that_did_not_commit_is_given_again(house: House) -> None:
    def fail() -> None:
        with db.transaction() as tx:
            assert publish(tx, "overlay")[0] == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with db.transaction() as tx:
        assert publish(tx, "overlay")[0] == 1
    assert [row.number for row in published()] == [0, 1]


@pytest.mark.parametrize("change", [update(publication).values(kind="x"), delete(publication)])
def test_what_was_published_cannot_be_changed_or_taken_back(house: House, change: Any) -> None:
    with pytest.raises(DBAPIError, match="append-only"), db.transaction() as tx:
        tx.execute(change)
    assert len(published()) == 1


def test_numbers_become_visible_in_their_order_whoever_gives_them(open_house: House) -> None:
    threads_, each, seen, gaps = 6, 12, list[int](), list[str]()
    done = threading.Event()

    def give() -> None:
        for turn in range(each):
            try:
                with db.transaction() as tx:
                    publish(tx, "overlay")
                    if turn % 4 == 3:
                        raise ZeroDivisionError
            except ZeroDivisionError:
                continue

    def watch() -> None:
        while not done.is_set():
            with db.reading() as reading:
                held = select(func.count(), func.max(publication.c.number)).select_from(publication)
                number, newest = reading.execute(held).one()
            seen.append(newest)
            if number != newest + 1:
                gaps.append(f"{number} publications, the newest of them {newest}")

    watcher = threading.Thread(target=watch)
    watcher.start()
    givers = [threading.Thread(target=give) for _ in range(threads_)]
    for giver in givers:
        giver.start()
    for giver in givers:
        giver.join()
    done.set()
    watcher.join()
    held = published()
    assert [row.number for row in held] == list(range(threads_ * each * 3 // 4 + 1))
    assert all(earlier.time <= later.time for earlier, later in itertools.pairwise(held))
    assert (gaps, seen) == ([], sorted(seen))
    with db.reading() as reading:
        assert reading.scalar(select(publication_head.c.number)) == held[-1].number
