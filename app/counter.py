# SPDX-License-Identifier: Apache-2.0
"""What is done at the bureau's own counter: acts of the command line, each an entry with channel `counter`."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from access import clients, institutions, sources
from app.config import Settings
from audit import trail
from bureau import answers, catalogue, directory
from bureau.disclosure import Answer, disclose
from consent import consents, grants
from consent.consents import Act, Grant
from consent.decision import Consent
from consent.question import Question
from kernel import clock, db
from kernel.errors import Invalid, SettingError
from kernel.idempotency import settle

CONSENTS_AT_ONCE = 5_000
COUNTER = Act("counter", channel="counter")


def refuse_overwrite(settings: Settings) -> SettingError:
    return SettingError(f"there is a bureau already in {settings.home} or its database: nothing was changed")


def add_client(party: str, scopes: tuple[str, ...], per_second: int | None = None) -> tuple[str, str]:
    """Register a client of an institution (its id) or a source (its catalogue code). Returns id and secret."""
    with trail.recording() as tx:
        is_source = party in catalogue.current().sources
        return clients.add(tx, party, scopes, is_source=is_source, per_second=per_second)


def require_source(code: str) -> None:
    """Raise Invalid unless the catalogue knows the source."""
    if code not in catalogue.current().sources:
        raise Invalid(f"the catalogue has no source {code}: `bureau source list` shows them")


def source_lines() -> list[dict[str, Any]]:
    """Every source of the catalogue as `{"source", "name", "status"}`; `unregistered` ones may deliver."""
    with db.reading() as reading:
        registered = sources.registered(reading)
    known = catalogue.current().sources.values()
    statuses = {one.code: registered.get(one.code, {}).get("status", "unregistered") for one in known}
    return [{"source": one.code, "name": one.name_zh, "status": statuses[one.code]} for one in known]


def grant(given: Grant) -> str:
    """Write down a consent given on paper. Returns its id; raises Invalid for what is no code of an enterprise."""
    with db.reading() as reading:
        directory.require_plausible(reading, given.uscc)
    grants.require_ahead(given, clock.now())

    def attempt() -> str:
        with trail.recording() as tx:
            return consents.grant(tx, given, COUNTER).id

    return settle(attempt)


def revoke(consent_id: str, reason: str | None) -> None:
    """Write down the end of a consent."""
    with trail.recording() as tx:
        consents.revoke(tx, consent_id, COUNTER, reason)


def ask(
    institution: str, uscc: str, purpose: str, classes: tuple[int, ...] | None, operator: str, reference: str | None
) -> Answer:
    """Ask on behalf of an institution, through the one door."""
    with db.reading() as reading:
        asking = institutions.get(reading, institution)
    question = Question(
        uscc=uscc,
        purpose=purpose,
        product="records",
        classes=classes,
        operator=operator,
        reference=reference,
        asking=asking,
        actor="counter",
        client=None,
        key=None,
        channel="counter",
    )
    return disclose(question, answers.records)


def all_consents(reading: Connection, uscc: str | None) -> Iterator[Consent]:
    """Every consent, or every one of an enterprise, newest first, a page at a time."""
    before: str | None = None
    while page := consents.listed(reading, uscc=uscc, before=before, limit=CONSENTS_AT_ONCE):
        yield from page
        before = page[-1].id


def consent_line(consent: Consent) -> dict[str, Any]:
    """A consent as `bureau consent list` prints it."""
    shown = consents.document(consent, clock.now())
    names = ("consent_id", "uscc", "scope", "grantee", "classes", "purposes", "products", "status", "expires_at")
    return {name: shown[name] for name in names}
