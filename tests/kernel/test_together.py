# SPDX-License-Identifier: Apache-2.0
"""What several threads ask at the same time is done as one."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from kernel.together import Together
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
    together = Together(work, 8)
    assert [together(each) for each in (1, 2, 3)] == [2, 4, 6]
    assert work.done == [[1], [2], [3]]


def test_who_comes_meanwhile_is_done_with_the_others_and_gets_his_own_answer() -> None:
    work = Work()
    with while_at_work(Together(work, 8), work, [5, 3, 4]) as outcomes:
        assert outcomes == {1: 2, 5: 10, 3: 6, 4: 8}
        assert work.done == [[1], [3, 4, 5]]


def test_no_more_are_done_at_once_than_stated() -> None:
    work = Work()
    with while_at_work(Together(work, 2), work, [2, 3, 4, 5, 6]) as outcomes:
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
    with while_at_work(Together(work, 2), work, [bad, 2, 3]) as outcomes:
        assert [outcomes[each] for each in (bad, 2) if each in outcomes] == told
        assert (outcomes[1], outcomes[3]) == (2, 6)
        assert work.done == [[1], sorted([bad, 2]), [3]]


def test_of_many_that_ask_at_any_time_each_gets_his_own_answer() -> None:
    work = Work()
    work.let.set()
    together = Together(work, 3)

    def ask(of: int) -> list[int]:
        return [together(of * 1000 + each) - 2 * each for each in range(1, 200)]

    told = at_once([partial(ask, of) for of in range(1, 9)])
    assert sorted(each[0] for each in told) == [2000 * of for of in range(1, 9)]
    assert all(len(set(each)) == 1 for each in told)
    assert sum(map(len, work.done)) == 8 * 199
    assert max(map(len, work.done)) <= 3
