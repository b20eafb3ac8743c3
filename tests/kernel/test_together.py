# SPDX-License-Identifier: Apache-2.0
"""What several threads ask at the same time is done as one."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from kernel.together import Together, _Waiting
from tests.bureau.threads import at_once

PATIENCE_S = 20


class Work:
    """Doubles numbers; the first time only when it is let."""

    def __init__(self) -> None:
        self.done: list[list[int]] = []
        self.begun, self.let = threading.Event(), threading.Event()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.begun.set()
        assert self.let.wait(PATIENCE_S)
        self.done.append(sorted(numbers))
        if 0 in numbers:
            raise ZeroDivisionError
        if -1 in numbers:
            raise SystemExit
        return [2 * each for each in numbers][: None if -2 not in numbers else 1]


@contextmanager
def while_at_work(together: Together[int, int], work: Work, others: Sequence[int]) -> Iterator[dict[int, Any]]:
    """The outcomes of the others' asking, all of whom came while the first was under way."""
    outcomes: dict[int, Any] = {}

    def ask(number: int) -> None:
        try:
            outcomes[number] = together(number)
        except Exception as error:  # noqa: BLE001
            outcomes[number] = type(error)

    threads = [threading.Thread(target=ask, args=(each,)) for each in (1, *others)]
    threads[0].start()
    assert work.begun.wait(PATIENCE_S)
    for count, thread in enumerate(threads[1:], 1):
        thread.start()
        until = time.monotonic() + PATIENCE_S
        while len(together._gathered) < count:
            assert time.monotonic() < until
    work.let.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    yield outcomes


def test_who_is_alone_does_not_wait() -> None:
    work = Work()
    work.let.set()
    together = Together(work, 8, PATIENCE_S)
    assert [together(each) for each in (1, 2, 3)] == [2, 4, 6]
    assert work.done == [[1], [2], [3]]


def test_who_comes_meanwhile_is_done_with_the_others_and_gets_his_own_answer() -> None:
    work = Work()
    with while_at_work(Together(work, 8, PATIENCE_S), work, [5, 3, 4]) as outcomes:
        assert outcomes == {1: 2, 5: 10, 3: 6, 4: 8}
        assert work.done == [[1], [3, 4, 5]]


def test_no_more_are_done_at_once_than_stated() -> None:
    work = Work()
    with while_at_work(Together(work, 2, PATIENCE_S), work, [2, 3, 4, 5, 6]) as outcomes:
        assert outcomes == {each: 2 * each for each in range(1, 7)}
        assert work.done == [[1], [2, 3], [4, 5], [6]]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    ("bad", "told"),
    [
        pytest.param(0, [ZeroDivisionError] * 2, id="the work raises"),
        pytest.param(-1, [RuntimeError], id="the thread that works is ended"),
        pytest.param(-2, [RuntimeError] * 2, id="an answer is missing"),
    ],
)
def test_a_failure_is_told_to_all_of_whom_it_is_and_the_next_are_done(bad: int, told: list[type]) -> None:
    work = Work()
    with while_at_work(Together(work, 2, PATIENCE_S), work, [bad, 2, 3]) as outcomes:
        assert [outcomes[each] for each in (bad, 2) if each in outcomes] == told
        assert (outcomes[1], outcomes[3]) == (2, 6)
        assert work.done == [[1], sorted([bad, 2]), [3]]


def test_of_many_that_ask_at_any_time_each_gets_his_own_answer() -> None:
    work = Work()
    work.let.set()
    together = Together(work, 3, PATIENCE_S)

    def ask(of: int) -> list[int]:
        return [together(of * 1000 + each) - 2 * each for each in range(1, 200)]

    told = at_once([partial(ask, of) for of in range(1, 9)])
    assert sorted(each[0] for each in told) == [2000 * of for of in range(1, 9)]
    assert all(len(set(each)) == 1 for each in told)
    assert sum(map(len, work.done)) == 8 * 199
    assert max(map(len, work.done)) <= 3


class Stuck:
    """Doubles numbers, but stays with those among which is 1 until it is let."""

    def __init__(self) -> None:
        self.begun, self.let = threading.Event(), threading.Event()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        if 1 in numbers:
            self.begun.set()
            assert self.let.wait(PATIENCE_S)
        return [2 * each for each in numbers]


def test_who_waited_long_enough_begins_beside_the_one_that_is_stuck() -> None:
    work = Stuck()
    together = Together(work, 8, 0.05)
    told: list[int] = []
    stuck = threading.Thread(target=lambda: told.append(together(1)))
    stuck.start()
    assert work.begun.wait(PATIENCE_S)
    assert sorted(at_once([partial(together, each) for each in (2, 3, 4)])) == [4, 6, 8]
    began = time.monotonic()
    assert [together(each) for each in range(5, 105)] == [2 * each for each in range(5, 105)]
    assert time.monotonic() - began < 100 * 0.05  # they do not wait for the one that is stuck
    assert told == []
    work.let.set()
    stuck.join(PATIENCE_S)
    assert told == [2]
    assert (together._at_work, len(together._gathered)) == (None, 0)


def test_the_stuck_one_that_comes_back_hands_over_nobody_elses_turn() -> None:
    work, second = Stuck(), Work()
    together = Together(lambda numbers: (work if 1 in numbers else second)(numbers), 8, 0.05)
    stuck, other, third = (threading.Thread(target=together, args=(each,)) for each in (1, 2, 3))
    stuck.start()
    assert work.begun.wait(PATIENCE_S)
    other.start()
    assert second.begun.wait(PATIENCE_S)  # it waited no longer
    at_work = together._at_work
    assert at_work is not None
    work.let.set()
    stuck.join(PATIENCE_S)
    assert together._at_work is at_work
    second.let.set()
    third.start()
    for thread in (other, third):
        thread.join(PATIENCE_S)
    assert second.done == [[2], [3]]


def test_a_turn_that_a_thread_was_given_after_its_end_is_taken_by_another() -> None:
    work = Stuck()
    together = Together(work, 8, 0.05)
    first = threading.Thread(target=together, args=(1,))
    first.start()
    assert work.begun.wait(PATIENCE_S)
    together._gathered.append(_Waiting(9))  # nobody waits for it any more
    work.let.set()
    first.join(PATIENCE_S)
    assert together._at_work is not None
    assert sorted(at_once([partial(together, each) for each in (2, 3)])) == [4, 6]
    assert together(4) == 8
