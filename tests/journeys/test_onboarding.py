# SPDX-License-Identifier: Apache-2.0
"""What was agreed with an institution, held to over HTTP by two worker processes at once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from access import institutions
from kernel import db
from tests.conftest import House
from tests.journeys import service
from tests.journeys.cast import Cast, ask, fetch_token, token
from tests.journeys.service import Service

QUOTA, THREADS = 10, 16


def test_a_days_quota_holds_over_all_workers(served: Service, cast: Cast) -> None:
    agree(cast, per_day=QUOTA)
    bearer = token(served, cast.bank)
    with ThreadPoolExecutor(THREADS) as threads:
        replies = list(threads.map(lambda _: ask(served, bearer, cast.enterprise.uscc), range(4 * QUOTA)))
    assert [reply.status for reply in replies].count(200) == QUOTA
    refused = [reply for reply in replies if reply.status != 200]
    assert {(reply.status, reply.problem) for reply in refused} == {(429, "institution-quota-exhausted")}
    assert all(0 < int(reply.headers["retry-after"]) <= 86_400 for reply in refused)
    assert all('"institution-day";q=10;w=86400' in reply.headers["ratelimit-policy"] for reply in replies)


def test_where_the_call_comes_from_is_what_the_connection_says(served: Service, cast: Cast) -> None:
    bearer = token(served, cast.bank)
    agree(cast, networks=("127.0.0.1",))
    assert ask(served, bearer, cast.enterprise.uscc).status == 200
    agree(cast, networks=("192.0.2.0/24", "::1"))
    shown = {"Authorization": f"Bearer {bearer}", "X_Forwarded_For": "192.0.2.1"}
    assert served.call("GET", "/v1/consents", **shown).problem == "network-not-allowed"
    assert fetch_token(served, cast.bank).problem == "network-not-allowed"


def test_a_kill_switch_counts_at_the_next_request_in_every_worker(
    open_house: House, served: Service, cast: Cast
) -> None:
    bearer = token(served, cast.bank)

    def statuses() -> set[int]:
        return {ask(served, bearer, cast.enterprise.uscc).status for _ in range(12)}

    assert statuses() == {200}
    for target, status in ((["all"], 503), (["institution", cast.bank.institution], 403)):
        assert service.run(open_house.environment, "stop", *target, "--reason", "演练").returncode == 0
        assert statuses() == {status}
        assert service.run(open_house.environment, "start", *target).returncode == 0
        assert statuses() == {200}


def agree(cast: Cast, **terms: Any) -> None:
    with db.transaction() as tx:
        institutions.change(tx, cast.bank.institution, terms)
