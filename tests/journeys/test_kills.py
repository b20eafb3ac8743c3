# SPDX-License-Identifier: Apache-2.0
"""kill -9 in the middle of a burst of questions: no answer that reached a bank lacks its entry."""

import hashlib
import http.client
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
from sqlalchemy import select

from audit.models import entry
from kernel import db
from tests.conftest import House
from tests.journeys import service
from tests.journeys.cast import Cast, ask, read_access_log, sign_in, token
from tests.journeys.service import Service, wait_until

THREADS = 8
BURST_S = 0.8
RECOVERS_WITHIN_S = 15


def test_after_a_kill_of_the_whole_service_every_answer_received_has_its_entry(
    open_house: House, cast: Cast, tmp_path: Path
) -> None:
    log = tmp_path / "service.log"
    with service.served(open_house.environment, log) as running:
        bearer = token(running, cast.bank)
        with ThreadPoolExecutor(THREADS) as threads:
            bursts = [threads.submit(ask_until_cut_off, running, bearer, cast) for _ in range(THREADS)]
            time.sleep(BURST_S)
            service.kill(running)
            bodies = [body for burst in bursts for body in burst.result()]
    assert len(bodies) >= THREADS, "the burst was over before it began"

    with service.served(open_house.environment, log) as running:
        session, bearer = sign_in(running, cast.enterprise), token(running, cast.bank)
        logged = {line["query_id"] for line in read_access_log(running, session, cast.enterprise.uscc)}
        answered = {orjson.loads(body)["query_id"]: body for body in bodies}
        assert len(answered) == len(bodies)
        assert answered.keys() <= logged
        digests = {query_id: hashlib.sha256(body).hexdigest() for query_id, body in answered.items()}
        assert digests.items() <= digests_on_the_trail().items()
        query_id, body = answered.popitem()
        again = running.call("GET", f"/v1/credit-queries/{query_id}", Authorization=f"Bearer {bearer}")
        assert (again.status, again.body) == (200, body)
    verified = service.run(open_house.environment, "verify", "--json")
    assert verified.returncode == 0
    assert orjson.loads(verified.stdout)["ok"] is True


def test_after_a_kill_of_one_worker_the_service_recovers_by_itself(served: Service, cast: Cast) -> None:
    bearer, workers = token(served, cast.bank), served.listeners()
    assert len(workers) == 2
    enough = threading.Event()

    def keep_asking(_thread: int) -> list[int]:
        """The statuses of one thread's questions, 0 where the connection broke."""
        statuses = []
        while not enough.is_set():
            try:
                statuses.append(ask(served, bearer, cast.enterprise.uscc).status)
            except (OSError, http.client.HTTPException):
                statuses.append(0)
        return statuses

    with ThreadPoolExecutor(THREADS) as threads:
        running = [threads.submit(keep_asking, number) for number in range(THREADS)]
        time.sleep(0.3)
        os.kill(workers[0], signal.SIGKILL)
        recovered = wait_until(
            lambda: len(served.listeners()) == 2 and workers[0] not in served.listeners(), RECOVERS_WITHIN_S
        )
        enough.set()
        statuses = [status for each in running for status in each.result()]

    assert recovered
    assert workers[1] in served.listeners()
    assert set(statuses) <= {200, 0}
    assert [ask(served, bearer, cast.enterprise.uscc).status for _ in range(40)] == [200] * 40


def digests_on_the_trail() -> dict[str, str]:
    """Query id → hex digest of the answer, of every question that was answered."""
    answered = select(entry.c.id, entry.c.bytes).where(entry.c.type == "query.answered")
    with db.reading() as reading:
        return {row.id: orjson.loads(row.bytes)["answer_digest"] for row in reading.execute(answered)}


def ask_until_cut_off(running: Service, bearer: str, cast: Cast) -> list[bytes]:
    """The bodies of all answers that came whole, until the service is gone."""
    bodies = []
    while True:
        try:
            reply = ask(running, bearer, cast.enterprise.uscc)
        except (OSError, http.client.HTTPException):
            return bodies
        assert reply.status == 200, reply
        bodies.append(reply.body)
