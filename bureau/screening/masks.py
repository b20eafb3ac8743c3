# SPDX-License-Identifier: Apache-2.0
"""Who may be found, as a mask over a snapshot: for each institution the consented classes of every enterprise.

A process reads all consents that name an institution once, and from then on, at each page, only those that changed
or whose time came. A mask is never changed but replaced by a newer one, so that threads need no lock at a page.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from bureau.screening.columns import Snapshot, places
from bureau.screening.versions import KEPT as VERSIONS_KEPT
from consent import policy
from consent.screenable import Standing, changes, standings
from kernel import auth

KEPT = 32  # masks in a process, of 5 bytes an enterprise: those used last
MOST_AT_ONCE = 20_000  # changed enterprises; of more, reading all consents is faster
WRITTEN_AT_ONCE = 10_000
NEVER = 2**32 - 1


@dataclass(frozen=True)
class Mask:
    """Per row of a snapshot: bit n where class n is consented, 0 hides it; and the second from which that may change.

    `since` is the number by which to ask for changes, `due` the earliest second of all.
    """

    snapshot: Snapshot
    classes: NDArray[np.uint8]
    until: NDArray[np.uint32]
    due: int
    since: int
    rules: policy.Policy


def current(tx: Connection, snapshot: Snapshot, asking: auth.Institution, now: datetime) -> Mask:
    """The mask with all that was committed before this call. Reads everything where this process has none yet."""
    place = (asking.id, asking.kind, snapshot.key)
    held = _held.get(place)
    if held is None or held.rules is not policy.current():
        with _loading:  # one thread reads, the others wait for it
            held = _held.get(place)
            if held is None or held.rules is not policy.current():
                held = _keep(place, None, _carried(tx, snapshot, asking, now) or _read_all(tx, snapshot, asking, now))
    fresh = _brought_up(tx, held, asking, now)
    return fresh if fresh is held else _keep(place, held, fresh)


def bits(classes: Iterable[int]) -> int:
    return sum(1 << number for number in classes)


def _brought_up(tx: Connection, held: Mask, asking: auth.Institution, now: datetime) -> Mask:
    since, changed = changes(tx, asking, held.since)
    second = int(now.timestamp())
    overdue = np.flatnonzero(held.until <= second) if held.due <= second else np.zeros(0, np.intp)
    if since < held.since or len(changed) + len(overdue) > MOST_AT_ONCE:
        return _read_all(tx, held.snapshot, asking, now)
    there = held.snapshot.rows_of(changed) >= 0 if changed else ()
    sought = {uscc for uscc, known in zip(changed, there, strict=True) if known}
    sought |= {held.snapshot.uscc(row) for row in overdue.tolist()}
    if not sought:
        return held if since == held.since else replace(held, since=since)
    classes, until = held.classes.copy(), held.until.copy()
    _write(classes, until, held.snapshot, standings(tx, asking, now, sorted(sought)))
    return replace(held, classes=classes, until=until, due=int(until.min()), since=since)


def _carried(tx: Connection, snapshot: Snapshot, asking: auth.Institution, now: datetime) -> Mask | None:
    """The mask over another snapshot, with its rows moved to where they stand in this one; None where there is none.

    Whoever is new in this one is read. It is as old as the other mask: what changed since is still to be read.
    """
    with _keeping:
        others = [held for (own, kind, _), held in _held.items() if (own, kind) == (asking.id, asking.kind)]
    if not others or others[-1].rules is not policy.current():
        return None
    other = others[-1]
    rows = places(other.snapshot.usccs, snapshot.usccs)
    new = np.flatnonzero(rows < 0)
    if len(new) > MOST_AT_ONCE or not len(other.classes):
        return None
    classes, until = other.classes[rows], other.until[rows]
    classes[new], until[new] = 0, NEVER
    _write(classes, until, snapshot, standings(tx, asking, now, [snapshot.uscc(row) for row in new.tolist()]))
    return Mask(snapshot, classes, until, int(until.min(initial=NEVER)), other.since, other.rules)


def _read_all(tx: Connection, snapshot: Snapshot, asking: auth.Institution, now: datetime) -> Mask:
    # The number first: what changes while the consents are read is then read once more.
    since, _ = changes(tx, asking, NOTHING_YET)
    classes, until = np.zeros(len(snapshot), np.uint8), np.full(len(snapshot), NEVER, np.uint32)
    rules = policy.current()
    _write(classes, until, snapshot, standings(tx, asking, now))
    return Mask(snapshot, classes, until, int(until.min(initial=NEVER)), since, rules)


NOTHING_YET = 2**62  # a number that no change reaches


def _write(
    classes: NDArray[np.uint8], until: NDArray[np.uint32], snapshot: Snapshot, found: Iterable[Standing]
) -> None:
    rest = iter(found)
    while some := list(islice(rest, WRITTEN_AT_ONCE)):
        for row, standing in zip(snapshot.rows_of([each.uscc for each in some]), some, strict=True):
            if row >= 0:
                classes[row] = bits(standing.classes)
                until[row] = NEVER if standing.until is None else int(min(standing.until.timestamp(), NEVER))


def _keep(place: Any, before: Mask | None, fresh: Mask) -> Mask:
    """Let other pages go on from `fresh`, unless one has already gone on from where it began. Returns it."""
    with _keeping:
        if before is None or _held.get(place) is before:
            _held[place] = fresh
            _held.move_to_end(place)
            _forget(fresh.snapshot.version)
    return fresh


def _forget(newest: int) -> None:
    """Let go of masks that were not used for long, and of those over versions that are no longer kept."""
    for place in [place for place, held in _held.items() if held.snapshot.version <= newest - VERSIONS_KEPT]:
        del _held[place]
    while len(_held) > KEPT:
        _held.popitem(last=False)


_loading, _keeping = threading.Lock(), threading.Lock()
_held: OrderedDict[Any, Mask] = OrderedDict()
