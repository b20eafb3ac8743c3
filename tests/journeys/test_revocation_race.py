# SPDX-License-Identifier: Apache-2.0
"""Sixteen bank threads keep asking, two workers keep answering, and the enterprise revokes in the middle."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from sqlalchemy import select

from audit.models import entry
from kernel import db
from tests.journeys.cast import Cast, ask, read_access_log, revoke, sign_in, token
from tests.journeys.service import Service

THREADS = 16
BEFORE_S, AFTER_S = 0.7, 0.7


class Asked(NamedTuple):
    """One question: when it was sent, by which reference it can be found, what came back."""

    sent_at: float
    reference: str
    status: int
    rule: str


def test_whoever_asks_after_the_revocation_was_acknowledged_is_refused(served: Service, cast: Cast) -> None:
    bearer, session = token(served, cast.bank), sign_in(served, cast.enterprise)
    enough = threading.Event()

    def keep_asking(thread: int) -> list[Asked]:
        asked = []
        while not enough.is_set():
            reference, sent_at = f"thread-{thread}-question-{len(asked)}", time.monotonic()
            reply = ask(served, bearer, cast.enterprise.uscc, reference, reference=reference)
            asked.append(Asked(sent_at, reference, reply.status, reply.problem if reply.status != 200 else ""))
        return asked

    with ThreadPoolExecutor(THREADS) as threads:
        running = [threads.submit(keep_asking, number) for number in range(THREADS)]
        time.sleep(BEFORE_S)
        revoked = revoke(served, session, cast.consent)
        acknowledged_at = time.monotonic()
        time.sleep(AFTER_S)
        enough.set()
        asked = [one for each in running for one in each.result()]

    assert revoked.status == 200
    before = [one for one in asked if one.sent_at < acknowledged_at]
    after = [one for one in asked if one.sent_at >= acknowledged_at]
    assert {(one.status, one.rule) for one in after} == {(403, "no-consent")}
    assert {(one.status, one.rule) for one in before} <= {(200, ""), (403, "no-consent")}
    assert len([one for one in before if one.status == 200]) >= THREADS, "the threads were too late to race"
    assert len(after) >= THREADS

    # Each of them is on the trail, once, with what came of it.
    with db.reading() as reading:
        rows = reading.execute(select(entry.c.reference, entry.c.outcome).where(entry.c.reference.is_not(None))).all()
    outcomes = {200: "answered", 403: "refused"}
    assert sorted((row.reference, row.outcome) for row in rows) == sorted(
        (one.reference, outcomes[one.status]) for one in asked
    )

    # And the enterprise sees all of them.
    log = read_access_log(served, session, cast.enterprise.uscc)
    assert sorted(line["outcome"] for line in log) == sorted(outcomes[one.status] for one in asked)
