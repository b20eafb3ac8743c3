# SPDX-License-Identifier: Apache-2.0
"""What two sources tell differently of the same firm, on purpose: the reconciliation list has something to show.

One firm in 40 has one such fact, and which it is depends on its key alone. The first three are between the register
of market regulation (S01) and that of the approval bureau (S02), which copied it some time ago (`registers`).
"""

from typing import Literal

from app.city.firms import Firm

Fact = Literal["capital", "representative", "address", "paid-in", "staff"]

FACTS: tuple[Fact, ...] = ("capital", "representative", "address", "paid-in", "staff")


def contradicted(firm: Firm) -> Fact | None:
    """The fact of a firm that two of its sources tell differently:

    capital         raised since; the approval bureau still has the half of it
    representative  changed since; the approval bureau still names the one before
    address         moved since; the approval bureau still has the old one
    paid-in         paid up since, as the tax bureau's balance sheets say; the register still has the half of it
    staff           the annual report counts agency workers too, whom social insurance has with their agency
    """
    return FACTS[firm.key // 40 % len(FACTS)] if firm.key % 40 == 7 else None


def has_copy(firm: Firm) -> bool:
    """Whether the approval bureau has a copy of its registration: one firm in 20, most of them still right."""
    return firm.key % 20 == 7


def reported_staff(firm: Firm, staff: int) -> int:
    """Its people as its annual report counts them: a good two thirds more where sources differ about that."""
    return staff + staff * 2 // 3 + 1 if contradicted(firm) == "staff" else staff
