# SPDX-License-Identifier: Apache-2.0
"""The screening index: built whole, patched where something changed, cut where an enterprise is shredded.

A build is begun in one transaction, which fixes its publication, its day and its sheets; each sheet is then computed
and committed by itself, by whichever process takes it; when all are filled, those enterprises of which something
changed meanwhile are computed once more, and a last transaction makes it the current version. So a build that is
killed goes on where it stood, and screening goes on over the version before.

A patch does the same for those of which something changed since the version. Both hold publications back while they
write, for the moment of a commit: so a shredding is either seen by the sheet or finds it.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, delete, func, insert, select, update

from bureau import catalogue, indicators, publications, touching, vault
from bureau.models import data_key, screening_build, screening_sheet, screening_version
from bureau.screening.sheets import Row, Sheet, sheet_of, without
from bureau.screening.versions import KEPT, decrypted, encrypted, heads
from consent.models import consent as consents
from consent.question import CLASSES
from kernel import bulk, clock, db
from kernel.errors import Conflict
from kernel.keys import Altered

ENTERPRISES_A_SHEET = 4_096
READ_AT_ONCE = 500
RESUMED_WITHIN = timedelta(hours=20)  # a build that was begun earlier is begun anew
MOST_PATCHES = 500  # of one build: each opening of a version reads them all
MOST_PATCHED = 20 * ENTERPRISES_A_SHEET  # of more a build computes everybody
PATCHED_EVERY = timedelta(minutes=10)  # so a cursor goes on for ten minutes at least
LATE = timedelta(minutes=1)  # between a consent's time and its commit

Spread = Callable[[int, Sequence[int]], Iterable[int]]
log = structlog.get_logger()


def fill_here(build: int, parts: Sequence[int]) -> Iterator[int]:
    """Fill sheets one after the other, in this process; yields how many enterprises each got."""
    for part in parts:
        yield fill(build, part)


def build(tell: Callable[[int], None] = lambda done: None, spread: Spread = fill_here) -> int:
    """Compute every indicator of every enterprise, or go on with that, and make it the current version.

    `spread` fills sheets, as `fill_here` does. Returns how many enterprises.
    """
    with db.transaction() as tx:
        number = _begun(tx)
        table = screening_sheet.c
        of = select(table.part, table.enterprises).where(table.build == number, table.patch == 0)
        parts = tx.execute(of.order_by(table.part)).all()
    done: int = sum(row.enterprises for row in parts if row.enterprises is not None)
    for count in spread(number, [row.part for row in parts if row.enterprises is None]):
        done += count
        tell(done)
    with db.reading() as reading:
        begun = reading.execute(select(screening_build).where(screening_build.c.id == number)).one_or_none()
    if begun is None:
        raise Conflict("another build was finished meanwhile: that one is current", slug="index-overtaken")
    touched, upto = _touched(begun.publication, begun.begun_at)
    if len(touched) > MOST_PATCHED:  # the next patch is then a build
        touched, upto = [], begun.publication
    _make_current(number, 0, touched, upto)
    return done


def patch_in_time() -> int:
    """`patch`, unless the current version is so new that open cursors would lose theirs too soon."""
    with db.reading() as reading:
        newest = heads(reading)[:1]
    return patch() if newest and newest[0].time <= clock.now() - PATCHED_EVERY else 0


def patch() -> int:
    """Compute anew those enterprises of which something changed since the current version; where they are too many,
    or were patched too often, everybody. Returns how many; 0 also where there is no index yet."""
    with db.reading() as reading:
        newest = heads(reading)[:1]
    if not newest:
        return 0
    (head,) = newest
    touched, upto = _touched(head.publication, head.time)
    if head.patch >= MOST_PATCHES or len(touched) > MOST_PATCHED:
        return build()
    return _make_current(head.build, head.patch, touched, upto) if touched else 0


def fill(build: int, part: int) -> int:
    """Compute and store one sheet of a build. Returns how many enterprises; 0 where there is none to be filled."""
    table = screening_sheet.c
    here = (table.build == build) & (table.patch == 0)
    with db.reading() as reading:
        begun = reading.execute(select(screening_build).where(screening_build.c.id == build)).one_or_none()
        firsts = select(table.part, table.first).where(here, table.part.in_((part, part + 1))).order_by(table.part)
        bounds = [row.first for row in reading.execute(firsts)]
        if begun is None or not bounds:
            return 0
        within = data_key.c.uscc >= bounds[0]
        if len(bounds) > 1:
            within &= data_key.c.uscc < bounds[1]
        usccs = list(reading.scalars(select(data_key.c.uscc).where(within).distinct().order_by(data_key.c.uscc)))
    sheet = _computed(usccs, begun.publication, begun.begun_at)
    with db.transaction() as tx:
        sheet = _less_the_shredded(tx, sheet, begun.publication)
        values = {"enterprises": len(sheet.usccs), "ciphertext": encrypted(sheet, build, 0, part)}
        filled = update(screening_sheet).where(here, table.part == part, table.enterprises.is_(None)).values(**values)
        return len(sheet.usccs) if tx.execute(filled).rowcount else 0


def forget(tx: Connection, uscc: str) -> None:
    """Cut an enterprise that is shredded out of every sheet. The caller publishes that, and commits."""
    publications.hold(tx)
    table = screening_sheet.c
    # It stands in the last sheet of each build that begins before it, and perhaps in any of the patches.
    begins = select(table.build, func.max(table.part)).where(table.patch == 0, table.first <= uscc)
    places = [(number, 0, part) for number, part in tx.execute(begins.group_by(table.build)).all()]
    patches = select(table.build, table.patch, table.part).where(table.patch > 0)
    for place in [*places, *map(tuple, tx.execute(patches).all())]:
        of = (table.build == place[0]) & (table.patch == place[1]) & (table.part == place[2])
        row = tx.execute(select(screening_sheet).where(of)).one()
        if row.ciphertext is None:
            continue
        sheet = decrypted(row)
        if uscc in sheet.usccs:
            cut = without(sheet, {uscc})
            values = {"enterprises": len(cut.usccs), "ciphertext": encrypted(cut, *place)}
            tx.execute(update(screening_sheet).where(of).values(**values))


def _begun(tx: Connection) -> int:
    """The build that was interrupted, where it can be gone on with; else a new one, with its sheets to fill."""
    publications.hold(tx)
    now, rules = clock.now(), _rules()
    newest = tx.scalar(select(func.max(screening_version.c.build))) or 0
    under_way = tx.execute(select(screening_build).where(screening_build.c.id > newest)).one_or_none()
    if under_way is not None:
        if under_way.rules == rules and under_way.begun_at > now - RESUMED_WITHIN:
            return int(under_way.id)
        _drop(tx, screening_build.c.id > newest)
    number = max(newest, under_way.id if under_way is not None else 0) + 1
    made = {"id": number, "publication": publications.latest(tx), "begun_at": now, "rules": rules}
    tx.execute(insert(screening_build).values(**made))
    firsts = [{"build": number, "patch": 0, "part": part, "first": first} for part, first in enumerate(_firsts(tx))]
    tx.execute(insert(screening_sheet), firsts)
    return number


def _firsts(tx: Connection) -> Iterator[str]:
    """Where each sheet begins; the first at the beginning of all codes, whoever comes before whom is there today."""
    yield ""
    after = ""
    while True:
        page = select(data_key.c.uscc).where(data_key.c.uscc >= after).distinct().order_by(data_key.c.uscc)
        last = tx.scalar(page.offset(ENTERPRISES_A_SHEET).limit(1))
        if last is None:
            return
        yield last
        after = last


def _make_current(build: int, patched: int, touched: Sequence[str], upto: int) -> int:
    """Make a build, with those who are touched as of `upto` as its next patch, the current version.

    Returns how many the patch holds. Raises Conflict where another process was faster.
    """
    begun = clock.now()
    number = patched + 1 if touched else patched
    sheets = [_computed(some, upto, begun) for some in _portions(touched, ENTERPRISES_A_SHEET)]
    with db.transaction() as tx:
        publications.hold(tx)
        newest = heads(tx)[:1]
        if newest and (newest[0].build, newest[0].patch) >= (build, number):
            raise Conflict("another process made a newer version meanwhile", slug="index-overtaken")
        for part, computed in enumerate(sheets):
            sheet = _less_the_shredded(tx, computed, upto)
            place = {"build": build, "patch": number, "part": part, "first": touched[part * ENTERPRISES_A_SHEET]}
            held = {"enterprises": len(sheet.usccs), "ciphertext": encrypted(sheet, build, number, part)}
            tx.execute(insert(screening_sheet).values(**place, **held))
        version = newest[0].version + 1 if newest else 1
        made = {"version": version, "build": build, "patch": number, "publication": upto, "time": begun}
        tx.execute(insert(screening_version).values(**made))
        tx.execute(delete(screening_version).where(screening_version.c.version <= version - KEPT))
        _drop(tx, screening_build.c.id < min(head.build for head in heads(tx)))
    return len(touched)


def _drop(tx: Connection, which: Any) -> None:
    doomed = select(screening_build.c.id).where(which)
    tx.execute(delete(screening_sheet).where(screening_sheet.c.build.in_(doomed)))
    tx.execute(delete(screening_build).where(which))


def _less_the_shredded(tx: Connection, sheet: Sheet, publication: int) -> Sheet:
    """The sheet without whoever was shredded while it was computed; nobody is shredded before `tx` commits."""
    publications.hold(tx)
    shredded = set(publications.shredded_since(tx, publication))
    return without(sheet, shredded) if shredded & set(sheet.usccs) else sheet


def _computed(usccs: Sequence[str], publication: int, now: datetime) -> Sheet:
    """The sheet of some enterprises as of a publication; of whom nothing is known then, is gone."""
    rows: list[Row] = []
    supplied: set[str] = set()
    gone, day = [], clock.legal_day(now)
    for some in _portions(usccs, READ_AT_ONCE):
        with db.reading() as reading:
            collecting = _collecting(reading, some, now)
            for uscc in some:
                try:
                    dossier = vault.open_dossier(reading, uscc, CLASSES, publication)
                except Altered as error:
                    log.error("not indexed", enterprise=uscc, problem=error.detail)
                    gone.append(uscc)
                    continue
                if dossier.name is None and not dossier.regions:
                    gone.append(uscc)
                    continue
                facts = indicators.facts_of(dossier, day)
                supplied.update(facts.records)
                rows.append(Row(uscc, dossier.name, uscc in collecting, indicators.compute(facts)))
    return sheet_of(rows, supplied, gone)


def _collecting(reading: Connection, usccs: Sequence[str], now: datetime) -> set[str]:
    """The enterprises that let the bureau collect what needs their consent."""
    deciding = select(consents.c.uscc).where(
        bulk.among(reading, consents.c.uscc, usccs),
        consents.c.deciding,
        consents.c.scope == "collect",
        consents.c.status == "active",
        consents.c.not_before <= now,
        consents.c.expires_at.is_(None) | (consents.c.expires_at > now),
    )
    return set(reading.scalars(deciding))


def _touched(since: int, time: datetime) -> tuple[list[str], int]:
    """Of whom something was published after `since`, and up to which publication; or who changed, after `time`,
    what may be collected."""
    with db.reading() as reading:
        upto = publications.latest(reading)
        statements = [*touching.statements(reading, since, upto), _changed_consents(time - LATE)]
        found = {uscc for each in statements for uscc in reading.scalars(each)}
    return sorted(found), upto


def _changed_consents(time: datetime) -> Any:
    return select(consents.c.uscc).where(consents.c.scope == "collect", consents.c.changed_at > time)


def _portions(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (items[at : at + size] for at in range(0, len(items), size))


def _rules() -> str:
    """A digest of what is computed: a build of another set of indicators is not gone on with."""
    said = [(each.code, each.type, each.rule.formula) for each in indicators.ALL.values()]
    return hashlib.sha256(repr((said, sorted(catalogue.current().items))).encode()).hexdigest()
