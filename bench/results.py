# SPDX-License-Identifier: Apache-2.0
"""A line of the table: what was measured, against what, and what it should be."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """`least` or `most` that a ratio (or a plain figure) should be; design section 10."""

    least: float | None = None
    most: float | None = None

    def is_met(self, ratio: float) -> bool:
        return (self.least is None or ratio >= self.least) and (self.most is None or ratio <= self.most)

    def __str__(self) -> str:
        return f"≥ {self.least:g}" if self.least is not None else f"≤ {self.most:g}"


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table. `ratio` is a plain figure where there is no peer; `note` is for people."""

    measure: str
    ours: str
    peer: str
    ratio: float
    goal: Goal
    note: str = ""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long and how often each side is measured."""

    seconds: float
    rounds: int
