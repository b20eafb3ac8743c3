# SPDX-License-Identifier: Apache-2.0
"""One consent decides: every refusal, every boundary, and that nothing wider steps in for a narrower one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent import policy
from consent.decision import Consent, decide, grantees_of, require_live
from consent.question import CLASSES, PRODUCTS, PURPOSES, Question
from kernel.auth import Institution
from kernel.errors import NotPermitted

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
POLICY = policy.current()
INSTANT = timedelta(microseconds=1)
BANK = Institution("i-1", "演示银行", "bank", "approved")
OWN, KIND, PLATFORM = grantees_of(BANK)


def consent(grantee: str = OWN, **changes: Any) -> Consent:
    """A live consent to everything."""
    given: dict[str, Any] = {
        "id": f"{changes.get('scope', 'query')} to {grantee}",
        "version": 1,
        "uscc": "91320599MA0000000X",
        "scope": "query",
        "grantee": grantee,
        "classes": CLASSES,
        "products": PRODUCTS,
        "purposes": PURPOSES,
        "not_before": NOW - timedelta(days=1),
        "expires_at": None,
        "status": "active",
        "reason": None,
        "granted_at": NOW - timedelta(days=1),
        "changed_at": NOW - timedelta(days=1),
    }
    return Consent(**{**given, **changes})


def collect(**changes: Any) -> Consent:
    return consent(PLATFORM, scope="collect", **changes)


def question(**changes: Any) -> Question:
    asked: dict[str, Any] = {
        "uscc": "91320599MA0000000X",
        "purpose": "pre_loan",
        "product": "records",
        "classes": (1, 2),
        "operator": "OP-1",
        "reference": None,
        "asking": BANK,
        "actor": "client:c-1",
        "client": "c-1",
        "key": "k",
    }
    return Question(**{**asked, **changes})


def decided(*candidates: Consent, **asked: Any) -> str:
    """The id of the consent that decided, or the slug of the rule that refused."""
    try:
        return decide(candidates, question(**asked), NOW, POLICY).consent.id
    except NotPermitted as refusal:
        return refusal.slug


NOT_IN_FORCE = {
    "paused": "consent-paused",
    "suspended": "consent-suspended",
    "consumed": "quota-exhausted",
    **dict.fromkeys(("revoked", "superseded", "requested", "rejected", "lapsed"), "no-consent"),
}


@pytest.mark.parametrize(
    ("candidates", "asked", "rule"),
    [
        ([], {}, "no-consent"),
        ([collect()], {}, "no-consent"),
        ([consent("i-2")], {}, "no-consent"),
        ([consent("kind:insurer")], {}, "no-consent"),
        ([consent(status="revoked")], {}, "no-consent"),
        ([consent(not_before=NOW + INSTANT)], {}, "no-consent"),
        ([consent(expires_at=NOW)], {}, "consent-expired"),
        ([consent(), collect(status="revoked")], {}, "no-consent"),
        ([consent(), collect(expires_at=NOW)], {}, "no-consent"),
        ([consent(purposes=("post_loan", "guarantee"))], {}, "purpose-not-covered"),
        ([consent(products=("screening",))], {}, "product-not-covered"),
        ([consent(classes=(1,))], {}, "class-not-covered"),
        ([consent(classes=(3, 4))], {"classes": (3, 5)}, "class-not-covered"),
    ],
)
def test_a_question_is_refused_by_the_rule_that_it_breaks(
    candidates: list[Consent], asked: dict[str, Any], rule: str
) -> None:
    assert decided(*candidates, **asked) == rule


@pytest.mark.parametrize(
    ("candidates", "asked"),
    [
        ([consent()], {}),
        ([consent(), collect()], {}),
        ([consent(classes=(1, 2))], {}),
        ([consent(classes=(4,))], {"classes": None}),
        ([consent(classes=(2, 7))], {"classes": (7,)}),
        ([consent(purposes=("pre_loan",), products=("records",))], {}),
        ([consent(not_before=NOW)], {}),
        ([consent(expires_at=NOW + INSTANT)], {}),
        ([consent(), collect(not_before=NOW + INSTANT)], {}),
    ],
)
def test_a_question_within_the_consent_is_allowed_by_it(candidates: list[Consent], asked: dict[str, Any]) -> None:
    assert decided(*candidates, **asked) == candidates[0].id


def test_the_most_specific_consent_decides_whatever_order_they_come_in() -> None:
    candidates = [consent(OWN), consent(KIND), consent(PLATFORM), collect()]
    for order in permutations(candidates):
        assert decided(*order) == candidates[0].id
        assert decided(*(each for each in order if each.grantee != OWN)) == candidates[1].id
    assert decided(consent(PLATFORM), collect()) == candidates[2].id


@pytest.mark.parametrize("status", NOT_IN_FORCE)
@pytest.mark.parametrize("narrow", [OWN, KIND])
def test_an_ended_specific_consent_refuses_although_a_wider_one_lives(status: str, narrow: str) -> None:
    assert decided(consent(narrow, status=status), consent(PLATFORM)) == NOT_IN_FORCE[status]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"expires_at": NOW}, "consent-expired"),
        ({"not_before": NOW + INSTANT}, "no-consent"),
        ({"classes": (2,)}, "class-not-covered"),
        ({"purposes": ("post_loan",)}, "purpose-not-covered"),
        ({"products": ("screening",)}, "product-not-covered"),
    ],
)
def test_nothing_falls_through_from_a_specific_consent_to_a_wider_one(changes: dict[str, Any], rule: str) -> None:
    assert decided(consent(OWN, **changes), consent(KIND), consent(PLATFORM)) == rule
    assert decided(consent(KIND, **changes), consent(PLATFORM)) == rule


def test_two_consents_are_never_united() -> None:
    assert decided(consent(OWN, classes=(1,)), consent(PLATFORM, classes=(2,))) == "class-not-covered"
    assert decided(consent(OWN, classes=(1,)), consent(PLATFORM, classes=(2,)), classes=(2,)) == "class-not-covered"


def test_an_ended_wider_consent_does_no_harm_to_a_specific_one() -> None:
    own = consent(OWN)
    assert decided(own, consent(KIND, status="revoked"), consent(PLATFORM, expires_at=NOW)) == own.id


def test_a_consent_to_collect_is_none_to_query() -> None:
    assert decided(consent(OWN, scope="collect"), consent(KIND, scope="collect"), collect()) == "no-consent"


def test_a_revoked_consent_that_would_have_expired_since_stays_revoked() -> None:
    held = consent(status="revoked", expires_at=NOW)
    assert held.status_at(NOW) == "revoked"
    assert decided(held) == "no-consent"


def test_a_consent_ends_at_exactly_its_last_instant() -> None:
    held = consent(expires_at=NOW)
    assert [held.status_at(NOW + step) for step in (-INSTANT, timedelta(), INSTANT)] == [
        "active",
        "expired",
        "expired",
    ]
    require_live(held, NOW - INSTANT)
    with pytest.raises(NotPermitted):
        require_live(held, NOW)


def test_a_refusal_for_classes_names_those_outside() -> None:
    with pytest.raises(NotPermitted, match=r"class 3, 5$"):
        decide([consent(classes=(1, 2))], question(classes=(5, 1, 3)), NOW, POLICY)


slots = st.sampled_from([OWN, KIND, PLATFORM])
some_classes = st.sets(st.sampled_from(CLASSES), min_size=1).map(lambda found: tuple(sorted(found)))


@settings(deadline=None)
@given(st.dictionaries(slots, st.builds(consent, slots, classes=some_classes), max_size=3), some_classes)
def test_whoever_decides_covers_all_that_was_asked_and_is_the_narrowest(
    held: dict[str, Consent], classes: tuple[int, ...]
) -> None:
    candidates = [replace(each, grantee=grantee, id=grantee) for grantee, each in held.items()]
    answer = decided(*candidates, classes=classes)
    narrowest = next((grantee for grantee in (OWN, KIND, PLATFORM) if grantee in held), None)
    if narrowest is None:
        assert answer == "no-consent"
    elif set(classes) <= set(held[narrowest].classes):
        assert answer == narrowest
    else:
        assert answer == "class-not-covered"
