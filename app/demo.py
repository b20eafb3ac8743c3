# SPDX-License-Identifier: Apache-2.0
"""The demo city: firms, institutions, people, consents and a year of deliveries, all through the real doors.

Every name is marked 演示 and every code carries the unassigned division 320599, so that no real company is meant.
"""

import json
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import select

from access import clients, institutions, people, sources
from access.institutions import Terms
from access.lifecycle import COUNTER
from access.models import institution as institution_table
from app import city, departments
from app.city import Firm
from app.config import Settings
from audit import trail
from bureau import catalogue, compaction, coverage
from bureau.screening import index
from consent import consents
from consent.acts import Act
from consent.question import CLASSES, PRODUCTS, PURPOSES
from consent.terms import Grant
from kernel import clock, db
from kernel.errors import SettingError

ENTERPRISES = 1_000
SCREENED = 400  # firms that let the demo bank find them
GRANTS_AT_ONCE = 500
BANK_SCOPES = ("credit:query", "screening:search", "consent:request", "consent:read")


def is_empty() -> bool:
    """Whether no institution is registered yet: only then may the demo city move in."""
    with db.reading() as reading:
        return reading.scalar(select(institution_table.c.id).limit(1)) is None


def require_whole(settings: Settings) -> None:
    """Raise SettingError where the demo city was interrupted while it moved in."""
    if settings.demo_mark.exists():
        raise SettingError(
            f"the demo city was interrupted while it moved in: remove {settings.home} (and its database) and run again"
        )


def fill(
    settings: Settings, enterprises: int, files: Path | None = None, tell: Callable[[int], None] = lambda rows: None
) -> dict[str, Any]:
    """Fill an empty bureau; returns the credentials, which are also kept in BUREAU_HOME/demo.json (0600).

    The departments' feeds are laid into BUREAU_HOME/feeds, their files taken in, and kept in `files` where it is given.
    Raises SettingError where the bureau is not empty.
    """
    if not is_empty():
        raise SettingError("the demo city moves into an empty bureau only: choose another BUREAU_HOME")
    require_whole(settings)
    settings.demo_mark.touch()
    firms = list(city.firms(enterprises))
    bank = _institutions()
    _sources()
    collecting = [firm for place, firm in enumerate(firms) if not _withholds(place)]
    _consents([Grant(firm.uscc, "collect", "platform", CLASSES, PRODUCTS, PURPOSES) for firm in collecting])
    _trigger_sets(firms)
    departments.lay(settings.feeds_folder)
    departments.deliver(enterprises, files, settings.home, tell)
    _consents([Grant(firm.uscc, "query", bank, CLASSES, PRODUCTS, ("screening",)) for firm in firms[1 : SCREENED + 1]])
    (consent_id,) = _consents([Grant(firms[0].uscc, "query", bank, CLASSES, ("records",), ("pre_loan",))])
    compaction.sweep()
    index.build()
    credentials = {"base_url": settings.public_url, **_people(bank, firms[0]), "consent_id": consent_id}
    descriptor = os.open(settings.demo_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(credentials, file, ensure_ascii=False, indent=1)
    settings.demo_mark.unlink()
    return credentials


def _withholds(place: int) -> bool:
    """Every twelfth firm has not authorised collection yet, but for those that let the demo bank find them."""
    return place > SCREENED and place % 12 == 0


def _trigger_sets(firms: Sequence[Firm]) -> None:
    """Young firms have opened an account lately, a fifth of all enjoys a policy; borrowers lenders tell of."""
    youngest = clock.legal_day(clock.now()) - timedelta(days=730)
    young = [(number, firm.uscc, firm.founded) for number, firm in enumerate(firms) if firm.founded > youngest]
    helped = [(number, firm.uscc, None) for number, firm in enumerate(firms[::5])]
    with trail.recording() as tx:
        coverage.enrol(tx, "new_accounts", young, "演示银行开户名单", "counter", "counter")
        coverage.enrol(tx, "policy_support", helped, "演示政策文件", "counter", "counter")


def _institutions() -> str:
    """All institutions of the demo with what each may ask for; returns the id of the first, a bank."""
    registered = []
    with db.transaction() as tx:
        for number, (name, kind) in enumerate(city.demo_institutions(), 1):
            contract = city.contract_of(name, kind, number)
            terms = Terms(
                contract_ref=contract.reference,
                products=contract.products,
                purposes=contract.purposes,
                per_day=contract.per_day,
            )
            if contract.status == "applied":
                registered.append(institutions.apply_for(tx, name, kind, terms, COUNTER))
                continue
            registered.append(institutions.add(tx, name, kind, terms))
            if contract.status == "suspended":
                institutions.act(tx, registered[-1], "suspend", reason="演示：合同续签中")
    return registered[0]


def _sources() -> None:
    """All sources of the catalogue, each with what it delivers under."""
    with db.transaction() as tx:
        for number, source in enumerate(catalogue.current().sources.values(), 1):
            basis = f"演示：{source.name_zh}与平台的信息共享协议"
            sources.add(tx, source.code, sources.Terms(basis=basis, contract_ref=f"演示协议2026-{number:03d}"))


def _people(bank: str, firm: Firm) -> dict[str, Any]:
    with db.transaction() as tx:
        bank_id, bank_secret = clients.add(tx, bank, BANK_SCOPES)
        source_id, source_secret = clients.add(tx, "S01", clients.SOURCE_SCOPES, is_source=True)
        signatory, password = people.add(tx, "enterprise", firm.uscc, "demo-enterprise")
        officer, officer_password = people.add(tx, "compliance", None, "demo-compliance")
    return {
        "bank": {"institution": bank, "client_id": bank_id, "client_secret": bank_secret},
        "source": {"client_id": source_id, "client_secret": source_secret},
        "enterprise": {"uscc": firm.uscc, "name": firm.name, "username": signatory, "password": password},
        "compliance": {"username": officer, "password": officer_password},
    }


def _consents(given: Sequence[Grant]) -> list[str]:
    """Consents written down at the counter; returns their ids."""
    ids, rest = [], iter(given)
    while some := list(islice(rest, GRANTS_AT_ONCE)):
        with trail.recording() as tx:
            ids += [consents.grant(tx, one, Act("counter", channel="counter")).id for one in some]
    return ids
