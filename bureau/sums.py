# SPDX-License-Identifier: Apache-2.0
"""Sums: what an entry tells of records or overlays, so that the vault can be held against it.

The sum of keyed digests does not depend on how records are packed or in which order, so compaction leaves it as it
is; and it cannot be made up without the key.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from kernel import keys

SUM_BITS = 256
PUBLICATIONS_AN_ENTRY = 400  # of about 80 bytes each: an entry holds at most 64 KiB


@dataclass(slots=True)
class Held:
    """So many of them, and the sum of their keyed digests modulo 2^256."""

    count: int = 0
    total: int = 0

    def add(self, bodies: Iterable[bytes]) -> None:
        """Count these in: the same in whatever order, and not to be guessed without the key."""
        digest = keys.purpose("marks").mac256
        for body in bodies:
            self.put_in(1, digest(body))

    def put_in(self, count: int, total: int) -> None:
        self.count += count
        self.total = (self.total + total) % 2**SUM_BITS

    def take_out(self, count: int, total: int) -> None:
        self.put_in(-count, -total)

    @property
    def hex(self) -> str:
        return f"{self.total:064x}"

    @property
    def told(self) -> tuple[int, str]:
        """As an entry says it."""
        return self.count, self.hex


Told = tuple[int, str] | int


def chunks(**sums: Mapping[int, Held] | Mapping[int, int]) -> Iterator[dict[str, dict[str, Told]]]:
    """What was taken away of each kind, by publication (or batch), as entries say it: at least one, none too large."""
    by_kind: Mapping[str, Mapping[int, Held | int]] = {**sums}
    every = iter([(kind, number, held) for kind, of in by_kind.items() for number, held in sorted(of.items())])
    while True:
        some = list(islice(every, PUBLICATIONS_AN_ENTRY))
        told: dict[str, dict[str, Told]] = {kind: {} for kind in sums}
        for kind, number, held in some:
            told[kind][str(number)] = held.told if isinstance(held, Held) else held
        yield told
        if len(some) < PUBLICATIONS_AN_ENTRY:
            return
