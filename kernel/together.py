# SPDX-License-Identifier: Apache-2.0
"""What several threads ask at the same time is done as one: while one is at it, the next ones gather.

Nobody waits for company: who finds nobody at work begins at once, alone. So a quiet process loses nothing, and a busy
one pays for a round trip, a commit and a flush once for all that came meanwhile.
"""

from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Lock
from typing import Any, Generic, NamedTuple, TypeVar

Asked = TypeVar("Asked")
Told = TypeVar("Told")


class Together(Generic[Asked, Told]):
    """`work` done for at most `most` at once. It answers each in its place; what it raises is raised to all of them."""

    def __init__(self, work: Callable[[Sequence[Asked]], Sequence[Told]], most: int) -> None:
        self._work, self._most = work, most
        self._gathered: deque[_Waiting] = deque()  # empty while nobody is at work
        self._is_at_work = False
        self._lock = Lock()  # of the two above; held for no longer than it takes to look at them

    def __call__(self, asked: Asked) -> Told:
        """Ask, and wait for the answer."""
        mine = _Waiting(asked, SimpleQueue())
        with self._lock:
            begins, self._is_at_work = not self._is_at_work, True
            if not begins:
                self._gathered.append(mine)
        told: Any = _YOUR_TURN if begins else mine.told.get()
        if told is _YOUR_TURN:
            self._do_with_gathered(mine)
            told = mine.told.get()
        if isinstance(told, _Failed):
            raise told.error
        return told  # type: ignore[no-any-return]

    def _do_with_gathered(self, mine: "_Waiting") -> None:
        """Work for the caller and those who gathered by now, then hand over to the first who did since."""
        with self._lock:
            more = min(self._most - 1, len(self._gathered))
            these = [mine, *(self._gathered.popleft() for _ in range(more))]
        answers: Sequence[Any] = [_Failed(RuntimeError("the thread that did this for several has ended"))] * len(these)
        try:
            answers = self._answered([each.asked for each in these])
        finally:  # whatever ends this thread, nobody waits for ever
            with self._lock:
                self._is_at_work = bool(self._gathered)
                if self._gathered:
                    self._gathered.popleft().told.put(_YOUR_TURN)
            for each, answer in zip(these, answers, strict=True):
                each.told.put(answer)

    def _answered(self, asked: Sequence[Asked]) -> Sequence[Any]:
        try:
            answers = self._work(asked)
            if len(answers) != len(asked):
                raise RuntimeError(f"{len(answers)} answers for {len(asked)} who asked")
        except Exception as error:  # noqa: BLE001  # whatever it is, each of them is told
            return [_Failed(error)] * len(asked)
        return answers


class _Waiting(NamedTuple):
    asked: Any
    told: SimpleQueue[Any]


class _Failed(NamedTuple):
    error: Exception


_YOUR_TURN = object()
