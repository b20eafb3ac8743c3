# SPDX-License-Identifier: Apache-2.0
"""No committed entry, no answer: what callers get while the trail, or the whole database, is out of reach."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from kernel import db
from tests import factories
from tests.conftest import House
from tests.journeys import service
from tests.journeys.cast import ENTERPRISE_NAME, Cast, ask, grant, read_access_log, revoke, sign_in, token
from tests.journeys.service import Reply, Service

BREAK = {
    "sqlite": ["CREATE TRIGGER broken BEFORE INSERT ON entry BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"],
    "postgresql": [
        """CREATE FUNCTION break_entry() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'the disk is full'; END $$""",
        "CREATE TRIGGER broken BEFORE INSERT ON entry FOR EACH ROW EXECUTE FUNCTION break_entry()",
    ],
}
MEND = {"sqlite": "DROP TRIGGER broken", "postgresql": "DROP TRIGGER broken ON entry"}
THREADS = 8


def test_while_no_entry_can_be_written_nothing_is_answered_granted_or_revoked(
    open_house: House, served: Service, cast: Cast
) -> None:
    bearer, session = token(served, cast.bank), sign_in(served, cast.enterprise)
    first = ask(served, bearer, cast.enterprise.uscc, key="before")
    assert first.status == 200

    execute(*BREAK[open_house.engine])
    refused = [
        ask(served, bearer, cast.enterprise.uscc),
        ask(served, bearer, cast.enterprise.uscc, key="before"),
        ask(served, bearer, factories.new_uscc()),
        served.call("GET", f"/v1/credit-queries/{first.json['query_id']}", Authorization=f"Bearer {bearer}"),
        revoke(served, session, cast.consent),
        grant(served, session, cast),
    ]
    assert [(reply.status, reply.problem) for reply in refused] == [(503, "audit-unavailable")] * len(refused)
    assert all(reply.headers["retry-after"] for reply in refused)
    assert not any(ENTERPRISE_NAME.encode() in reply.body or b"C1.01" in reply.body for reply in refused)

    execute(MEND[open_house.engine])
    assert ask(served, bearer, cast.enterprise.uscc, key="before").body == first.body
    assert ask(served, bearer, cast.enterprise.uscc).status == 200
    log = read_access_log(served, session, cast.enterprise.uscc)
    assert [entry["outcome"] for entry in log] == ["answered"] * 3
    listed = served.call("GET", "/v1/consents", Authorization=f"Bearer {session}").json["consents"]
    assert [(consent["consent_id"], consent["status"]) for consent in listed] == [(cast.consent, "active")]
    assert service.run(open_house.environment, "verify", "--json").returncode == 0


@pytest.mark.parametrize("open_house", ["postgresql"], indirect=True)
def test_when_every_connection_is_cut_the_service_recovers_by_itself(served: Service, cast: Cast) -> None:
    bearer, session = token(served, cast.bank), sign_in(served, cast.enterprise)
    enough = threading.Event()

    def keep_asking(_thread: int) -> list[tuple[float, Reply]]:
        asked = []
        while not enough.is_set():
            sent_at = time.monotonic()
            asked.append((sent_at, ask(served, bearer, cast.enterprise.uscc)))
        return asked

    with ThreadPoolExecutor(THREADS) as threads:
        running = [threads.submit(keep_asking, number) for number in range(THREADS)]
        for _ in range(3):
            time.sleep(0.3)
            execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        cut_at = time.monotonic()
        time.sleep(0.7)
        enough.set()
        asked = [one for each in running for one in each.result()]

    assert {reply.status for _, reply in asked} <= {200, 503}
    assert {reply.problem for _, reply in asked if reply.status == 503} <= {
        "audit-unavailable",
        "unavailable",
    }
    assert any(reply.status == 503 for _, reply in asked), "nothing was cut"
    late = [reply.status for sent_at, reply in asked if sent_at > cut_at + 0.5]
    assert late
    assert set(late) == {200}
    answered = [reply.json["query_id"] for _, reply in asked if reply.status == 200]
    logged = {entry["query_id"] for entry in read_access_log(served, session, cast.enterprise.uscc)}
    assert set(answered) <= logged


def execute(*statements: str) -> None:
    with db.transaction() as tx:
        for statement in statements:
            tx.execute(text(statement))
