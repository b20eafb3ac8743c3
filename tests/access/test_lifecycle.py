# SPDX-License-Identifier: Apache-2.0
"""The life of a registration, every state and every act, and what the end of a contract means."""

from datetime import date

import pytest

from access import lifecycle
from access.lifecycle import ACTS, COUNTER, STATUSES, Act
from kernel.errors import Conflict, Invalid

ALLOWED = {
    ("applied", "approve"): "approved",
    ("applied", "close"): "closed",
    ("approved", "suspend"): "suspended",
    ("approved", "close"): "closed",
    ("suspended", "resume"): "approved",
    ("suspended", "close"): "closed",
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("status", STATUSES)
def test_each_act_in_each_state_leads_where_it_should_or_nowhere(status: str, act: str) -> None:
    if (status, act) in ALLOWED:
        assert lifecycle.after(status, act) == ALLOWED[status, act]
    else:
        with pytest.raises(Conflict, match=status) as refused:
            lifecycle.after(status, act)
        assert refused.value.slug == "not-in-this-state"


def test_nothing_leads_out_of_closed_and_every_other_state_can_be_closed() -> None:
    assert {status for status, _ in lifecycle.AFTER} == {*STATUSES} - {"closed"}
    assert {status for status, act in lifecycle.AFTER if act == "close"} == {*STATUSES} - {"closed"}


def test_whoever_applied_does_not_approve_but_the_counter_may() -> None:
    with pytest.raises(Conflict) as refused:
        lifecycle.require_second_person("approve", "person:a", Act("person:a"))
    assert refused.value.slug == "second-person-needed"
    lifecycle.require_second_person("approve", "person:a", Act("person:b"))
    lifecycle.require_second_person("approve", "counter", COUNTER)
    lifecycle.require_second_person("suspend", "person:a", Act("person:a"))


@pytest.mark.parametrize("reason", [None, "", "  "])
@pytest.mark.parametrize("act", ACTS)
def test_who_suspends_or_closes_says_why(act: str, reason: str | None) -> None:
    lifecycle.require_reason(act, "because")
    if act in ("suspend", "close"):
        with pytest.raises(Invalid):
            lifecycle.require_reason(act, reason)
    else:
        lifecycle.require_reason(act, reason)


@pytest.mark.parametrize(
    ("status", "until", "counts"),
    [
        ("approved", None, "approved"),
        ("approved", date(2026, 5, 1), "approved"),  # its last day counts
        ("approved", date(2026, 4, 30), "contract-expired"),
        ("suspended", date(2026, 4, 30), "suspended"),
        ("applied", None, "applied"),
        ("closed", date(2026, 5, 2), "closed"),
    ],
)
def test_a_contract_that_ended_is_no_approval(status: str, until: date | None, counts: str) -> None:
    assert lifecycle.standing_of(status, until, date(2026, 5, 1)) == counts
