# SPDX-License-Identifier: Apache-2.0
"""Which enterprises let an institution find them (信息筛选), read from the consents at each screening.

One statement reads every consent that could decide, and the rule of a question decides on each enterprise: so a
revocation that was acknowledged before holds in every worker and for every cursor. Nothing is cached.
"""

from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, or_, select

from consent import policy
from consent.decision import Consent, decide, grantees_of
from consent.models import consent as consents
from consent.question import Question
from consent.store import consent_of
from kernel import auth
from kernel.errors import NotPermitted

SCREENING = "screening"  # the purpose and the product


class Covered(NamedTuple):
    """What an enterprise lets the institution screen it by."""

    consent: Consent
    classes: tuple[int, ...]


def screenable(tx: Connection, asking: auth.Institution, now: datetime) -> dict[str, Covered]:
    """The enterprises, by USCC, whose deciding consent covers purpose and product `screening` for the institution.

    A consent that limits how often it may be used, or how far back, finds nobody: a page would use it up unasked,
    and indicators are not cut to a history.
    """
    by_uscc: dict[str, list[Consent]] = {}
    queries = (consents.c.scope == "query") & consents.c.grantee.in_(grantees_of(asking))
    collect = (consents.c.scope == "collect") & (consents.c.grantee == "platform")
    for row in tx.execute(select(consents).where(consents.c.deciding, or_(queries, collect))):
        by_uscc.setdefault(row.uscc, []).append(consent_of(row))
    rules, found = policy.current(), {}
    blank = Question("", SCREENING, SCREENING, None, "", None, asking, "", None, None)
    for uscc, candidates in by_uscc.items():
        try:
            permission = decide(candidates, replace(blank, uscc=uscc), now, rules)
        except NotPermitted:
            continue
        if not permission.limits and permission.since is None:
            found[uscc] = Covered(permission.consent, permission.classes)
    return found
