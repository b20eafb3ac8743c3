# SPDX-License-Identifier: Apache-2.0
"""The housekeeping process: pulls feeds on schedule and watches them, compacts dossiers, keeps the screening index
and the reconciliation list up with deliveries, freezes reward statements, removes what retention says, and tidies away
what is over: tokens, secrets, counters, what killed processes left in the spool."""

import signal
import threading
from datetime import date, timedelta

import structlog
from sqlalchemy.exc import DBAPIError

from access import authorizations, client_keys, clients, limits, lockout, spent, tokens
from app import config
from audit import statements
from bureau import compaction, reconciliation, removal
from bureau.publications import latest, turn
from bureau.screening import index
from connectors import pulling, spool
from kernel import clock, db, outbox
from kernel.errors import BureauError

REST_S = 30.0
KEEP_TOKENS = timedelta(days=1)

log = structlog.get_logger()


def run() -> None:
    """Work until told to stop."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    swept, day = 0, None
    while not stop.is_set():
        swept = work_once(swept)
        spool.sweep()
        pulling.pull_due(config.secret, stop.is_set)
        freeze_once()
        day = retain_once(day)
        stop.wait(REST_S)


def work_once(swept: int = 0) -> int:
    """One round of everything. Dossiers are looked at where something was published since `swept`.

    Returns the publication that the round began with; what fails is logged and tried again in the next round.
    """
    try:
        with db.transaction() as tx:
            authorizations.tidy(tx)
            tokens.tidy(tx, KEEP_TOKENS)
            lockout.tidy(tx)
            clients.tidy(tx)
            client_keys.tidy(tx)
            spent.tidy(tx)
            limits.tidy(tx)
            outbox.tidy(tx)
        with db.reading() as reading:
            published = latest(reading)
        if published > swept and (merged := compaction.sweep()):
            log.info("compacted", classes=merged)
        if patched := index.patch_in_time():
            log.info("indexed", enterprises=patched)
        if looked_at := reconciliation.catch_up(most=reconciliation.ENTERPRISES_A_ROUND):
            log.info("reconciled", enterprises=looked_at)
    except (BureauError, DBAPIError) as error:
        log.error("housekeeping failed", error=type(error).__name__)
        return swept
    return published


def freeze_once() -> None:
    """Freeze the reward statements that are due; what fails is logged and tried again in the next round."""
    try:
        for year, number in statements.freeze_due(clock.now()):
            log.info("reward statement frozen", year=year, number=number)
    except (BureauError, DBAPIError) as error:
        log.error("reward statement not frozen", error=type(error).__name__)


def retain_once(day: date | None = None) -> date | None:
    """Once on each day, remove what has run its time. Returns the day for which it is done."""
    today = clock.legal_day(clock.now())
    if day == today:
        return day
    try:
        with db.transaction() as tx:
            turn(tx, today)
        if removed := removal.sweep(today):
            log.info("retention", removed=removed)
    except (BureauError, DBAPIError) as error:
        log.error("retention failed", error=type(error).__name__)
        return day
    return today
