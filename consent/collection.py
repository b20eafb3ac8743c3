# SPDX-License-Identifier: Apache-2.0
"""Which enterprises let the bureau collect about them (采集授权), read from the consents."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, case, select

from consent.models import consent as consents
from kernel import clock

USCCS_AT_ONCE = 2_000


def allowed(tx: Connection, usccs: Iterable[str]) -> dict[str, frozenset[int]]:
    """The classes of which some enterprises allow collection now, by USCC."""
    now, sought = clock.now(), sorted(usccs)
    found: dict[str, frozenset[int]] = {}
    in_force = (
        consents.c.scope == "collect",
        consents.c.deciding,
        consents.c.status == "active",
        consents.c.not_before <= now,
        (consents.c.expires_at.is_(None)) | (consents.c.expires_at > now),
    )
    for start in range(0, len(sought), USCCS_AT_ONCE):
        some = consents.c.uscc.in_(sought[start : start + USCCS_AT_ONCE])
        for uscc, classes in tx.execute(select(consents.c.uscc, consents.c.classes).where(some, *in_force)):
            found[uscc] = frozenset(int(number) for number in classes.split(","))
    return found


def standing(now: datetime) -> Select[Any]:
    """A statement: each enterprise that ever gave a collect consent, whether it is `live` (1 or 0), when granted."""
    in_force = (
        (consents.c.status == "active")
        & (consents.c.not_before <= now)
        & (consents.c.expires_at.is_(None) | (consents.c.expires_at > now))
    )
    columns = consents.c.uscc, consents.c.granted_at, case((in_force, 1), else_=0).label("live")
    return select(*columns).where(consents.c.scope == "collect", consents.c.grantee == "platform", consents.c.deciding)
