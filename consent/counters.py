# SPDX-License-Identifier: Apache-2.0
"""How often a consent was used: answered questions, per consent and institution, in calendar periods.

Touched only where a limit is set. A use is counted by one statement that refuses at the limit, in the transaction
that writes the answer's entry: so counters cannot be raced, and a question that fails counts nothing.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from consent.decision import Limit
from consent.models import consent_use
from kernel.errors import NotPermitted

_INSERT: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


def require_left(tx: Connection, consent: str, institution: str, limits: Sequence[Limit]) -> None:
    """Raise NotPermitted (`quota-exhausted`) where a limit is reached already: spares opening the dossier."""
    used = _used(tx, consent, institution)
    for limit in limits:
        if used.get(limit.period, 0) >= limit.most:
            raise exhausted(limit)


def take(tx: Connection, consent: str, institution: str, limits: Sequence[Limit]) -> dict[str, int]:
    """Count one use against every limit, or none: raises NotPermitted (`quota-exhausted`).

    Returns how often each period was used now. The caller commits; until then others wait here for their turn.
    """
    used = {}
    with tx.begin_nested():
        for limit in sorted(limits, key=lambda each: each.period):  # in one order, so that no two wait for each other
            counted = (
                _INSERT[tx.dialect.name](consent_use)
                .values(consent=consent, institution=institution, period=limit.period, used=1)
                .on_conflict_do_update(
                    index_elements=[consent_use.c.consent, consent_use.c.institution, consent_use.c.period],
                    set_={"used": consent_use.c.used + 1},
                    where=consent_use.c.used < limit.most,
                )
                .returning(consent_use.c.used)
            )
            now_used = tx.scalar(counted)
            if now_used is None:
                raise exhausted(limit)
            used[limit.period] = now_used
    return used


def exhausted(limit: Limit) -> NotPermitted:
    told = f"the limit of {limit.most} answers ({limit.rule}) is reached for this consent"
    return NotPermitted(told, slug="quota-exhausted", rule=limit.rule, limit=limit.most)


def _used(tx: Connection, consent: str, institution: str) -> dict[str, int]:
    of_both = consent_use.c.consent == consent, consent_use.c.institution == institution
    return {
        row.period: row.used for row in tx.execute(select(consent_use.c.period, consent_use.c.used).where(*of_both))
    }
