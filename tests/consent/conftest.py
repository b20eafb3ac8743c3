# SPDX-License-Identifier: Apache-2.0
"""Signatories here prove nothing about passwords: theirs are hashed cheaply."""

import pytest
from argon2 import PasswordHasher

from access import people


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
