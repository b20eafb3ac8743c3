# SPDX-License-Identifier: Apache-2.0
"""The states of a consent and the acts that lead from one to the next (design section 5). Pure.

    requested → active | rejected | (lapsed)        active ⇄ paused         active | paused → suspended → back
    active | paused | suspended → revoked           active | paused → superseded            active → consumed

`expired` and `lapsed` are what the clock makes of a status; nobody writes them. What ended stays ended.
"""

from dataclasses import replace
from datetime import datetime

from consent.decision import Consent
from kernel.errors import Conflict

BACK = "where it was"
ACTS: dict[tuple[str, str], str] = {
    ("requested", "approve"): "active",
    ("requested", "reject"): "rejected",
    ("active", "pause"): "paused",
    ("paused", "resume"): "active",
    ("active", "suspend"): "suspended",
    ("paused", "suspend"): "suspended",
    ("suspended", "reinstate"): BACK,
    ("active", "revoke"): "revoked",
    ("paused", "revoke"): "revoked",
    ("suspended", "revoke"): "revoked",
    ("active", "supersede"): "superseded",
    ("paused", "supersede"): "superseded",
    ("active", "consume"): "consumed",
}
LIVE = frozenset({"active", "paused", "suspended"})
TERMINAL = frozenset({"rejected", "lapsed", "revoked", "expired", "consumed", "superseded"})


def after(consent: Consent, act: str, now: datetime, reason: str | None = None) -> Consent:
    """The consent's next version; raises Conflict (`consent-ended`, `consent-suspended`, `consent-state`)."""
    status = consent.status_at(now)
    following = ACTS.get((status, act))
    if following is None:
        told = f"the consent is {status}"
        if status in TERMINAL:
            raise Conflict(f"{told} already", slug="consent-ended")
        raise Conflict(
            f"{told}: it cannot {act}", slug=f"consent-{status}" if status == "suspended" else "consent-state"
        )
    suspended_from = consent.status if act == "suspend" else None
    if following == BACK:
        assert consent.suspended_from is not None
        following = consent.suspended_from
    return replace(
        consent,
        version=consent.version + 1,
        status=following,
        reason=reason,
        suspended_from=suspended_from,
        granted_at=now if act == "approve" else consent.granted_at,
        changed_at=now,
    )
