# SPDX-License-Identifier: Apache-2.0
"""The command `bureau`: the bureau's own counter. Importing the modules below is what registers their commands."""

from app.cli import (
    consents,
    coverage,
    feeds,
    findings,
    log,
    log_keys,
    parties,
    people,
    records,
    rejects,
    rewards,
    service,
    sources,
    switches,
    trail,
    webhooks,
    witness,
)
from app.commands import main

__all__ = [
    "consents",
    "coverage",
    "feeds",
    "findings",
    "log",
    "log_keys",
    "main",
    "parties",
    "people",
    "records",
    "rejects",
    "rewards",
    "service",
    "sources",
    "switches",
    "trail",
    "webhooks",
    "witness",
]
