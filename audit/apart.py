# SPDX-License-Identifier: Apache-2.0
"""Ranges of a large log, looked at by several processes in turns, each with its own connection; results in order."""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from multiprocessing.context import BaseContext
from typing import TypeVar

from sqlalchemy import Connection, Engine

from kernel import db

MOST_PROCESSES = 4
WORTH_IT = 400_000  # leaves: fewer are looked at in the time that processes take to start
AHEAD = 4  # results of each process that may wait to be taken

T = TypeVar("T")
Look = Callable[[Connection, int, int], T]  # a range: its first leaf, and one beyond its last
Ranges = Iterable[tuple[int, int]]


def in_order(look: Look[T], tx: Connection, ranges: Ranges, leaves: int) -> Iterator[T]:
    """What `look` says of each range, in their order; `leaves` is what they have together.

    `look` is a module's own function, or a partial one: it must find its way to another process.
    """
    processes, bound = min(os.cpu_count() or 1, MOST_PROCESSES), db.current()
    if leaves < WORTH_IT or processes < 2 or not isinstance(bound, Engine):
        yield from (look(tx, *each) for each in ranges)
        return
    url, waiting, ranges = bound.url.render_as_string(hide_password=False), deque[Future[T]](), iter(ranges)
    with ProcessPoolExecutor(processes, _way_to_start(), _open, (url,)) as pool:
        try:
            waiting.extend(pool.submit(_look, look, first, last) for first, last in islice(ranges, AHEAD * processes))
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(_look, look, first, last) for first, last in islice(ranges, 1))
        finally:
            pool.shutdown(cancel_futures=True)


def is_alone() -> bool:
    """Whether no other thread runs: in a command, not in a server. Then processes cost next to nothing."""
    return _way_to_start().get_start_method() == "fork"


def _way_to_start() -> BaseContext:
    """A fork needs neither to import anything nor memory of its own; beside other threads it is not safe."""
    return get_context("fork" if sys.platform == "linux" and threading.active_count() == 1 else "spawn")


def _open(url: str) -> None:
    """In a process of its own: its database. Connections that came by a fork are left to the parent."""
    db.use(db.open_engine(url))


def _look(look: Look[T], first: int, last: int) -> T:
    with db.reading() as reading:
        return look(reading, first, last)
