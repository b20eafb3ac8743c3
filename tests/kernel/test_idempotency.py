# SPDX-License-Identifier: Apache-2.0
"""The Idempotency-Key header, and what is done when a twin was faster."""

import pytest
from flask import Flask
from sqlalchemy.exc import IntegrityError

from kernel import idempotency
from kernel.errors import Conflict, Invalid, Malformed

VISIBLE = "".join(chr(code) for code in range(0x21, 0x7F))


@pytest.mark.parametrize("key", ["k", VISIBLE, "x" * 128])
def test_any_visible_ascii_up_to_128_characters_is_a_key(key: str) -> None:
    with Flask(__name__).test_request_context(headers={"Idempotency-Key": key}):
        assert idempotency.required_key() == key


@pytest.mark.parametrize("key", ["", "x" * 129, "a b", "a\tb", "ключ", "é", "a\x7f"])
def test_a_missing_or_unfit_key_is_a_malformed_request(key: str) -> None:
    with (
        Flask(__name__).test_request_context(environ_overrides={"HTTP_IDEMPOTENCY_KEY": key}),
        pytest.raises(Malformed) as refused,
    ):
        idempotency.required_key()
    assert refused.value.slug == "idempotency-key-required"


def test_a_request_without_the_header_is_told_to_send_it() -> None:
    with Flask(__name__).test_request_context(), pytest.raises(Malformed, match="Idempotency-Key"):
        idempotency.required_key()


def test_a_key_with_the_same_body_passes_and_with_another_is_refused() -> None:
    idempotency.require_same("a" * 64, "a" * 64)
    with pytest.raises(Invalid) as refused:
        idempotency.require_same("a" * 64, "b" * 64)
    assert refused.value.slug == "idempotency-key-reused"


def test_a_twin_that_waits_in_vain_is_told_of_a_conflict() -> None:
    assert isinstance(idempotency.in_flight(), Conflict)


def test_an_attempt_that_met_its_twin_is_made_once_more() -> None:
    attempts = []

    def attempt() -> str:
        attempts.append(1)
        if len(attempts) == 1:
            raise IntegrityError("", {}, Exception("taken"))
        return "what the twin wrote"

    assert idempotency.settle(attempt) == "what the twin wrote"
    assert len(attempts) == 2


def test_an_attempt_that_succeeds_is_not_repeated_and_another_error_is_not_hidden() -> None:
    attempts = []
    idempotency.settle(lambda: attempts.append(1))
    assert len(attempts) == 1

    def fail() -> None:
        attempts.append(2)
        raise Conflict("no")

    with pytest.raises(Conflict):
        idempotency.settle(fail)
    assert attempts == [1, 2]
