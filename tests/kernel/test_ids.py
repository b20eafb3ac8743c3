# SPDX-License-Identifier: Apache-2.0
"""Identifiers: their shape (RFC 9562 §5.7), their order, and that nobody can guess a secret."""

import re
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import RFC_4122, UUID

import pytest

from kernel import ids


def test_an_id_is_a_uuid_of_version_7_in_its_usual_writing() -> None:
    for _ in range(200):
        made = UUID(written := ids.new_id())
        assert (made.version, made.variant, str(made)) == (7, RFC_4122, written)


def test_an_id_begins_with_the_millisecond_in_which_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    made = UUID(ids.new_id()).int >> 80
    assert before <= made <= time.time_ns() // 1_000_000


def test_ids_of_later_milliseconds_sort_later_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(1_795_000_000_000 + step for step in (0, 1, 2, 15, 16, 255, 256, 65_536, 2**32))
    monkeypatch.setattr(ids.time, "time_ns", lambda: next(moments) * 1_000_000)
    made = [ids.new_id() for _ in range(9)]
    assert all(earlier < later for earlier, later in pairwise(made))


def test_ids_of_one_millisecond_differ_in_74_random_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids.time, "time_ns", lambda: 1_795_000_000_000_000_000)
    made = {UUID(ids.new_id()).int for _ in range(2_000)}
    assert len(made) == 2_000
    either = {bit for bit in range(128) if 0 < sum(one >> bit & 1 for one in made) < len(made)}
    assert either == {*range(62), *range(64, 76)}


def test_a_secret_is_256_random_bits_in_url_safe_letters() -> None:
    made = {ids.new_secret() for _ in range(200)}
    assert len(made) == 200
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", secret) for secret in made)


def test_an_instants_first_id_sorts_before_all_that_were_made_then_and_after_all_before() -> None:
    instant = datetime(2026, 3, 2, 1, 2, 3, 456_000, tzinfo=UTC)
    first = ids.first_at(instant)
    assert ids.instant_of(first) == instant
    assert UUID(first).version == 7
    assert ids.first_at(instant - timedelta(milliseconds=1)) < first < ids.first_at(instant + timedelta(milliseconds=1))
    now = datetime.now(UTC)
    assert ids.first_at(now) <= ids.new_id() < ids.first_at(now + timedelta(minutes=1))
