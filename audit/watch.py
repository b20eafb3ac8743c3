# SPDX-License-Identifier: Apache-2.0
"""Whether the trail keeps its promises: what makes questions stop, decided from what the database says and the time.

Entries must be sealed within STALE_AFTER, and where a policy asks for a quorum of witnesses, one must have cosigned
within UNWITNESSED_AFTER. What fails closed, and what to do then: docs/fail-closed.md.
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from audit import log, sealing, trail, trust
from kernel import clock
from kernel.errors import Unavailable

STALE_AFTER = timedelta(seconds=60)
UNWITNESSED_AFTER = timedelta(hours=4)
LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class State:
    """What is known of the trail: when the entry that waits longest was appended, when a quorum last cosigned.

    `asks` says whether a quorum is asked for, of a log that has leaves.
    """

    oldest_unsealed: datetime | None
    asks: bool = False
    witnessed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """One promise: its name, whether it is kept, and in words."""

    name: str
    is_kept: bool
    detail: str


def look(tx: Connection) -> State:
    """The trail's state now."""
    asks = trust.current().asks_for_cosignatures and log.head(tx) is not None
    witnessed = log.shown(tx) if asks else None
    return State(sealing.oldest_unsealed(tx), asks, witnessed.time if witnessed else None)


def judge(state: State, now: datetime, since: datetime) -> tuple[Condition, Condition]:
    """What is kept and what is not. `since` is the process's start: a backlog found then has its 60 seconds too."""
    oldest = state.oldest_unsealed
    is_sealed = oldest is None or now - max(oldest, since) <= STALE_AFTER
    told = "entries are sealed" if is_sealed else "entries wait to be sealed for more than 60 seconds"
    sealed = Condition("sealing", is_sealed, told)
    if not state.asks:
        return sealed, Condition("witnesses", is_kept=True, detail="no quorum is asked for")
    is_witnessed = state.witnessed_at is not None and now - state.witnessed_at <= UNWITNESSED_AFTER
    told = "a quorum cosigns" if is_witnessed else "no quorum of witnesses has cosigned the log for 4 hours"
    return sealed, Condition("witnesses", is_witnessed, told)


class Watch:
    """A process's own look at the trail, at most once in LOOK_EVERY_S."""

    def __init__(self, since: datetime) -> None:
        self.since = since
        self._looked = float("-inf")
        self._state = State(None)

    def conditions(self, tx: Connection) -> tuple[Condition, ...]:
        if time.monotonic() - self._looked >= LOOK_EVERY_S:
            self._state = look(tx)
            self._looked = time.monotonic()
        return judge(self._state, clock.now(), self.since)

    def require_kept(self, tx: Connection) -> None:
        """Raise Unavailable (`audit-unavailable`) where a promise is not kept."""
        for condition in self.conditions(tx):
            if not condition.is_kept:
                raise Unavailable(
                    f"{condition.detail}, so no question is answered: tell the bureau", slug="audit-unavailable"
                )


class Probe:
    """Whether an entry could be written, tried at most once in LOOK_EVERY_S: one is written, and taken back."""

    def __init__(self) -> None:
        self._tried = float("-inf")
        self._condition = Condition("entries", is_kept=True, detail="the trail takes entries")

    def condition(self) -> Condition:
        if time.monotonic() - self._tried >= LOOK_EVERY_S:
            is_kept = trail.can_append()
            told = (
                "the trail takes entries" if is_kept else "the trail cannot take an entry: disk, rights, or read-only?"
            )
            self._condition = Condition("entries", is_kept, told)
            self._tried = time.monotonic()
        return self._condition


def begin(since: datetime | None) -> None:
    """From now on this process answers only as long as the promises are kept (None: whatever happens)."""
    global _watch
    _watch = None if since is None else Watch(since)


def require_kept(tx: Connection) -> None:
    """Raise Unavailable where this process watches the trail and a promise is not kept."""
    if _watch is not None:
        _watch.require_kept(tx)


def conditions(tx: Connection) -> tuple[Condition, ...]:
    """The trail's promises now, in this process's eyes."""
    return (_watch or Watch(clock.now())).conditions(tx)


def can_write() -> Condition:
    """Whether the trail takes entries now."""
    return _probe.condition()


_watch: Watch | None = None
_probe = Probe()
