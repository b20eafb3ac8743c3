# SPDX-License-Identifier: Apache-2.0
"""The same door for many: a page of a screening (信息筛选), which shows several enterprises at once.

`disclose_many(search, produce)` does, in this order and in one transaction:

    1. an Idempotency-Key that was spent leads to the page it bought, if exactly that may still be given
    2. the institution's standing; then one statement reads which consents changed since this process last looked
       (a page linearises with a revocation there: who revoked before is not in its mask, nor in its total, whatever
       cursor or snapshot it comes from)
    3. `produce`, a pure function, makes the page from the index, of the enterprises that consent and their classes;
       the consents of those on it are read once more, and where one changed meanwhile the page is made anew
    4. one entry names the conditions, the total, and of each enterprise shown a digest with a salt of its own (of a
       file of many pages one entry a page: the first is the file's, the others name it); the salts stand beside it,
       by enterprise, for its access log
    5. it commits; only now the page is returned, or the refusal raised
"""

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, insert

from access import institutions
from audit import trail, watch
from audit.events import Event
from audit.models import shown as shown_on
from bureau.screening import masks, versions
from bureau.screening.columns import Snapshot
from bureau.screening.engine import Classes
from consent.screenable import SCREENING, standings
from kernel import auth, clock, db, ids
from kernel.errors import Gone, NotPermitted, Unavailable
from kernel.idempotency import settle


@dataclass(frozen=True, slots=True)
class Search:
    """Who screens, and by what: the body as it came, and the snapshot that a cursor is bound to."""

    asking: auth.Institution
    actor: str
    client: str | None
    key: str
    operator: str
    body: Mapping[str, Any]
    version: int | None

    def digest(self) -> str:
        return hashlib.sha256(orjson.dumps(self.body, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True, slots=True)
class Page:
    """What a producer makes: the body's bytes, whom it shows, and what the entry says of it."""

    body: bytes
    usccs: tuple[str, ...]
    said: Mapping[str, Any]


Producer = Callable[[str, Snapshot, Classes], Page]
TRIES = 8
AN_ENTRY = 200  # enterprises: their digests, and the conditions, fit an entry of 64 KiB


def disclose_many(search: Search, produce: Producer) -> tuple[str, bytes]:
    """A page and its entry's id; raises NotPermitted, Gone, or Unavailable where the entry could not be written."""
    _prepare(search)

    def attempt() -> tuple[str, bytes] | NotPermitted | Gone:
        with trail.recording() as tx:
            watch.require_kept(tx)
            earlier = trail.find_keyed(tx, search.actor, search.key, search.digest())
            return _decide(tx, search, produce, earlier)

    outcome = settle(attempt)
    if isinstance(outcome, NotPermitted | Gone):
        raise outcome
    return outcome


def _decide(
    tx: Connection, search: Search, produce: Producer, earlier: Mapping[str, Any] | None
) -> tuple[str, bytes] | NotPermitted | Gone:
    said = _asked(search)
    try:
        institutions.require_standing(search.asking, SCREENING, SCREENING)
        version = earlier["detail"]["snapshot"] if earlier else search.version
        snapshot, hidden = versions.current(tx, version)
        page_id = earlier["id"] if earlier else ids.new_id()

        def make(classes: Classes) -> Page:
            return produce(page_id, snapshot, classes)

        page, consented = _proved(tx, search.asking, snapshot, hidden, make)
        digest = hashlib.sha256(page.body).hexdigest()
        if earlier and digest != earlier["answer_digest"]:
            raise Gone("this page can no longer be shown as it was: consents changed since", slug="answer-gone")
    except (NotPermitted, Gone) as refusal:
        entry = trail.Entry(type=Event.SCREENING_REFUSED, outcome="refused", rule=refusal.slug, **said)
        trail.append(tx, entry)
        return refusal
    said |= {"outcome": "answered", "publication": snapshot.publication}
    about = {**page.said, "snapshot": snapshot.version}
    if earlier:
        said |= {"type": Event.SCREENING_REPLAYED, "of": page_id}
        own: dict[str, Any] = {"answer_digest": digest}
    else:
        said |= {"type": Event.SCREENING_ANSWERED}
        own = {"answer_digest": digest, "id": page_id, "idempotency_key": search.key}
    for at in range(0, max(1, len(page.usccs)), AN_ENTRY):
        further = {"of": page_id} if at else own
        _write(tx, page.usccs[at : at + AN_ENTRY], consented, about, {**said, **further})
    return page_id, page.body


def _write(
    tx: Connection,
    usccs: Sequence[str],
    consented: Mapping[str, str | None],
    about: Mapping[str, Any],
    said: Mapping[str, Any],
) -> None:
    """An entry that names some enterprises by salted digests, and the salts beside it."""
    salts = {uscc: secrets.token_bytes(16) for uscc in usccs}
    shown = [trail.salted_digest(salt, uscc) for uscc, salt in salts.items()]
    entry = trail.Entry(**said, detail={**about, "shown": shown})
    trail.append(tx, entry)
    rows = [{"uscc": uscc, "entry": entry.id, "consent": consented[uscc], "salt": salt} for uscc, salt in salts.items()]
    if rows:
        tx.execute(insert(shown_on), rows)


def _prepare(search: Search) -> None:
    """Open the snapshot and read the consents while no other writer waits: a process does so once."""
    try:
        snapshot, _ = versions.await_open(search.version)
    except Gone:
        return  # which is to be on the trail
    with db.reading() as reading:
        masks.current(reading, snapshot, search.asking, clock.now())


def _proved(
    tx: Connection,
    asking: auth.Institution,
    snapshot: Snapshot,
    hidden: Sequence[str],
    make: Callable[[Classes], Page],
) -> tuple[Page, dict[str, str | None]]:
    """A page whose every enterprise consents to what it shows, as a second reading found; and by which consents."""
    gone = snapshot.rows_of(hidden)
    for _ in range(TRIES):
        now = clock.now()
        classes = masks.current(tx, snapshot, asking, now).classes
        if len(gone):
            classes = classes.copy()
            classes[gone[gone >= 0]] = 0
        page = make(classes)
        found = {each.uscc: each for each in standings(tx, asking, now, page.usccs)}
        seen = classes[snapshot.rows_of(page.usccs)]
        if all(masks.bits(found[uscc].classes) == bits for uscc, bits in zip(page.usccs, seen, strict=True)):
            return page, {uscc: found[uscc].consent for uscc in page.usccs}
    raise Unavailable("consents change faster than a page can be made: try again", slug="consents-in-motion")


def _asked(search: Search) -> dict[str, Any]:
    return {
        "actor": search.actor,
        "client": search.client,
        "institution": search.asking.id,
        "institution_name": search.asking.name,
        "operator": search.operator,
        "purpose": SCREENING,
        "product": SCREENING,
        "request_digest": search.digest(),
    }
