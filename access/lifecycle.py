# SPDX-License-Identifier: Apache-2.0
"""The life of an institution's or a source's registration: a pure table of states, and what a contract's end means.

applied ──approve──▶ approved ◀──resume── suspended
   │                    │ ──suspend──▶        │
   └───────close────────┴───────close─────────┴──▶ closed, which is the end
"""

from dataclasses import dataclass
from datetime import date

from kernel import auth
from kernel.errors import Conflict, Invalid

STATUSES = ("applied", "approved", "suspended", "closed")
ACTS = ("approve", "suspend", "resume", "close")
AFTER = {
    ("applied", "approve"): "approved",
    ("approved", "suspend"): "suspended",
    ("suspended", "resume"): "approved",
    ("applied", "close"): "closed",
    ("approved", "close"): "closed",
    ("suspended", "close"): "closed",
}
NEEDS_REASON = ("suspend", "close")


@dataclass(frozen=True, slots=True)
class Act:
    """Who acts on a registration. At the counter no second person is needed (design section 9)."""

    actor: str = "counter"

    @property
    def channel(self) -> str:
        return "counter" if self.actor == "counter" else "api"


COUNTER = Act()


def by_caller() -> Act:
    """An act of the present request's caller."""
    return Act(auth.caller().actor)


def after(status: str, act: str) -> str:
    """The status that an act leads to; raises Conflict where the present one does not allow it."""
    if (status, act) not in AFTER:
        possible = [each for (held, each) in AFTER if held == status]
        what_next = f"possible: {', '.join(possible)}" if possible else "nothing leads out of it"
        raise Conflict(f"it is {status}, so {act} is not possible; {what_next}", slug="not-in-this-state")
    return AFTER[status, act]


def require_second_person(act: str, applied_by: str | None, by: Act) -> None:
    """Raise Conflict where somebody would approve what they applied for themselves."""
    if act == "approve" and by.channel != "counter" and applied_by == by.actor:
        raise Conflict("whoever applied does not approve: ask another administrator", slug="second-person-needed")


def require_reason(act: str, reason: str | None) -> None:
    if act in NEEDS_REASON and not (reason or "").strip():
        raise Invalid("say why", errors={"reason": ["required"]})


def standing_of(status: str, contract_until: date | None, today: date) -> str:
    """The status that counts: an approved party whose contract ended before today is `contract-expired`."""
    expired = status == "approved" and contract_until is not None and contract_until < today
    return "contract-expired" if expired else status
