# SPDX-License-Identifier: Apache-2.0
"""The machine of a consent's states, exhaustively: every state with every act."""

from dataclasses import replace
from datetime import timedelta

import pytest

from consent.transitions import ACTS, LIVE, TERMINAL, after
from kernel.errors import Conflict
from tests.consent.test_decision import INSTANT, NOW, consent

STATES = sorted({"requested", "lapsed", "expired"} | LIVE | TERMINAL)
VERBS = sorted({act for _, act in ACTS})


@pytest.mark.parametrize("act", VERBS)
@pytest.mark.parametrize("status", STATES)
def test_every_act_from_every_state_leads_where_it_must_or_is_refused(status: str, act: str) -> None:
    held = replace(consent(status=status), suspended_from="paused" if status == "suspended" else None)
    if (status, act) in ACTS:
        changed = after(held, act, NOW, "why")
        assert changed.status == ("paused" if status == "suspended" and act == "reinstate" else ACTS[status, act])
        assert (changed.version, changed.reason, changed.changed_at) == (held.version + 1, "why", NOW)
        assert replace(changed, version=1, status=status, reason=None, changed_at=held.changed_at, granted_at=None,
                       suspended_from=None) == replace(held, granted_at=None, suspended_from=None)  # fmt: skip
    else:
        with pytest.raises(Conflict) as refused:
            after(held, act, NOW)
        assert refused.value.slug == (
            "consent-ended" if status in TERMINAL else "consent-suspended" if status == "suspended" else "consent-state"
        )


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_no_act_leads_out_of_a_terminal_state(status: str) -> None:
    assert not [act for state, act in ACTS if state == status]


@pytest.mark.parametrize("status", sorted(LIVE))
def test_the_clock_ends_what_nobody_ended(status: str) -> None:
    held = consent(status=status, expires_at=NOW)
    assert (held.status_at(NOW - INSTANT), held.status_at(NOW)) == (status, "expired")
    for act in VERBS:
        with pytest.raises(Conflict, match="expired"):
            after(held, act, NOW)


def test_a_request_lapses_and_then_cannot_be_approved() -> None:
    asked = consent(status="requested", lapses_at=NOW)
    assert after(asked, "approve", NOW - INSTANT).status == "active"
    with pytest.raises(Conflict, match="lapsed"):
        after(asked, "approve", NOW)


def test_a_request_that_names_an_end_does_not_expire_before_it_is_answered() -> None:
    asked = consent(status="requested", expires_at=NOW - INSTANT, lapses_at=NOW + timedelta(days=1))
    assert asked.status_at(NOW) == "requested"


def test_what_was_suspended_returns_to_where_it_was() -> None:
    for status in ("active", "paused"):
        suspended = after(consent(status=status), "suspend", NOW)
        assert after(suspended, "reinstate", NOW).status == status
