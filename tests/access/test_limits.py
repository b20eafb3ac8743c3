# SPDX-License-Identifier: Apache-2.0
"""Limits over several workers: never more than the limit, exactly the limit where packs are one permit."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text
from structlog.testing import capture_logs

from access import clients, institutions, limits, models, tokens
from access.limits import Limiter
from audit.models import entry as entries
from kernel import clock, db
from kernel.errors import TooMany
from tests import factories
from tests.conftest import House
from tests.kernel.test_problems import assert_problem

NOON = datetime(2026, 5, 1, 4, 0, 0, 250_000, tzinfo=UTC)  # 12:00 in Shanghai
DAY_NAME = "institution-day"


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOON)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """What this worker remembers belongs to a test's own database."""
    yield
    for limiter in (limits.per_client, limits.per_institution, limits.institution_day, limits.failures._limiter):
        limiter._known.clear()


def workers(number: int, *, day: bool) -> list[Limiter]:
    if day:
        return [Limiter(DAY_NAME, 86_400, models.day_quota, durable=True) for _ in range(number)]
    return [Limiter("client", 1, models.pace) for _ in range(number)]


@pytest.mark.parametrize("day", [True, False])
def test_fifty_threads_in_five_workers_get_exactly_a_small_limit(open_house: House, at_noon: None, day: bool) -> None:
    several = workers(5, day=day)
    with ThreadPoolExecutor(50) as threads:
        allowed = list(threads.map(lambda n: several[n % 5].take("someone", 10)[0], range(200)))
    assert allowed.count(True) == 10


@pytest.mark.parametrize("quota", [100, 999])
def test_with_packs_never_more_than_the_limit_and_hardly_less(open_house: House, at_noon: None, quota: int) -> None:
    several = workers(4, day=False)
    with ThreadPoolExecutor(16) as threads:
        allowed = list(threads.map(lambda n: several[n % 4].take("someone", quota)[0], range(quota * 2)))
    held = sum(worker._known["someone"].permits for worker in several)
    assert allowed.count(True) == quota - held
    assert held <= 3 * limits.pack_size(quota, 8)


def test_one_worker_gets_all_of_it_and_each_subject_its_own(house: House, at_noon: None) -> None:
    (worker,) = workers(1, day=False)
    for subject in ("a", "b"):
        assert [worker.take(subject, 55)[0] for _ in range(60)] == [True] * 55 + [False] * 5


@given(st.integers(0, 10_000_000), st.integers(0, 10_000))
def test_a_pack_grows_from_a_twentieth_to_a_fifth_and_is_fifty_at_most(quota: int, before: int) -> None:
    first, then = limits.pack_size(quota, 0), limits.pack_size(quota, before)
    assert 1 <= first <= then <= min(50, max(1, quota // 5))
    assert first <= max(1, quota // 20)
    assert quota >= 40 or then == 1


def test_the_next_second_is_a_new_window(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    (worker,) = workers(1, day=False)
    monkeypatch.setattr(clock, "now", lambda: NOON)
    assert [worker.take("a", 2)[0] for _ in range(3)] == [True, True, False]
    monkeypatch.setattr(clock, "now", lambda: NOON + timedelta(seconds=1))
    assert worker.take("a", 2)[0]


def test_a_day_is_one_of_shanghai(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    (worker,) = workers(1, day=True)
    before_midnight = datetime(2026, 5, 1, 15, 59, 30, tzinfo=UTC)
    monkeypatch.setattr(clock, "now", lambda: before_midnight)
    assert [worker.take("a", 1)[0] for _ in range(2)] == [True, False]
    assert worker.take("a", 1)[1].reset == 30
    monkeypatch.setattr(clock, "now", lambda: before_midnight + timedelta(seconds=30))
    allowed, told = worker.take("a", 1)
    assert (allowed, told.remaining, told.reset) == (True, 0, 86_400)


def test_a_days_quota_outlives_the_workers(house: House, at_noon: None) -> None:
    for worker in workers(3, day=True):
        worker.take("a", 3)
    assert not workers(1, day=True)[0].take("a", 3)[0]


def test_a_quota_that_was_raised_counts_at_once_and_nothing_passes_a_quota_of_none(house: House, at_noon: None) -> None:
    (worker,) = workers(1, day=True)
    assert not worker.take("a", 0)[0]
    assert [worker.take("a", 1)[0] for _ in range(2)] == [True, False]
    assert [worker.take("a", 3)[0] for _ in range(3)] == [True, True, False]
    assert not worker.take("a", 2)[0]


def test_if_the_counter_cannot_be_written_seconds_are_counted_alone_and_days_not_at_all(
    open_house: House, at_noon: None
) -> None:
    with db.transaction() as tx:
        tx.execute(text("DROP TABLE pace"))
        tx.execute(text("DROP TABLE day_quota"))
    (worker,) = workers(1, day=False)
    assert [worker.take("a", 30)[0] for _ in range(31)] == [True] * 30 + [False]
    with pytest.raises(Exception, match="day_quota"):
        workers(1, day=True)[0].take("a", 30)


def test_a_worker_remembers_so_many_subjects_and_no_more(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_SUBJECTS", 3)
    (worker,) = workers(1, day=False)
    for number in range(5):
        worker.take(f"subject {number}", 1)
    assert list(worker._known) == ["subject 2", "subject 3", "subject 4"]


def test_windows_that_are_over_are_tidied_away(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def take_all() -> None:
        workers(1, day=False)[0].take("client:a", 1)
        workers(1, day=True)[0].take("institution:a", 1)
        limits.failures.take_one(limits.attempt("a", None))

    monkeypatch.setattr(clock, "now", lambda: NOON)
    take_all()
    later = NOON + timedelta(hours=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    take_all()
    with db.transaction() as tx:
        assert limits.tidy(tx) == 2  # the day is the same
        assert limits.tidy(tx) == 0
        assert len(tx.execute(select(models.pace)).all()) == 2
        assert len(tx.execute(select(models.day_quota)).all()) == 1


@pytest.fixture
def asking(house: House) -> tuple[str, str, str]:
    """An institution, a client of it that may ask twice a second, and its token."""
    bank = factories.bank()
    with db.transaction() as tx:
        client_id, _ = clients.add(tx, bank, ("credit:query",), per_second=2)
        scopes = frozenset({"credit:query"})
        return bank, client_id, tokens.issue(tx, scopes, tokens.CLIENT_TOKEN_LIFE, client_id=client_id)[0]


def structured(field: str) -> dict[str, dict[str, int]]:
    """A list of strings with integer parameters (RFC 9651 §3.1, §3.3): name → parameters."""
    item = r'"([ !#-\[\]-~]*)"((?:;[a-z*][a-z0-9_.*-]*=-?\d{1,15})*)'
    assert re.fullmatch(rf"{item}(?:[ \t]*,[ \t]*{item})*", field), field
    return {
        name: {key: int(value) for key, _, value in (one.partition("=") for one in parameters.split(";")[1:])}
        for name, parameters in re.findall(item, field)
    }


def test_every_answer_tells_the_limits_and_what_is_left(
    client: FlaskClient, asking: tuple[str, str, str], at_noon: None
) -> None:
    bank, _, bearer = asking
    with db.transaction() as tx:
        institutions.change(tx, bank, {"per_second": 50, "per_day": 3})
    known, unknown = factories.new_uscc(), factories.new_uscc()
    factories.consent(known, bank)
    answered, refused = factories.ask(client, bearer, known), factories.ask(client, bearer, unknown)
    assert (answered.status_code, refused.status_code) == (200, 403)
    policy = {"client": {"q": 2, "w": 1}, "institution": {"q": 50, "w": 1}, DAY_NAME: {"q": 3, "w": 86_400}}
    for left, response in ((1, answered), (0, refused)):
        assert structured(response.headers["RateLimit-Policy"]) == policy
        told = structured(response.headers["RateLimit"])
        assert told["client"] == {"r": left, "t": 1}
        assert told[DAY_NAME] == {"r": left + 1, "t": 43_200}
    limited = factories.ask(client, bearer, known)
    assert_problem(limited, 429, "rate-limited")
    assert limited.headers["Retry-After"] == "1"
    assert structured(limited.headers["RateLimit"]) == {"client": {"r": 0, "t": 1}}


def test_a_flood_is_no_entry_and_a_line_of_the_log_for_each_window(
    client: FlaskClient, asking: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses = []
    with capture_logs() as lines:
        for second in range(2):
            monkeypatch.setattr(clock, "now", lambda second=second: NOON + timedelta(seconds=second))
            statuses += [factories.ask(client, asking[2], factories.new_uscc()).status_code for _ in range(12)]
    assert statuses == 2 * ([403, 403] + [429] * 10)
    with db.reading() as reading:
        assert len(reading.execute(select(entries).where(entries.c.type == "query.refused")).all()) == 4
    told = [(line["subject"], line["refused_before"]) for line in lines if line["event"] == "rate limited"]
    assert told == [(f"client:{asking[1]}", 0), (f"client:{asking[1]}", 10)]


def test_an_institutions_quota_is_for_all_its_clients_and_for_questions_only(
    client: FlaskClient, house: House, at_noon: None
) -> None:
    bank, uscc = factories.bank(), factories.new_uscc()
    factories.consent(uscc, bank)
    with db.transaction() as tx:
        institutions.change(tx, bank, {"per_day": 3})
    first, second = factories.token(bank), factories.token(bank)
    answers = [factories.ask(client, bearer, uscc) for bearer in (first, second, first, second)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert_problem(answers[3], 429, "institution-quota-exhausted")
    assert answers[3].headers["Retry-After"] == "43200"
    again = client.get(
        f"/v1/credit-queries/{answers[0].json['query_id']}", headers={"Authorization": f"Bearer {second}"}
    )
    assert again.status_code == 200
    assert structured(again.headers["RateLimit"]).keys() == {"client"}
    other = factories.bank()
    assert factories.ask(client, factories.token(other), uscc).status_code == 403


def test_the_limit_comes_before_the_body_is_read(
    client: FlaskClient, asking: tuple[str, str, str], at_noon: None
) -> None:
    headers = {"Authorization": f"Bearer {asking[2]}", "Content-Type": "application/json"}
    statuses = [client.post("/v1/credit-queries", data=b"{", headers=headers).status_code for _ in range(3)]
    assert statuses == [400, 400, 429]


def test_a_clients_limit_is_what_is_shipped_unless_it_has_its_own(
    client: FlaskClient, house: House, at_noon: None
) -> None:
    bearer = factories.token(factories.bank())
    response = factories.ask(client, bearer, factories.new_uscc())
    assert structured(response.headers["RateLimit-Policy"]) == {"client": {"q": 100, "w": 1}}


def fail(client: FlaskClient, client_id: str, secret: str = "wrong", peer: str = "192.0.2.1") -> Any:
    form = {"grant_type": "client_credentials"}
    environ = {"REMOTE_ADDR": peer}
    return client.post("/oauth/token", data=form, auth=(client_id, secret), environ_overrides=environ)


def test_who_fails_too_often_is_not_looked_at_and_locks_nobody_else_out(
    client: FlaskClient, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOON)
    bank, other = factories.bank(), factories.bank()
    with db.transaction() as tx:
        client_id, secret = clients.add(tx, bank, ("consent:read",))
        neighbour = clients.add(tx, other, ("consent:read",))
    statuses = [fail(client, client_id).status_code for _ in range(limits.FAILURES_PER_MINUTE + 1)]
    assert statuses == [401] * limits.FAILURES_PER_MINUTE + [429]
    limited = fail(client, client_id, secret)
    assert_problem(limited, 429, "rate-limited")
    assert 0 < int(limited.headers["Retry-After"]) <= 60
    assert fail(client, client_id, secret, peer="192.0.2.2").status_code == 200
    assert fail(client, *neighbour).status_code == 200
    later = NOON + timedelta(minutes=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert fail(client, client_id, secret).status_code == 200


def test_made_up_clients_are_counted_for_their_address_and_fill_no_table(client: FlaskClient, house: House) -> None:
    statuses = {fail(client, f"made up {number}").status_code for number in range(limits.FAILURES_PER_MINUTE * 3)}
    assert statuses == {401, 429}
    with db.reading() as reading:
        assert len(reading.execute(select(models.pace)).all()) <= 2  # two where a minute ended meanwhile


def test_a_success_is_no_failure(client: FlaskClient, house: House, at_noon: None) -> None:
    bank = factories.bank()
    with db.transaction() as tx:
        client_id, secret = clients.add(tx, bank, ("consent:read",))
    for _ in range(limits.FAILURES_PER_MINUTE + 5):
        assert fail(client, client_id, secret).status_code == 200


def test_of_ipv6_the_network_counts() -> None:
    one, same, other = (ip_address(f"2001:db8:0:{each}") for each in ("1::1", "1:2::3", "2::1"))
    assert limits.attempt("c", one) == limits.attempt("c", same) != limits.attempt("c", other)
    longest = limits.attempt("x" * 36, ip_address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"))
    assert len(longest) <= 120


def test_failures_over_several_workers_are_counted_together(open_house: House, at_noon: None) -> None:
    several = [limits.Failures() for _ in range(4)]

    def attempt(number: int) -> bool:
        try:
            several[number % 4].take_one("attempt:c:192.0.2.1")
        except TooMany:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(attempt, range(80))).count(True) == limits.FAILURES_PER_MINUTE
