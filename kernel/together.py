# SPDX-License-Identifier: Apache-2.0
"""What several threads ask at the same time is done as one: while one is at it, the next ones gather.

Nobody waits for company: who finds nobody at work begins at once, alone. So a quiet process loses nothing, and a busy
one pays for a round trip, a commit and a flush once for all that came meanwhile.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any, Generic, NamedTuple, TypeVar

Asked = TypeVar("Asked")
Told = TypeVar("Told")


class Together(Generic[Asked, Told]):
    """`work` done for at most `most` at once. It answers each in its place; what it raises is raised to all of them.

    Whose work has not begun after `patience_s` begins with those who gathered, beside the one at work: that one may be
    stuck (a lock, a connection that died unnoticed) or gone, and shall hold up nobody but those that it works for.
    """

    def __init__(self, work: Callable[[Sequence[Asked]], Sequence[Told]], most: int, patience_s: float) -> None:
        self._work, self._most, self._patience_s = work, most, patience_s
        self._at_work: _Waiting | None = None  # who hands over to those who gather
        self._gathered: deque[_Waiting] = deque()  # empty while nobody is at work
        self._lock = Lock()  # of the two above; held for no longer than it takes to look at them

    def __call__(self, asked: Asked) -> Told:
        """Ask, and wait for the answer."""
        mine = _Waiting(asked)
        with self._lock:
            begins = self._at_work is None
            if begins:
                self._at_work = mine
            else:
                self._gathered.append(mine)
        told: Any = _YOUR_TURN if begins else self._wait(mine)
        if told is _YOUR_TURN:
            self._do_with_gathered(mine)
            told = mine.told.get()
        if isinstance(told, _Failed):
            raise told.error
        return told  # type: ignore[no-any-return]

    def _wait(self, mine: "_Waiting") -> Any:
        """The answer, or the turn to work for it."""
        try:
            return mine.told.get(timeout=self._patience_s)
        except Empty:
            with self._lock:
                if mine in self._gathered:
                    self._gathered.remove(mine)
                    self._at_work = mine
                    return _YOUR_TURN
        return mine.told.get()  # somebody is at it

    def _do_with_gathered(self, mine: "_Waiting") -> None:
        """Work for the caller and those who gathered by now, then hand over to the first who did since."""
        these, answers = [mine], _NONE
        try:
            with self._lock:
                while self._gathered and len(these) < self._most:
                    these.append(self._gathered.popleft())
            answers = self._answered([each.asked for each in these])
        finally:  # whatever ends this thread, nobody waits for ever
            self._hand_over(mine)
            if not answers:
                answers = [_Failed(RuntimeError("the thread that did this for several has ended"))] * len(these)
            for each, answer in zip(these, answers, strict=True):
                each.told.put(answer)

    def _hand_over(self, mine: "_Waiting") -> None:
        with self._lock:
            if self._at_work is mine:  # else somebody waited no longer, and hands over
                self._at_work = self._gathered.popleft() if self._gathered else None
                if self._at_work is not None:
                    self._at_work.told.put(_YOUR_TURN)

    def _answered(self, asked: Sequence[Asked]) -> Sequence[Any]:
        try:
            answers = self._work(asked)
            if len(answers) != len(asked):
                raise RuntimeError(f"{len(answers)} answers for {len(asked)} who asked")
        except Exception as error:  # noqa: BLE001  # whatever it is, each of them is told
            return [_Failed(error)] * len(asked)
        return answers


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    asked: Any
    told: SimpleQueue[Any] = field(default_factory=SimpleQueue)


class _Failed(NamedTuple):
    error: Exception


_YOUR_TURN = object()
_NONE: Sequence[Any] = ()
