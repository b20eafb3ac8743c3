# SPDX-License-Identifier: Apache-2.0
"""Attacks on people's accounts: guessing, stuffing, fixation, forgery across sites, telling who exists, replays."""

from collections.abc import Callable
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any

import argon2
import orjson
import pyotp
import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from access import lockout, models, people, sessions, totp
from access.lockout import Count, weigh
from access.sessions import Opened
from audit.models import entry as entries
from kernel import auth, clock, db, keys
from kernel.errors import Unauthenticated
from tests import factories
from tests.bureau.threads import at_once
from tests.conftest import House
from tests.kernel.test_problems import assert_problem, on_one_engine

SAME = {"X-Request-Id": "same"}
Travel = Callable[[timedelta], None]


@pytest.fixture
def travel(monkeypatch: pytest.MonkeyPatch) -> Travel:
    """Move the clock on."""
    real, ahead = clock.now, timedelta()

    def move(by: timedelta) -> None:
        nonlocal ahead
        ahead += by
        monkeypatch.setattr(clock, "now", lambda: real() + ahead)

    return move


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes against which a password was checked."""
    hashes: list[str] = []

    class Counting(argon2.PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # noqa: A002
            hashes.append(str(hash))
            return super().verify(hash, password)

    monkeypatch.setattr(people, "_hasher", Counting(time_cost=1, memory_cost=8, parallelism=1))
    people._decoy.cache_clear()
    monkeypatch.setattr(people, "_decoy", people._decoy.__wrapped__)
    return hashes


def signatory() -> tuple[str, str]:
    return factories.person("enterprise", factories.new_uscc())


def sign_in(client: FlaskClient, username: str, password: str, code: str | None = None, address: str = "") -> Any:
    body = {"username": username, "password": password, **({"totp": code} if code else {})}
    peer = {"REMOTE_ADDR": address or "198.51.100.7"}
    return client.post("/v1/sessions", json=body, headers=SAME, environ_base=peer)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def enrolled(username: str) -> tuple[pyotp.TOTP, list[str]]:
    """The person's new second factor, and the recovery codes. The code of the step before now is spent."""
    with db.transaction() as tx:
        codes = pyotp.TOTP(totp.begin(tx, username)["secret"])
        step = int(clock.now().timestamp()) // totp.STEP_S - 1
        return codes, totp.confirm(tx, username, codes.generate_otp(step))


def code_now(codes: pyotp.TOTP, steps: int = 0) -> str:
    return codes.generate_otp(int(clock.now().timestamp()) // totp.STEP_S + steps)


def events(kind: str) -> list[dict[str, Any]]:
    with db.reading() as reading:
        return [orjson.loads(each) for each in reading.scalars(select(entries.c.bytes).where(entries.c.type == kind))]


# guessing


def test_after_five_failures_even_the_right_password_is_refused_and_after_a_minute_taken(
    client: FlaskClient, travel: Travel
) -> None:
    username, password = signatory()
    wrong = [sign_in(client, username, f"wrong-{number}") for number in range(5)]
    locked = sign_in(client, username, password)
    assert_problem(locked, 401, "sign-in-failed")
    assert {locked.data} == {each.data for each in wrong}
    travel(timedelta(seconds=59))
    assert sign_in(client, username, password).status_code == 401
    travel(timedelta(seconds=2))
    assert sign_in(client, username, password).status_code == 201
    (told,) = events("sign-in.locked")
    assert told["detail"]["username"] == username


def test_tries_while_locked_make_no_lock_longer_and_four_failures_lock_nothing(
    client: FlaskClient, travel: Travel
) -> None:
    username, password = signatory()
    for _ in range(2):
        for number in range(4):
            assert sign_in(client, username, f"wrong-{number}").status_code == 401
        assert sign_in(client, username, password).status_code == 201  # and all is forgotten
    for number in range(20):
        sign_in(client, username, f"wrong-{number}")
    travel(timedelta(seconds=61))
    assert sign_in(client, username, password).status_code == 201


def test_each_further_failure_doubles_the_lock_up_to_an_hour(house: House) -> None:
    now = clock.now()
    pair, fresh = Count(4, now), Count(0, now)
    locks = []
    for _ in range(9):
        verdict, pair, _, _ = weigh(pair, fresh, fresh, now)
        assert verdict.allowed
        assert pair.until is not None
        locks.append((pair.until - now) // timedelta(minutes=1))
        now = pair.until
    assert locks == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_failures_are_forgotten_after_a_day(house: House) -> None:
    now = clock.now()
    verdict, pair, _, _ = weigh(Count(20, now - lockout.FORGOTTEN_AFTER), Count(0, now), Count(0, now), now)
    assert (verdict.allowed, pair.failures, pair.until) == (True, 1, None)


def test_nobody_at_a_distance_locks_a_signatory_out(client: FlaskClient) -> None:
    username, password = signatory()
    assert sign_in(client, username, password, address="198.51.100.7").status_code == 201
    for number in range(lockout.NAME_FAILURES + 10):
        assert sign_in(client, username, "wrong", address=f"203.0.113.{number}").status_code == 401
    assert sign_in(client, username, password, address="203.0.113.200").status_code == 401  # a new network now waits
    assert sign_in(client, username, password, address="198.51.100.7").status_code == 201


def test_of_many_guesses_at_one_moment_no_more_than_five_count(
    open_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    username, password = signatory()
    monkeypatch.setattr(people, "_hasher", argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))

    def guess(secret: str) -> Callable[[], Opened]:
        return lambda: sessions.sign_in(username, secret, None, network="198.51.100.7")

    told = at_once([guess(f"wrong-{number}") for number in range(12)])
    assert all(isinstance(each, Unauthenticated) for each in told), told
    with db.reading() as reading:
        assert sorted(reading.scalars(select(models.sign_in_tries.c.failures))) == [5, 5, 12]
    with pytest.raises(Unauthenticated):
        sessions.sign_in(username, password, None, network="198.51.100.7")
    assert len(events("sign-in.locked")) == 1


# stuffing


def test_after_thirty_failures_a_network_waits_but_not_those_who_are_known_there(
    client: FlaskClient, travel: Travel, verified: list[str]
) -> None:
    known, stranger = signatory(), signatory()
    assert sign_in(client, *known).status_code == 201
    for number in range(lockout.NETWORK_FAILURES):
        assert sign_in(client, f"name-{number}", "leaked").status_code == 401
    refused = sign_in(client, *stranger)
    assert_problem(refused, 429, "too-many-sign-ins")
    assert 0 < int(refused.headers["Retry-After"]) <= 600
    told = [sign_in(client, known[0], "wrong"), sign_in(client, "nobody", "wrong"), sign_in(client, *stranger)]
    assert len({(each.status_code, each.data) for each in told}) == 1  # who is known there is not told
    assert sign_in(client, *known).status_code == 201
    assert sign_in(client, *stranger, address="203.0.113.1").status_code == 201
    travel(lockout.NETWORK_WINDOW)
    assert sign_in(client, *stranger).status_code == 201
    assert [each["detail"]["locked"] for each in events("sign-in.locked")] == ["network"]
    assert len(verified) == 1 + 30 + 1 + 3 + 1 + 1 + 1


def test_a_network_that_goes_on_is_not_even_heard(client: FlaskClient, verified: list[str]) -> None:
    username, password = signatory()
    assert sign_in(client, username, password).status_code == 201
    with db.transaction() as tx:
        tx.execute(models.sign_in_tries.update().values(failures=lockout.NETWORK_TRIES))
    verified.clear()
    assert_problem(sign_in(client, username, password), 429, "too-many-sign-ins")
    assert verified == []


@on_one_engine
@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        (None, "unknown"),
    ],
)
def test_a_network_is_an_ipv4_address_or_an_ipv6_64(house: House, address: str | None, network: str) -> None:
    assert lockout.network_of(ip_address(address) if address else None) == network


def test_a_forwarded_address_is_not_believed_unless_a_proxy_is_set(client: FlaskClient) -> None:
    for number in range(lockout.NETWORK_FAILURES):
        forged = {"X-Forwarded-For": f"203.0.113.{number}"}
        client.post("/v1/sessions", json={"username": "nobody", "password": f"wrong-{number}"}, headers=forged)
    answer = client.post("/v1/sessions", json={"username": "another", "password": "wrong"})
    assert_problem(answer, 429, "too-many-sign-ins")


# who exists


def test_nothing_tells_who_exists_neither_text_nor_work(client: FlaskClient, verified: list[str]) -> None:
    (username, password), (left, left_password), (careful, careful_password) = signatory(), signatory(), signatory()
    (locked, locked_password), officer = signatory(), auth.Principal("person:o", frozenset(), person="o")
    with db.transaction() as tx:
        people.disable(tx, left, officer)
    enrolled(careful)
    for number in range(5):
        sign_in(client, locked, f"wrong-{number}")
    tried: list[tuple[str, str, str | None]] = [
        (username, "wrong", None),
        ("nobody", password, None),
        (username.upper(), password, None),
        (left, left_password, None),
        (locked, locked_password, None),
        (careful, "wrong", None),
        (careful, "wrong", "000000"),
    ]
    told = set()
    for name, secret, code in tried:
        verified.clear()
        answer = sign_in(client, name, secret, code)
        assert_problem(answer, 401, "sign-in-failed")
        told.add((answer.data, tuple(answer.headers)))
        assert len(verified) == 1, (name, secret)
        assert argon2.extract_parameters(verified[0]).memory_cost == 8
    assert len(told) == 1
    verified.clear()
    assert_problem(sign_in(client, careful, careful_password), 401, "totp-required")
    assert len(verified) == 1


def test_the_lock_of_a_name_that_nobody_has_is_no_different_and_the_name_is_not_written_down(
    client: FlaskClient,
) -> None:
    typed = "my-password-typed-here"
    for number in range(7):
        assert_problem(sign_in(client, typed, f"wrong-{number}"), 401, "sign-in-failed")
    (told,) = events("sign-in.locked")
    assert typed not in str(told)


# fixation, forgery across sites


def test_no_token_that_a_caller_brings_becomes_a_session(client: FlaskClient) -> None:
    username, password = signatory()
    planted = "planted-by-someone-else-0123456789abcdef012"
    anothers = factories.signatory(factories.new_uscc())
    body = {"username": username, "password": password}
    got = set()
    for brought in (planted, anothers):
        headers = {**bearer(brought), "Cookie": f"session={brought}"}
        answer = client.post("/v1/sessions", json=body, headers=headers)
        assert answer.status_code == 201
        got.add(answer.json["token"])
    assert len(got) == 2
    assert not got & {planted, anothers}
    assert_problem(client.get("/v1/sessions", headers=bearer(planted)), 401, "invalid-token")
    (own,) = client.get("/v1/sessions", headers=bearer(anothers)).json["sessions"]
    assert own["current"]


@on_one_engine
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_another_sites_form_does_nothing(client: FlaskClient, kind: str) -> None:
    username, password = signatory()
    token = sign_in(client, username, password).json["token"]
    body = orjson.dumps({"username": username, "password": password})
    assert_problem(client.post("/v1/sessions", data=body, content_type=kind), 415, "unsupported-media-type")
    for headers, status in (({"Cookie": f"session={token}"}, 401), (bearer(token), 415)):
        changed = client.post("/v1/people/me/password", data=body, content_type=kind, headers=headers)
        assert changed.status_code == status


@on_one_engine
def test_a_session_is_no_cookie(client: FlaskClient) -> None:
    answer = sign_in(client, *signatory())
    assert "Set-Cookie" not in answer.headers
    assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]
    client.set_cookie("session", answer.json["token"])
    assert_problem(client.get("/v1/sessions"), 401, "missing-token")


# the second factor


def test_a_code_is_asked_for_only_of_who_knows_the_password_and_is_good_once(client: FlaskClient) -> None:
    username, password = signatory()
    codes, _ = enrolled(username)
    assert_problem(sign_in(client, username, password), 401, "totp-required")
    assert_problem(sign_in(client, username, password, "000000"), 401, "totp-required")
    code = code_now(codes)
    assert sign_in(client, username, password, code).status_code == 201
    assert_problem(sign_in(client, username, password, code), 401, "totp-required")
    assert_problem(sign_in(client, username, password, code_now(codes, -1)), 401, "totp-required")
    assert sign_in(client, username, password, code_now(codes, 1)).status_code == 201
    assert_problem(sign_in(client, username, password, code_now(codes, 3)), 401, "totp-required")


def test_wrong_codes_lock_as_wrong_passwords_do(client: FlaskClient) -> None:
    username, password = signatory()
    codes, _ = enrolled(username)
    for number in range(5):
        assert_problem(sign_in(client, username, password, f"00000{number}"), 401, "totp-required")
    assert_problem(sign_in(client, username, password, code_now(codes)), 401, "sign-in-failed")


def test_a_recovery_code_is_good_once_and_for_its_owner_only(client: FlaskClient) -> None:
    (username, password), other = signatory(), signatory()
    _, recovery = enrolled(username)
    enrolled(other[0])
    assert len(set(recovery)) == totp.RECOVERY_CODES
    assert_problem(sign_in(client, *other, recovery[0]), 401, "totp-required")
    assert sign_in(client, username, password, recovery[0]).status_code == 201
    assert_problem(sign_in(client, username, password, recovery[0]), 401, "totp-required")


@pytest.mark.parametrize("kind", ["code", "recovery"])
def test_of_two_sign_ins_with_one_code_one_wins(open_house: House, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    username, password = signatory()
    monkeypatch.setattr(people, "_hasher", argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    codes, recovery = enrolled(username)
    code = code_now(codes) if kind == "code" else recovery[0]
    told = at_once([lambda: sessions.sign_in(username, password, code, network="198.51.100.7")] * 4)
    assert [isinstance(each, Opened) for each in told].count(True) == 1, told
    assert {each.slug for each in told if not isinstance(each, Opened)} == {"totp-required"}


def test_the_secret_is_kept_encrypted_and_opens_for_its_owner_only(house: House) -> None:
    username, _ = signatory()
    with db.transaction() as tx:
        secret = totp.begin(tx, username)["secret"]
        kept = tx.scalar(select(models.person.c.totp_secret).where(models.person.c.username == username))
    assert secret.encode() not in kept
    assert keys.purpose("people").decrypt(kept, f"totp\0{username}".encode()) == secret.encode()
    with pytest.raises(keys.Altered):
        keys.purpose("people").decrypt(kept, b"totp\0someone-else")


def test_staff_without_a_second_factor_can_only_enrol_one_where_it_is_asked_for(
    client: FlaskClient, travel: Travel
) -> None:
    client.application.config["BUREAU_REQUIRE_TOTP"] = "staff"
    username, password = factories.person("compliance")
    session = sign_in(client, username, password).json
    assert session["scopes"] == ["totp:enrol"]
    headers = bearer(session["token"])
    assert_problem(client.get("/v1/audit/entries", headers=headers), 403, "insufficient-scope")
    begun = client.post("/v1/people/me/totp", headers=headers).json
    codes = pyotp.parse_uri(begun["uri"])
    wrong = client.post("/v1/people/me/totp/confirm", json={"code": "000000"}, headers=headers)
    assert_problem(wrong, 422, "totp-wrong")
    code = code_now(codes)  # type: ignore[arg-type]
    confirmed = client.post("/v1/people/me/totp/confirm", json={"code": code}, headers=headers)
    assert len(confirmed.json["recovery_codes"]) == totp.RECOVERY_CODES
    assert_problem(client.get("/v1/audit/entries", headers=headers), 403, "insufficient-scope")
    assert_problem(client.post("/v1/people/me/totp", headers=headers), 409, "totp-enrolled")
    travel(timedelta(seconds=totp.STEP_S))
    full = sign_in(client, username, password, code_now(codes)).json  # type: ignore[arg-type]
    assert client.get("/v1/audit/entries", headers=bearer(full["token"])).status_code == 200
    assert sign_in(client, *signatory()).json["scopes"] == sorted(people.ROLE_SCOPES["enterprise"])


# sessions


def test_a_session_that_is_not_used_ends_and_one_that_is_goes_on(client: FlaskClient, travel: Travel) -> None:
    token = sign_in(client, *signatory()).json["token"]
    for _ in range(3):
        travel(timedelta(minutes=29))
        assert client.get("/v1/sessions", headers=bearer(token)).status_code == 200
    travel(timedelta(minutes=31))
    assert_problem(client.get("/v1/sessions", headers=bearer(token)), 401, "invalid-token")


def test_a_session_is_touched_once_a_minute(client: FlaskClient, travel: Travel) -> None:
    token = sign_in(client, *signatory()).json["token"]

    def used() -> datetime:
        client.get("/v1/consents", headers=bearer(token))
        with db.reading() as reading:
            return reading.scalar(select(models.token.c.last_used_at))  # type: ignore[return-value]

    first = used()
    travel(timedelta(seconds=30))
    assert used() == first
    travel(timedelta(seconds=31))
    assert used() > first


def test_one_sees_and_ends_ones_own_sessions(client: FlaskClient) -> None:
    username, password = signatory()
    first, second = (sign_in(client, username, password).json["token"] for _ in range(2))
    page = client.get("/v1/sessions?limit=1", headers=bearer(first)).json
    assert [each["current"] for each in page["sessions"]] == [False]
    rest = client.get(f"/v1/sessions?cursor={page['next_cursor']}", headers=bearer(first)).json["sessions"]
    assert [each["current"] for each in rest] == [True]
    ended = page["sessions"][0]["session_id"]
    assert client.delete(f"/v1/sessions/{ended}", headers=bearer(first)).status_code == 204
    assert_problem(client.delete(f"/v1/sessions/{ended}", headers=bearer(first)), 404, "not-found")
    assert_problem(client.get("/v1/sessions", headers=bearer(second)), 401, "invalid-token")


def test_a_new_password_ends_all_other_sessions(client: FlaskClient) -> None:
    username, password = signatory()
    mine, other = (sign_in(client, username, password).json["token"] for _ in range(2))
    new = "five-small-lanterns"

    def change(current: str, wanted: str) -> Any:
        body = {"current": current, "new": wanted}
        return client.post("/v1/people/me/password", json=body, headers=bearer(mine))

    for weak in ("short", "passwordpassword", f"x{username}x", "a" * 30):
        assert_problem(change(password, weak), 422, "weak-password")
    assert_problem(change("wrong", new), 403, "wrong-password")
    assert change(password, new).status_code == 204
    assert client.get("/v1/sessions", headers=bearer(mine)).status_code == 200
    assert_problem(client.get("/v1/sessions", headers=bearer(other)), 401, "invalid-token")
    assert sign_in(client, username, password).status_code == 401
    assert sign_in(client, username, new).status_code == 201


def test_who_holds_a_session_cannot_guess_the_password_with_it(client: FlaskClient) -> None:
    username, password = signatory()
    headers = bearer(sign_in(client, username, password).json["token"])
    tried = [*(f"wrong-{number}" for number in range(5)), password]
    for current in tried:
        body = {"current": current, "new": "five-small-lanterns"}
        peer = {"REMOTE_ADDR": "198.51.100.7"}
        answer = client.post("/v1/people/me/password", json=body, headers=headers, environ_base=peer)
        assert_problem(answer, 403, "wrong-password")
    (told,) = events("sign-in.locked")
    assert (told["detail"]["locked"], told["detail"]["username"]) == ("name-and-network", username)


def test_who_is_disabled_is_out_at_once_and_old_sessions_do_not_come_back(client: FlaskClient) -> None:
    username, password = signatory()
    token = sign_in(client, username, password).json["token"]
    officer = bearer(factories.session(factories.person("security")[0], {"security"}))
    assert client.post(f"/v1/people/{username}/disable", headers=officer).status_code == 204
    assert_problem(client.get("/v1/sessions", headers=bearer(token)), 401, "invalid-token")
    assert client.post(f"/v1/people/{username}/enable", headers=officer).status_code == 204
    assert_problem(client.get("/v1/sessions", headers=bearer(token)), 401, "invalid-token")
    assert sign_in(client, username, password).status_code == 201
    assert_problem(client.post("/v1/people/nobody/disable", headers=officer), 404, "not-found")


def test_sign_ins_of_staff_are_entries_and_those_of_signatories_are_not(client: FlaskClient) -> None:
    officer, _ = (username, password) = factories.person("finance")
    sign_in(client, username, password)
    sign_in(client, *signatory())
    (told,) = events("session.opened")
    assert told["actor"] == f"person:{officer}"
    with db.reading() as reading:
        assert reading.scalar(select(func.count()).select_from(models.token)) == 2
