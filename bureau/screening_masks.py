# SPDX-License-Identifier: Apache-2.0
"""Who may be found, as a mask over a snapshot: for each institution the consented classes of every enterprise.

A process reads all consents that name an institution once, and from then on, at each page, only those that changed
or whose time came. A mask is never changed but replaced by a newer one, so that threads need no lock at a page.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from bureau.screening_engine import Snapshot
from consent import policy
from consent.screenable import Standing, changes, standings
from kernel import auth

KEPT = 32  # masks in a process, of 5 bytes an enterprise: those used last
MOST_AT_ONCE = 20_000  # changed enterprises; of more, reading all consents is faster
NEVER = 2**32 - 1


@dataclass(frozen=True)
class Mask:
    """Per row of a snapshot: bit n where class n is consented, 0 hides it; and the second from which that may change.

    `since` is the number by which to ask for changes, `due` the earliest second of all.
    """

    classes: NDArray[np.uint8]
    until: NDArray[np.uint32]
    due: int
    since: int
    rules: policy.Policy


def current(tx: Connection, snapshot: Snapshot, asking: auth.Institution, now: datetime) -> Mask:
    """The mask with all that was committed before this call. Reads everything where this process has none yet."""
    place = (snapshot.version, snapshot.time, asking.id, asking.kind)
    held = _held.get(place)
    if held is None or held.rules is not policy.current():
        with _loading:  # one thread reads, the others wait for it
            held = _held.get(place)
            if held is None or held.rules is not policy.current():
                held = _keep(place, None, _read_all(tx, snapshot, asking, now))
    fresh = _brought_up(tx, held, snapshot, asking, now)
    return fresh if fresh is held else _keep(place, held, fresh)


def bits(classes: Iterable[int]) -> int:
    return sum(1 << number for number in classes)


def _brought_up(tx: Connection, held: Mask, snapshot: Snapshot, asking: auth.Institution, now: datetime) -> Mask:
    since, changed = changes(tx, asking, held.since)
    second = int(now.timestamp())
    overdue = np.flatnonzero(held.until <= second).tolist() if held.due <= second else []
    if since < held.since or len(changed) + len(overdue) > MOST_AT_ONCE:
        return _read_all(tx, snapshot, asking, now)
    sought = {uscc for uscc in changed if uscc in snapshot.places} | {snapshot.usccs[row] for row in overdue}
    if not sought:
        return held if since == held.since else Mask(held.classes, held.until, held.due, since, held.rules)
    classes, until = held.classes.copy(), held.until.copy()
    _write(classes, until, snapshot, standings(tx, asking, now, sorted(sought)))
    return Mask(classes, until, int(until.min()), since, held.rules)


def _read_all(tx: Connection, snapshot: Snapshot, asking: auth.Institution, now: datetime) -> Mask:
    # The number first: what changes while the consents are read is then read once more.
    since, _ = changes(tx, asking, NOTHING_YET)
    classes, until = np.zeros(len(snapshot.usccs), np.uint8), np.full(len(snapshot.usccs), NEVER, np.uint32)
    rules = policy.current()
    _write(classes, until, snapshot, standings(tx, asking, now))
    return Mask(classes, until, int(until.min(initial=NEVER)), since, rules)


NOTHING_YET = 2**62  # a number that no change reaches


def _write(
    classes: NDArray[np.uint8], until: NDArray[np.uint32], snapshot: Snapshot, found: Iterable[Standing]
) -> None:
    for standing in found:
        row = snapshot.places.get(standing.uscc)
        if row is not None:
            classes[row] = bits(standing.classes)
            until[row] = NEVER if standing.until is None else int(min(standing.until.timestamp(), NEVER))


def _keep(place: Any, before: Mask | None, fresh: Mask) -> Mask:
    """Let other pages go on from `fresh`, unless one has already gone on from where it began. Returns it."""
    with _keeping:
        if before is None or _held.get(place) is before:
            _held[place] = fresh
            _held.move_to_end(place)
            while len(_held) > KEPT:
                _held.popitem(last=False)
    return fresh


_loading, _keeping = threading.Lock(), threading.Lock()
_held: OrderedDict[Any, Mask] = OrderedDict()
