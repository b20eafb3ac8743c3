# SPDX-License-Identifier: Apache-2.0
"""What is done at the bureau's own counter: acts of the command line, each an entry with channel `counter`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from access import clients, institutions, sources
from app.config import Settings
from audit import statements, trail, verification, witnessing
from audit.verification import Fault
from bureau import answers, catalogue, directory, holdings
from bureau.disclosure import Answer, disclose
from consent import consents, counters, grants, store, suspension
from consent import verification as consent_verification
from consent.acts import Act
from consent.question import Question
from consent.terms import Grant
from kernel import clock, db
from kernel.errors import Invalid, SettingError
from kernel.idempotency import settle

CONSENTS_AT_ONCE = 5_000
COUNTER = Act("counter", channel="counter")
CHANGES: dict[str, Callable[[Connection, str, Act, str | None], Any]] = {
    "revoke": consents.revoke,
    "pause": consents.pause,
    "resume": consents.resume,
    "suspend": partial(suspension.at_the_counter, "suspend"),
    "reinstate": partial(suspension.at_the_counter, "reinstate"),
}


def refuse_overwrite(settings: Settings) -> SettingError:
    return SettingError(f"there is a bureau already in {settings.home} or its database: nothing was changed")


def add_client(party: str, asked: Mapping[str, Any]) -> tuple[str, str | None]:
    """Register a client of an institution (its id) or a source (its catalogue code). Returns id and secret.

    `asked` as `clients.add_as_asked` takes it.
    """
    with trail.recording() as tx:
        return clients.add_as_asked(tx, party, asked, is_source=party in catalogue.current().sources)


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


def change(act: str, consent_id: str, reason: str | None) -> None:
    """Write down what an enterprise, or the bureau, did to a consent: one of CHANGES. Raises NotFound, Conflict."""
    with trail.recording() as tx:
        CHANGES[act](tx, consent_id, COUNTER, reason)


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


def verify(reading: Connection, published: Path | None = None) -> verification.Report:
    """The check of the trail (and of the log as `published`), cosignatures, consents, statements and the vault."""
    report = verification.verify(reading, published)
    others = witnessing, consent_verification, counters, statements, holdings
    found = tuple(chain.from_iterable(_faults(each, reading) for each in others))
    return replace(report, ok=report.ok and not found, faults=report.faults + found)


def _faults(check: Any, reading: Connection) -> Iterator[Fault]:
    """What a check finds; where what was forged is of no shape that it knows, it ends there and says so."""
    try:
        yield from check.faults(reading)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        told = f"ended early ({type(error).__name__}): an entry or a row is of no shape that was ever written"
        yield Fault(check.__name__, told, "check")


def all_consents(reading: Connection, uscc: str | None) -> Iterator[dict[str, Any]]:
    """Every consent, or every one of an enterprise, newest first, a page at a time."""
    before: str | None = None
    now = clock.now()
    while page := store.listed(reading, now, uscc=uscc, before=before, limit=CONSENTS_AT_ONCE):
        yield from page
        before = page[-1]["consent_id"]


def consent_line(shown: dict[str, Any]) -> dict[str, Any]:
    """A consent as `bureau consent list` prints it."""
    names = ("consent_id", "uscc", "scope", "grantee", "classes", "purposes", "products", "status", "expires_at")
    return {name: shown[name] for name in names}
