# SPDX-License-Identifier: Apache-2.0
"""A question's digest tells apart what was asked, and only a client of an institution asks."""

from dataclasses import replace
from typing import Any

import pytest

from consent.question import of_client
from kernel.auth import Institution, Principal
from kernel.errors import NotPermitted
from tests.consent.test_decision import BANK, question

ASKED = {"uscc": "u-1", "purpose": "pre_loan", "product": "records", "operator": "OP-1"}


@pytest.mark.parametrize(
    "changes",
    [
        {"uscc": "u-2"},
        {"purpose": "post_loan"},
        {"product": "screening"},
        {"classes": (1,)},
        {"classes": None},
        {"operator": "OP-2"},
        {"reference": "loan 1"},
    ],
    ids=str,
)
def test_whatever_is_asked_differently_has_another_digest(changes: dict[str, Any]) -> None:
    assert replace(question(), **changes).digest() != question().digest()


def test_who_asks_and_under_which_key_is_no_part_of_what_is_asked() -> None:
    other = Institution("i-2", "n", "insurer", "suspended")
    same = replace(question(), asking=other, actor="client:c-2", client="c-2", key="l", channel="counter")
    assert same.digest() == question().digest()


def test_classes_asked_twice_or_out_of_order_are_the_same_question() -> None:
    first = asked_by(client_of(BANK), classes=[2, 1, 2])
    assert first.classes == (1, 2)
    assert first.digest() == asked_by(client_of(BANK), classes=[1, 2]).digest()
    assert asked_by(client_of(BANK)).classes is None


def test_a_question_carries_its_caller_and_key() -> None:
    asked = asked_by(client_of(BANK), reference="loan 1")
    assert (asked.asking, asked.actor, asked.client, asked.key) == (BANK, "client:c-1", "c-1", "k")
    assert (asked.reference, asked.channel) == ("loan 1", "api")


@pytest.mark.parametrize(
    "principal",
    [
        Principal("client:s-1", frozenset({"credit:query"}), client="s-1", source="S01"),
        Principal("person:p-1", frozenset({"credit:query"}), person="p-1", role="enterprise", uscc="u-1"),
    ],
    ids=["source", "person"],
)
def test_nobody_but_an_institution_asks_whatever_its_scopes(principal: Principal) -> None:
    with pytest.raises(NotPermitted) as refused:
        asked_by(principal)
    assert refused.value.slug == "not-an-institution"


def client_of(institution: Institution) -> Principal:
    return Principal("client:c-1", frozenset({"credit:query"}), client="c-1", institution=institution)


def asked_by(principal: Principal, **changes: Any) -> Any:
    return of_client(principal, {**ASKED, **changes}, "k")
