# SPDX-License-Identifier: Apache-2.0
"""The policy: read strictly, and the stricter of consent and policy wins at the grant and at the question."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from consent import policy
from consent.decision import decide
from consent.question import PURPOSES
from consent.terms import Frequency, Grant
from kernel.errors import Invalid, NotPermitted, SettingError
from tests.consent.test_decision import INSTANT, NOW, consent, question

STRICT = "\n".join(
    ['version = "t"', "request_life_days = 7"]
    + [
        f'[purposes.{purpose}]\nlongest_validity_days = 30\nproducts = ["records"]\nclasses = [1, 2]\n'
        "widest_history_months = 12\nhighest_frequency = { count = 5, per = 'day' }"
        for purpose in PURPOSES
    ]
)


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[policy.Policy]:
    """A policy with every limit."""
    file = tmp_path / "policy.toml"
    file.write_text(STRICT)
    policy.use(file)
    yield policy.current()
    policy.use(policy.SHIPPED)


def test_the_shipped_policy_keeps_what_the_design_promises() -> None:
    rules = policy.load(policy.SHIPPED).purposes
    assert set(rules) == set(PURPOSES)
    assert rules["pre_loan"].longest_validity >= timedelta(days=365)
    assert rules["pre_loan"].highest_frequency is None
    assert 3 not in rules["trade_credit"].classes


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (("[purposes.pre_loan]", "[purposes.no_such]"), "no_such"),
        (("longest_validity_days = 30", "longest_validity_days = 0"), "longest_validity_days"),
        (("longest_validity_days = 30", "longest_validity_day = 30"), "longest_validity_day"),
        (("longest_validity_days = 30", ""), "longest_validity_days"),
        (('products = ["records"]', 'products = ["gossip"]'), "products"),
        (("classes = [1, 2]", "classes = [8]"), "classes"),
        (("classes = [1, 2]", "classes = []"), "classes"),
        (("per = 'day'", "per = 'hour'"), "highest_frequency.per"),
        (("count = 5", "count = true"), "count"),
        (("request_life_days = 7", ""), "request_life_days"),
        (("version", "= ="), "policy.toml"),
    ],
)
def test_a_policy_that_is_wrong_is_refused_and_says_where(tmp_path: Path, wrong: tuple[str, str], named: str) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(STRICT.replace(*wrong, 1))
    with pytest.raises(SettingError) as refused:
        policy.load(file)
    assert named in refused.value.detail
    assert "policy.toml" in refused.value.detail


def test_a_policy_that_is_missing_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"nowhere\.toml"):
        policy.use(tmp_path / "nowhere.toml")
    assert policy.current().version == policy.load(policy.SHIPPED).version


def grant(**changes: Any) -> Grant:
    terms: dict[str, Any] = {"uscc": "u", "scope": "query", "grantee": "platform", "classes": (1,)}
    terms |= {"products": ("records",), "purposes": ("pre_loan",)}
    return Grant(**(terms | changes))


@pytest.mark.parametrize(
    ("beyond", "rule", "limit"),
    [
        ({"expires_at": NOW + timedelta(days=30) + INSTANT}, "pre_loan.longest_validity_days", 30),
        ({"history_months": 13}, "pre_loan.widest_history_months", 12),
        ({"frequency": Frequency(6, "day")}, "pre_loan.highest_frequency", "5 a day"),
        ({"products": ("screening",)}, "pre_loan.products", "records"),
        ({"classes": (3, 4)}, "pre_loan.classes", "1, 2"),
    ],
)
def test_a_grant_beyond_the_policy_is_refused_by_rule_and_limit(
    strict: policy.Policy, beyond: dict[str, Any], rule: str, limit: Any
) -> None:
    with pytest.raises(Invalid) as refused:
        policy.require_grantable(grant(**beyond), NOW)
    assert (refused.value.slug, refused.value.extra["rule"], refused.value.extra["limit"]) == (
        "beyond-policy", rule, limit
    )  # fmt: skip
    assert str(limit) in refused.value.detail


@pytest.mark.parametrize(
    "within",
    [
        {"expires_at": NOW + timedelta(days=30)},
        {"expires_at": None},
        {"history_months": 12},
        {"frequency": Frequency(5, "day")},
        {"frequency": Frequency(100, "year")},
        {"classes": (1, 7)},
        {"scope": "collect", "classes": (3,), "products": ("screening",)},
    ],
)
def test_a_grant_within_the_policy_passes(strict: policy.Policy, within: dict[str, Any]) -> None:
    policy.require_grantable(grant(**within), NOW)


@pytest.mark.parametrize(
    ("held", "asked", "refused"),
    [
        ({"not_before": NOW - timedelta(days=30)}, {}, ("consent-expired", "pre_loan.longest_validity_days", 30)),
        ({}, {"product": "screening"}, ("product-not-covered", "pre_loan.products", "records")),
        ({}, {"classes": (2, 3)}, ("class-not-covered", "pre_loan.classes", "1, 2")),
        ({"classes": (3, 4)}, {"classes": None}, ("class-not-covered", "pre_loan.classes", "1, 2")),
    ],
)
def test_the_policy_bites_at_the_question_and_names_rule_and_limit(
    strict: policy.Policy, held: dict[str, Any], asked: dict[str, Any], refused: tuple[Any, ...]
) -> None:
    with pytest.raises(NotPermitted) as error:
        decide([consent(**held)], question(**asked), NOW, strict)
    assert (error.value.slug, error.value.extra["rule"], error.value.extra["limit"]) == refused


def test_of_consent_and_policy_the_stricter_wins(strict: policy.Policy) -> None:
    wide = decide([consent()], question(classes=None), NOW, strict)
    assert wide.classes == (1, 2)
    assert wide.since is not None
    assert wide.since.isoformat() == "2025-11-23"
    assert [(limit.period, limit.most, limit.rule) for limit in wide.limits] == [
        ("pre_loan:2026-11-23", 5, "pre_loan.highest_frequency")
    ]
    tight = consent(classes=(2, 3), history_months=3, frequency=Frequency(2, "month"), max_queries=9)
    narrow = decide([tight], question(classes=None), NOW, strict)
    assert narrow.classes == (2,)
    assert narrow.since is not None
    assert narrow.since.isoformat() == "2026-08-23"
    assert {(limit.period, limit.most) for limit in narrow.limits} == {
        ("all", 9), ("2026-11", 2), ("pre_loan:2026-11-23", 5)
    }  # fmt: skip


def test_an_instant_before_the_policys_end_it_is_still_answered(strict: policy.Policy) -> None:
    held = consent(not_before=NOW - timedelta(days=30) + INSTANT)
    assert decide([held], question(), NOW, strict).consent is held
