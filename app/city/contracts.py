# SPDX-License-Identifier: Apache-2.0
"""What each of the demo city's institutions may ask for, and which of them are not (or no longer) approved.

Our own proposal of what a contract of each kind allows; the first bank, whose client everybody tries, may ask for
everything.
"""

from dataclasses import dataclass
from typing import NamedTuple


class Usual(NamedTuple):
    """What all of a kind may ask for, what only every second and every third of them may, and a day's quota."""

    purposes: tuple[str, ...]
    every_second: tuple[str, ...]
    every_third: tuple[str, ...]
    per_day: int


USUAL = {
    "bank": Usual(("pre_loan", "loan_approval", "post_loan"), ("screening",), ("trade_credit",), 50_000),
    "insurer": Usual(("insurance",), ("trade_credit",), ("screening",), 10_000),
    "guarantor": Usual(("guarantee",), ("post_loan",), ("screening",), 5_000),
    "investor": Usual(("equity_investment",), ("screening",), (), 2_000),
    "government": Usual(("administration",), (), (), 2_000),
}
SUSPENDED = ("演示银行57", "演示担保21")
APPLIED = ("演示银行58", "演示担保22", "演示创投05")


@dataclass(frozen=True, slots=True)
class Contract:
    """An institution's contract and status; as `access.institutions.Terms` has it."""

    reference: str
    products: tuple[str, ...]
    purposes: tuple[str, ...]
    per_day: int | None
    status: str


def contract_of(name: str, kind: str, number: int) -> Contract:
    """The contract of the city's institution `number` (from 1 on)."""
    reference = f"演示合同2026-{number:03d}"
    if number == 1:
        return Contract(reference, ("records", "screening"), (), None, "approved")
    usual = USUAL[kind]
    purposes = usual.purposes
    purposes += usual.every_second if number % 2 == 0 else ()
    purposes += usual.every_third if number % 3 == 0 else ()
    products = ("records", "screening") if "screening" in purposes else ("records",)
    status = "suspended" if name in SUSPENDED else "applied" if name in APPLIED else "approved"
    return Contract(reference, products, purposes, usual.per_day, status)
