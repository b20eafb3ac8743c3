# SPDX-License-Identifier: Apache-2.0
"""The short way to a token grants what the whole way grants, in the same words, and refuses nothing by itself."""

import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from access import clients, institutions, issuing, models, oauth, signing_clients, switch, tokens
from access.client_keys import Keys
from app.application import create_app
from kernel import clock, db
from tests import factories
from tests.access.signing import GRANT, SIGNERS, Signer, es256, new_jti
from tests.access.test_authentication import BAD_CLAIMS, NOW, SCOPES
from tests.access.test_oauth import use
from tests.bureau.threads import at_once
from tests.conftest import PUBLIC_URL, House

TOKEN = "/oauth/token"
VOLATILE = ("X-Request-Id", "Date")


class Ways:
    """One bureau asked by both ways, and how often the whole one was taken."""

    def __init__(self, apps: tuple[Flask, Flask], monkeypatch: pytest.MonkeyPatch) -> None:
        self.whole_taken = 0
        real = oauth.server.create_token_response

        def counted(*arguments: Any) -> Any:
            self.whole_taken += 1
            return real(*arguments)

        monkeypatch.setattr(oauth.server, "create_token_response", counted)
        self.short, self.whole = (app.test_client() for app in apps)

    def ask(self, form: dict[str, str], **more: Any) -> Any:
        return self.short.post(TOKEN, data={**GRANT, **form}, **more)

    def ask_whole(self, form: dict[str, str], **more: Any) -> Any:
        return self.whole.post(TOKEN, data={**GRANT, **form}, **more)

    def is_short(self, form: dict[str, str], **more: Any) -> bool:
        """Whether a good request is answered by the short way."""
        before = self.whole_taken
        assert self.ask(form, **more).status_code == 200
        return self.whole_taken == before


@pytest.fixture(scope="module")
def apps() -> tuple[Flask, Flask]:
    """The application, and one without the short way."""
    short, whole = create_app(PUBLIC_URL), create_app(PUBLIC_URL)
    del whole.wsgi_app  # what was set on it: the class has Flask's own
    return short, whole


@pytest.fixture
def ways(house: House, apps: tuple[Flask, Flask], monkeypatch: pytest.MonkeyPatch) -> Ways:
    return Ways(apps, monkeypatch)


@pytest.fixture
def signer() -> Signer:
    return es256("key-1")


@pytest.fixture
def client_id(house: House, signer: Signer) -> str:
    return remembered(signer)


def remembered(signer: Signer, bank: str | None = None, **more: Any) -> str:
    """A client that signs, as this process last read it."""
    bank = bank or factories.bank()
    with db.transaction() as tx:
        client_id = clients.add_signing(tx, bank, SCOPES, Keys(signer.jwks), **more)
    with db.reading() as reading:
        signing_clients.find(reading, client_id)
    return client_id


def counts() -> tuple[int, int]:
    with db.reading() as reading:
        both = [reading.scalar(select(func.count()).select_from(each)) for each in (models.token, models.spent)]
    return both[0] or 0, both[1] or 0


def shape(response: Any) -> Any:
    """All of an answer that two askings have in common."""
    body = {**response.json, "access_token": "…"} if "access_token" in response.json else response.json
    headers = {name: value for name, value in response.headers if name not in VOLATILE}
    return response.status_code, list(body), body, headers


@pytest.mark.parametrize("algorithm", SIGNERS)
def test_both_ways_grant_in_the_same_words(ways: Ways, house: House, algorithm: str) -> None:
    signer = SIGNERS[algorithm]("key-1")
    client_id = remembered(signer)
    for more in ({}, {"scope": "credit:query"}, {"scope": "consent:read credit:query"}, {"scope": ""},
                 {"client_id": client_id}):  # fmt: skip
        before = ways.whole_taken
        short = ways.ask({**signer.form(client_id, PUBLIC_URL), **more})
        assert ways.whole_taken == before, more
        whole = ways.ask_whole({**signer.form(client_id, PUBLIC_URL), **more})
        assert ways.whole_taken == before + 1
        assert shape(short) == shape(whole)
        if "consent:read" in short.json["scope"]:
            assert use(ways.short, short.json["access_token"]) == 200
    named = ways.ask(signer.form(client_id, PUBLIC_URL), headers={"X-Request-Id": "mine"})
    assert named.headers["X-Request-Id"] == "mine"
    assert counts() == (11, 11)


def test_a_source_goes_the_short_way_too(ways: Ways, signer: Signer) -> None:
    with db.transaction() as tx:
        tx.execute(models.source.insert().values(code="S01", status="approved", created_at=clock.now()))
        client_id = clients.add_signing(tx, "S01", ("batch:write",), Keys(signer.jwks), is_source=True)
    assert not ways.is_short(signer.form(client_id, PUBLIC_URL))
    assert ways.is_short(signer.form(client_id, PUBLIC_URL))


@pytest.mark.parametrize("fault", BAD_CLAIMS)
def test_a_wrong_claim_is_refused_in_the_same_words(ways: Ways, signer: Signer, client_id: str, fault: str) -> None:
    moved = int(time.time()) - NOW
    changes = {
        name: value + moved if name in ("iat", "exp", "nbf") and type(value) is int and value > 0 else value
        for name, value in BAD_CLAIMS[fault].items()
    }
    refused_alike(ways, lambda: signer.form(client_id, PUBLIC_URL, **changes))


def refused_alike(ways: Ways, make: Callable[[], dict[str, str]], **more: Any) -> None:
    short, whole = ways.ask(make(), **more), ways.ask_whole(make(), **more)
    assert ways.whole_taken == 2
    assert shape(short) == shape(whole)
    assert short.status_code >= 400
    assert counts()[0] == 0


FORMS: dict[str, dict[str, str]] = {
    "another client_id": {"client_id": "another"},
    "an unregistered scope": {"scope": "admin"},
    "one of two scopes unregistered": {"scope": "credit:query admin"},
    "another grant": {"grant_type": "password"},
    "no grant": {"grant_type": ""},
    "a code": {"grant_type": "authorization_code", "code": "x"},
    "another type of assertion": {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"},
    "no type": {"client_assertion_type": ""},
    "no assertion": {"client_assertion": ""},
    "half an assertion": {"client_assertion": "a.b.c"},
}


@pytest.mark.parametrize("fault", FORMS)
def test_a_wrong_form_is_refused_in_the_same_words(ways: Ways, signer: Signer, client_id: str, fault: str) -> None:
    refused_alike(ways, lambda: {**signer.form(client_id, PUBLIC_URL), **FORMS[fault]})


def test_another_ones_signature_is_refused_in_the_same_words(ways: Ways, client_id: str) -> None:
    stranger = es256("key-1")
    refused_alike(ways, lambda: stranger.form(client_id, PUBLIC_URL))


def test_a_parameter_sent_twice_and_two_ways_to_authenticate_are_refused(
    ways: Ways, signer: Signer, client_id: str
) -> None:
    twice: Any = [*GRANT.items(), *signer.form(client_id, PUBLIC_URL).items(), ("scope", "credit:query")]
    body = "&".join(f"{name}={value.replace(':', '%3A')}" for name, value in [*twice, ("scope", "credit:query")])
    kind = "application/x-www-form-urlencoded"
    assert ways.short.post(TOKEN, data=body, content_type=kind).json["error"] == "invalid_request"
    both = ways.ask(signer.form(client_id, PUBLIC_URL), auth=(client_id, "secret"))
    assert (both.status_code, both.json["error"]) == (400, "invalid_request")
    assert counts()[0] == 0


def test_what_the_short_way_does_not_know_goes_the_whole_way(ways: Ways, signer: Signer, client_id: str) -> None:
    def form() -> dict[str, str]:
        return signer.form(client_id, PUBLIC_URL)

    assert not ways.is_short({**form(), "unknown": "x"})
    assert not ways.is_short(form(), query_string={"x": "y"})
    assert not ways.is_short(form(), content_type="multipart/form-data")
    assert ways.is_short(form(), content_type="application/x-www-form-urlencoded; charset=utf-8")
    assert ways.ask(form(), headers={"DPoP": "x"}).json["error"] == "invalid_dpop_proof"
    assert ways.short.get(TOKEN).status_code == 405


# what changes after the client was remembered


ACTS: dict[str, Callable[[Any, str, str], Any]] = {
    "the client is disabled": lambda tx, bank, client_id: clients.disable(tx, client_id),
    "the client is stopped": lambda tx, bank, client_id: switch.stop(tx, "client", client_id, "密钥泄露"),
    "the institution is stopped": lambda tx, bank, client_id: switch.stop(tx, "institution", bank, "密钥泄露"),
    "all are stopped": lambda tx, bank, client_id: switch.stop(tx, "all", None, "密钥泄露"),
    "the institution is closed": lambda tx, bank, client_id: institutions.act(tx, bank, "close", reason="合同终止"),
    "its networks are named": lambda tx, bank, client_id: institutions.change(tx, bank, {"networks": ["192.0.2.0/24"]}),
    "its keys are others": lambda tx, bank, client_id: clients.rotate_keys(
        tx, client_id, Keys(es256("key-1").jwks), timedelta()
    ),
    "its scopes are others": lambda tx, bank, client_id: tx.execute(
        update(models.client).where(models.client.c.id == client_id).values(scopes="consent:read")
    ),
    "its tokens must be bound": lambda tx, bank, client_id: tx.execute(
        update(models.client).where(models.client.c.id == client_id).values(dpop_bound=True)
    ),
    "it may sign by another algorithm only": lambda tx, bank, client_id: tx.execute(
        update(models.client).where(models.client.c.id == client_id).values(algorithms="PS256")
    ),
}  # fmt: skip


@pytest.mark.parametrize("act", ACTS)
def test_what_changed_counts_at_the_very_next_request(ways: Ways, signer: Signer, act: str) -> None:
    bank = factories.bank()
    client_id = remembered(signer, bank)
    asked = {"scope": "credit:query"}
    assert ways.is_short({**signer.form(client_id, PUBLIC_URL), **asked})
    with db.transaction() as tx:
        ACTS[act](tx, bank, client_id)
    before = counts()[0]
    for _ in range(2):
        assert ways.ask({**signer.form(client_id, PUBLIC_URL), **asked}).status_code >= 400
    assert counts()[0] == before
    assert ways.whole_taken == 2


def test_a_key_that_ends_by_itself_ends_on_the_short_way_too(
    ways: Ways, signer: Signer, client_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with db.transaction() as tx:
        clients.rotate_keys(tx, client_id, Keys(es256("key-2").jwks), timedelta(seconds=30))
    with db.reading() as reading:
        signing_clients.find(reading, client_id)
    assert ways.is_short(signer.form(client_id, PUBLIC_URL))
    later = clock.now() + timedelta(seconds=31)
    monkeypatch.setattr(clock, "now", lambda: later)
    ahead = {name: int(later.timestamp()) + plus for name, plus in (("iat", 0), ("exp", 60))}
    assert ways.ask(signer.form(client_id, PUBLIC_URL, **ahead)).json["error"] == "invalid_client"


def test_a_client_in_its_networks_goes_the_short_way_and_elsewhere_is_refused(ways: Ways, signer: Signer) -> None:
    bank = factories.bank()
    with db.transaction() as tx:
        institutions.change(tx, bank, {"networks": ["192.0.2.0/24"]})
    client_id = remembered(signer, bank)
    assert ways.is_short(signer.form(client_id, PUBLIC_URL), environ_base={"REMOTE_ADDR": "192.0.2.7"})
    elsewhere = ways.ask(signer.form(client_id, PUBLIC_URL), environ_base={"REMOTE_ADDR": "198.51.100.7"})
    assert (elsewhere.status_code, ways.whole_taken) == (403, 1)


def test_a_client_that_changed_and_may_still_ask_is_read_again(ways: Ways, signer: Signer, client_id: str) -> None:
    with db.transaction() as tx:
        clients.limit(tx, client_id, 7)
    assert not ways.is_short(signer.form(client_id, PUBLIC_URL))
    assert ways.is_short(signer.form(client_id, PUBLIC_URL))


def test_where_the_client_is_no_longer_as_it_was_seen_nothing_is_done(signer: Signer, client_id: str) -> None:
    seen = signing_clients.recall(client_id, clock.now())
    assert seen is not None
    parameters, use_once = seen.parameters(seen.client.keys[0]), issuing.Use(b"k" * 32, clock.now(), AssertionError)
    with db.transaction() as tx:
        clients.disable(tx, client_id)
    assert not issuing.store_as_seen(parameters, use_once, "secret", frozenset(SCOPES), client_id)
    assert counts() == (0, 0)
    with db.transaction() as tx:
        clients.enable(tx, client_id)
    assert issuing.store_as_seen(parameters, use_once, "secret", frozenset(SCOPES), client_id)
    assert not issuing.store_as_seen(parameters, use_once, "other", frozenset(SCOPES), client_id)
    assert counts() == (1, 1)


def granted(client_id: str, key: bytes, secret: str) -> issuing.Granted:
    seen = signing_clients.recall(client_id, clock.now())
    assert seen is not None
    row = tokens.row(secret, frozenset(SCOPES), tokens.CLIENT_TOKEN_LIFE, client_id=client_id)
    return issuing.Granted(
        seen.parameters(seen.client.keys[0]), issuing.Use(key * 32, clock.now(), AssertionError), row
    )


def test_of_several_stored_as_one_each_is_judged_by_itself(house: House) -> None:
    good, gone, other = (remembered(es256()) for _ in range(3))
    spent_before = granted(good, b"0", "zero")
    assert issuing.store_all_as_seen([spent_before]) == [True]
    with db.transaction() as tx:
        clients.disable(tx, gone)
    asked = [
        granted(other, b"5", "one"),
        granted(good, b"0", "its use was spent before"),
        granted(gone, b"3", "its client is another"),
        granted(good, b"1", "two"),
        granted(good, b"1", "the same use as the one before"),
        granted(good, b"2", "three"),
    ]
    assert issuing.store_all_as_seen(asked) == [True, False, False, True, False, True]
    assert counts() == (4, 4)
    kept = {tokens.token_hash(secret): owner for secret, owner in (("one", other), ("two", good), ("three", good))}
    with db.reading() as reading:
        rows = {row.hash: row for row in reading.execute(select(models.token))}
        until = reading.execute(select(models.spent.c.until).where(models.spent.c.key == b"2" * 32)).scalar_one()
    for secret, owner in kept.items():
        assert rows[secret].client == owner
    last = asked[-1]
    assert {**rows[last.row["hash"]]._mapping} == {"consent": None, "revoked_at": None, **last.row}
    assert until == last.use.until


# used once


def test_an_assertion_is_used_once_whichever_way_it_goes(ways: Ways, signer: Signer, client_id: str) -> None:
    for first, second in ((ways.ask, ways.ask_whole), (ways.ask_whole, ways.ask), (ways.ask, ways.ask)):
        form = signer.form(client_id, PUBLIC_URL)
        assert first(form).status_code == 200
        assert "used before" in second(form).json["error_description"]


def test_of_many_at_once_exactly_one_gets_a_token(open_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = es256("key-1")
    client_id = remembered(signer)
    app, jti = create_app(PUBLIC_URL), new_jti()
    form = {**GRANT, **signer.form(client_id, PUBLIC_URL, jti=jti)}
    acts = [partial(app.test_client().post, TOKEN, data=form) for _ in range(16)]
    assert sorted(each.status_code for each in at_once(acts)) == [200] + [401] * 15
    assert counts() == (1, 1)


def test_two_that_store_the_same_uses_in_opposite_order_do_not_wait_for_each_other(open_house: House) -> None:
    client_id = remembered(es256())
    keys = [bytes([number]) for number in range(40)]

    def storing(order: list[bytes], whose: str) -> list[bool]:
        asked = [granted(client_id, key, f"{whose} {key!r}") for key in order]
        return list(issuing.store_all_as_seen(asked))

    forth, back = at_once([partial(storing, keys, "forth"), partial(storing, keys[::-1], "back")])
    assert sum(forth) + sum(back) == len(keys)
    assert counts() == (len(keys), len(keys))


def test_many_at_once_get_a_token_each(open_house: House) -> None:
    signers = [es256() for _ in range(16)]
    app = create_app(PUBLIC_URL)
    ids = [remembered(signer) for signer in signers]

    def ask(client_id: str, signer: Signer) -> list[str]:
        client = app.test_client()
        forms = [{**GRANT, **signer.form(client_id, PUBLIC_URL)} for _ in range(5)]
        return [client.post(TOKEN, data=form).json["access_token"] for form in forms]

    told = at_once([partial(ask, client_id, signer) for client_id, signer in zip(ids, signers, strict=True)])
    assert len({tokens.token_hash(each) for secrets in told for each in secrets}) == 80
    with db.reading() as reading:
        by_client = select(models.token.c.client, func.count()).group_by(models.token.c.client)
        assert dict(map(tuple, reading.execute(by_client))) == dict.fromkeys(ids, 5)
    assert counts() == (80, 80)


def test_where_the_database_fails_the_whole_way_tells_so(
    ways: Ways, signer: Signer, client_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise OperationalError("", None, Exception())

    monkeypatch.setattr(issuing, "store_as_seen", fails)
    monkeypatch.setattr(issuing, "store", fails)
    refused = ways.ask(signer.form(client_id, PUBLIC_URL))
    assert (refused.status_code, refused.content_type) == (503, "application/problem+json")


def test_where_the_short_way_itself_fails_the_whole_way_answers_and_the_operator_reads_of_it(
    ways: Ways, signer: Signer, client_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("private")

    monkeypatch.setattr(issuing, "store_as_seen", fails)
    with capture_logs() as logged:
        assert not ways.is_short(signer.form(client_id, PUBLIC_URL))
    assert logged == [{"event": "short way failed", "log_level": "error", "path": TOKEN, "error": "ZeroDivisionError"}]


def test_no_more_clients_are_remembered_than_stated(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing_clients, "MOST_REMEMBERED", 2)
    ids = [remembered(es256()) for _ in range(3)]
    known = [signing_clients.recall(each, clock.now()) is not None for each in ids]
    assert known == [False, True, True]
