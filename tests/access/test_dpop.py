# SPDX-License-Identifier: Apache-2.0
"""Tokens bound to a key, and the proofs that must come with them (RFC 9449), at both ends."""

import re
import time
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from access import clients, dpop, models, spent
from access.client_keys import Keys
from app.application import create_app
from kernel import clock, db
from tests import factories
from tests.access.signing import GRANT, SIGNERS, Signer, b64, es256, new_jti, ps256
from tests.bureau.threads import at_once
from tests.conftest import PUBLIC_URL, House
from tests.kernel.test_problems import assert_problem

TOKEN_URL, RESOURCE = f"{PUBLIC_URL}/oauth/token", f"{PUBLIC_URL}/v1/consents"
SCOPES = ("credit:query", "consent:read")


@pytest.fixture
def signer() -> Signer:
    return es256()


@pytest.fixture
def client_id(house: House, signer: Signer) -> str:
    """A client whose tokens must be bound."""
    return register(signer)


def register(signer: Signer, *, dpop_bound: bool = True) -> str:
    bank = factories.bank()
    with db.transaction() as tx:
        return clients.add_signing(tx, bank, SCOPES, Keys(signer.jwks), dpop_bound=dpop_bound)


def nonce() -> str:
    return dpop.nonce(clock.now())


def request_token(client: FlaskClient, signer: Signer, client_id: str, proof: str | None) -> Any:
    headers = {} if proof is None else {"DPoP": proof}
    return client.post("/oauth/token", data={**GRANT, **signer.form(client_id, PUBLIC_URL)}, headers=headers)


def bound_token(client: FlaskClient, signer: Signer, client_id: str, holder: Signer | None = None) -> str:
    issued = request_token(client, signer, client_id, (holder or signer).proof("POST", TOKEN_URL, nonce()))
    assert (issued.status_code, issued.json["token_type"]) == (200, "DPoP"), issued.json
    return str(issued.json["access_token"])


def read(client: FlaskClient, token: str, proof: str | None, scheme: str = "DPoP", query: str = "") -> Any:
    headers = {"Authorization": f"{scheme} {token}", **({"DPoP": proof} if proof is not None else {})}
    return client.get(f"/v1/consents{query}", headers=headers)


def refused(response: Any, slug: str, error: str, scheme: str = "DPoP") -> None:
    assert_problem(response, 401, slug)
    assert response.headers["WWW-Authenticate"].startswith(f'{scheme} realm="bureau", error="{error}"')


@pytest.mark.parametrize("algorithm", SIGNERS)
def test_a_bound_token_is_used_with_a_proof_for_each_request(client: FlaskClient, house: House, algorithm: str) -> None:
    signer = SIGNERS[algorithm]()
    client_id = register(signer)
    token = bound_token(client, signer, client_id)
    for query in ("", "?limit=5", "?limit=5&cursor="):
        path = RESOURCE if query else f"{RESOURCE}?x=1#y"
        proof = signer.proof("GET", path, nonce(), token)
        assert read(client, token, proof, query="" if "cursor" in query else query).status_code == 200


def test_without_a_nonce_the_client_is_told_one_and_tries_again(
    client: FlaskClient, signer: Signer, client_id: str
) -> None:
    first = request_token(client, signer, client_id, signer.proof("POST", TOKEN_URL))
    assert (first.status_code, first.json["error"]) == (400, "use_dpop_nonce")
    assert first.headers["Cache-Control"] == "no-store"
    token = request_token(client, signer, client_id, signer.proof("POST", TOKEN_URL, first.headers["DPoP-Nonce"])).json
    access = token["access_token"]
    at_resource = read(client, access, signer.proof("GET", RESOURCE, None, access))
    refused(at_resource, "use-dpop-nonce", "use_dpop_nonce")
    assert 'algs="ES256 PS256 EdDSA Ed25519"' in at_resource.headers["WWW-Authenticate"]
    again = read(client, access, signer.proof("GET", RESOURCE, at_resource.headers["DPoP-Nonce"], access))
    assert (again.status_code, again.headers.get("DPoP-Nonce")) == (200, None)


def test_asking_for_a_nonce_uses_no_assertion_up(client: FlaskClient, signer: Signer, client_id: str) -> None:
    form = {**GRANT, **signer.form(client_id, PUBLIC_URL)}
    first = client.post("/oauth/token", data=form, headers={"DPoP": signer.proof("POST", TOKEN_URL)})
    headers = {"DPoP": signer.proof("POST", TOKEN_URL, first.headers["DPoP-Nonce"])}
    assert client.post("/oauth/token", data=form, headers=headers).status_code == 200


def test_a_nonce_is_the_same_in_all_workers_and_lives_for_a_minute_or_two(
    client: FlaskClient, signer: Signer, client_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    minute = clock.now().replace(second=0, microsecond=0)
    assert (
        dpop.nonce(minute) == dpop.nonce(minute + timedelta(seconds=59.9)) != dpop.nonce(minute + timedelta(minutes=1))
    )
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", dpop.nonce(minute))
    old = dpop.nonce(minute)
    for seconds, status in ((0, 200), (59, 200), (60, 200), (119, 200), (120, 400), (-1, 400)):
        now = minute + timedelta(seconds=seconds)
        monkeypatch.setattr(clock, "now", lambda now=now: now)
        monkeypatch.setattr(time, "time", now.timestamp)
        asked = request_token(client, signer, client_id, signer.proof("POST", TOKEN_URL, old))
        assert asked.status_code == status, seconds
        newest = asked.headers.get("DPoP-Nonce", old)
        assert newest == dpop.nonce(now)
        assert (newest == old) == (0 <= seconds < 60)


def test_a_client_whose_tokens_are_bound_gets_no_other(client: FlaskClient, signer: Signer, client_id: str) -> None:
    plain = request_token(client, signer, client_id, None)
    assert (plain.status_code, plain.json["error"]) == (400, "invalid_request")
    with db.reading() as reading:
        assert reading.scalar(select(func.count()).select_from(models.token)) == 0


def test_any_client_may_have_its_token_bound_and_need_not(client: FlaskClient, house: House, signer: Signer) -> None:
    client_id, holder = register(signer, dpop_bound=False), ps256()
    token = bound_token(client, signer, client_id, holder)
    assert read(client, token, holder.proof("GET", RESOURCE, nonce(), token)).status_code == 200
    plain = request_token(client, signer, client_id, None).json
    assert plain["token_type"] == "Bearer"
    assert read(client, plain["access_token"], None, "Bearer").status_code == 200


def test_a_bound_token_is_worth_nothing_without_its_key(client: FlaskClient, signer: Signer, client_id: str) -> None:
    token, thief = bound_token(client, signer, client_id), es256()
    plain = read(client, token, None, "Bearer")
    refused(plain, "token-is-bound", "invalid_token", "Bearer")
    assert 'DPoP realm="bureau", algs=' in plain.headers["WWW-Authenticate"]
    with_proof = signer.proof("GET", RESOURCE, nonce(), token)
    refused(read(client, token, with_proof, "Bearer"), "token-is-bound", "invalid_token", "Bearer")
    refused(read(client, token, None), "invalid-dpop-proof", "invalid_dpop_proof")
    refused(read(client, token, thief.proof("GET", RESOURCE, nonce(), token)), "invalid-token", "invalid_token")
    swapped = replace(thief).proof("GET", RESOURCE, nonce(), token, header={"jwk": signer.jwk})
    refused(read(client, token, swapped), "invalid-dpop-proof", "invalid_dpop_proof")
    assert read(client, token, with_proof).status_code == 200  # nobody has used it up


def test_an_unbound_token_and_a_session_are_no_dpop_tokens(client: FlaskClient, house: House, signer: Signer) -> None:
    session = factories.signatory(factories.new_uscc())
    for token in (factories.token(factories.bank()), session, "unknown"):
        refused(read(client, token, signer.proof("GET", RESOURCE, nonce(), token)), "invalid-token", "invalid_token")


def test_a_proof_is_used_once(client: FlaskClient, signer: Signer, client_id: str) -> None:
    token = bound_token(client, signer, client_id)
    proof = signer.proof("GET", RESOURCE, nonce(), token)
    assert read(client, token, proof).status_code == 200
    refused(read(client, token, proof), "invalid-dpop-proof", "invalid_dpop_proof")
    refused(read(client, token, proof + "="), "invalid-dpop-proof", "invalid_dpop_proof")
    jti = new_jti()
    for status in (200, 401):
        assert read(client, token, signer.proof("GET", RESOURCE, nonce(), token, jti=jti)).status_code == status
    at_endpoint = signer.proof("POST", TOKEN_URL, nonce())
    assert request_token(client, signer, client_id, at_endpoint).status_code == 200
    again = request_token(client, signer, client_id, at_endpoint)
    assert (again.status_code, again.json["error"]) == (400, "invalid_dpop_proof")


def test_of_many_at_once_with_one_proof_exactly_one_passes(open_house: House, signer: Signer) -> None:
    client_id, app = register(signer), create_app(PUBLIC_URL)
    proof = signer.proof("POST", TOKEN_URL, nonce())
    acts = [partial(request_token, app.test_client(), signer, client_id, proof) for _ in range(8)]
    assert sorted(each.status_code for each in at_once(acts)) == [200] + [400] * 7
    token = bound_token(app.test_client(), signer, client_id)
    proof = signer.proof("GET", RESOURCE, nonce(), token)
    uses = [partial(read, app.test_client(), token, proof) for _ in range(8)]
    assert sorted(each.status_code for each in at_once(uses)) == [200] + [401] * 7
    with db.transaction() as tx:
        assert spent.tidy(tx) == 0  # all of it could still come back


NOW = int(time.time())
FAULTS: dict[str, dict[str, Any]] = {
    "htm another": {"htm": "POST"},
    "htm in small letters": {"htm": "get"},
    "no htm": {"htm": None},
    "htu another path": {"htu": f"{PUBLIC_URL}/v1/consent"},
    "htu another host": {"htu": "https://bureau.example.attacker.example/v1/consents"},
    "htu plain http": {"htu": RESOURCE.replace("https:", "http:")},
    "htu another port": {"htu": RESOURCE.replace("example/", "example:8443/")},
    "htu with a user": {"htu": RESOURCE.replace("//", "//user@")},
    "htu a path alone": {"htu": "/v1/consents"},
    "htu with dots": {"htu": f"{PUBLIC_URL}/v1/x/../consents"},
    "htu no URL": {"htu": "https://[x"},
    "no htu": {"htu": None},
    "ath of another token": {"ath": b64(b"\0" * 32)},
    "no ath": {"ath": None},
    "iat ahead": {"iat": NOW + 30},
    "iat old": {"iat": NOW - 90},
    "no iat": {"iat": None},
    "iat a text": {"iat": "now"},
    "no jti": {"jti": None},
    "jti too long": {"jti": "j" * 256},
    "typ of a JWT": {"header": {"typ": "JWT"}},
    "no typ": {"header": {"typ": None}},
    "no jwk": {"header": {"jwk": None}},
    "jwk no object": {"header": {"jwk": "x"}},
    "jwk symmetric": {"header": {"jwk": {"kty": "oct", "k": "AAAA"}}},
    "crit": {"header": {"crit": ["x"], "x": 1}},
    "jku": {"header": {"jku": "https://attacker.example"}},
    "none": {"header": {"alg": "none"}},
    "HMAC": {"header": {"alg": "HS256"}},
    "too large": {"padding": "x" * dpop.MOST_BYTES},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_proof_that_is_not_this_requests_is_refused(
    client: FlaskClient, signer: Signer, client_id: str, fault: str
) -> None:
    token, moved = bound_token(client, signer, client_id), int(time.time()) - NOW
    changes = {
        name: value + moved if name == "iat" and isinstance(value, int) else value
        for name, value in FAULTS[fault].items()
    }
    proof = signer.proof("GET", RESOURCE, nonce(), token, **changes)
    refused(read(client, token, proof), "invalid-dpop-proof", "invalid_dpop_proof")


def test_a_proof_with_a_private_key_is_refused(client: FlaskClient, signer: Signer, client_id: str) -> None:
    private = {**signer.jwk, "d": b64(signer.key.private_numbers().private_value.to_bytes(32, "big"))}
    asked = request_token(client, signer, client_id, signer.proof("POST", TOKEN_URL, nonce(), header={"jwk": private}))
    assert (asked.status_code, asked.json["error"]) == (400, "invalid_dpop_proof")


def test_two_proofs_are_none(client: FlaskClient, signer: Signer, client_id: str) -> None:
    token = bound_token(client, signer, client_id)
    both = ",".join(signer.proof("GET", RESOURCE, nonce(), token) for _ in range(2))
    refused(read(client, token, both), "invalid-dpop-proof", "invalid_dpop_proof")


def test_a_place_may_be_spelt_as_urls_may(client: FlaskClient, signer: Signer, client_id: str) -> None:
    token = bound_token(client, signer, client_id)
    for htu in (
        "HTTPS://Bureau.Example/v1/consents",
        "https://bureau.example:443/v1/consents",
        "https://bureau.example/v1/%63onsents",
        f"{RESOURCE}?a=b#c",
    ):
        assert read(client, token, signer.proof("GET", htu, nonce(), token)).status_code == 200, htu


def test_introspection_shows_the_key_and_revocation_ends_a_bound_token(
    client: FlaskClient, signer: Signer, client_id: str
) -> None:
    token = bound_token(client, signer, client_id)
    form = {"token": token, **signer.form(client_id, PUBLIC_URL)}
    told = client.post("/oauth/introspect", data=form).json
    assert (told["active"], told["token_type"], told["cnf"]) == (True, "DPoP", {"jkt": signer.thumbprint})
    form = {"token": token, **signer.form(client_id, PUBLIC_URL)}
    assert client.post("/oauth/revoke", data=form).status_code == 200
    refused(read(client, token, signer.proof("GET", RESOURCE, nonce(), token)), "invalid-token", "invalid_token")


def test_a_scope_that_a_bound_token_lacks_is_said_in_its_scheme(
    client: FlaskClient, signer: Signer, client_id: str
) -> None:
    token = bound_token(client, signer, client_id)
    headers = {"Authorization": f"DPoP {token}"}
    headers["DPoP"] = signer.proof("GET", f"{PUBLIC_URL}/v1/institutions", nonce(), token)
    response = client.get("/v1/institutions", headers=headers)
    assert_problem(response, 403, "insufficient-scope")
    assert response.headers["WWW-Authenticate"].startswith('DPoP realm="bureau", error="insufficient_scope"')


def test_bearer_tokens_cost_no_write_at_a_resource(client: FlaskClient, house: House) -> None:
    token = factories.token(factories.bank())
    assert read(client, token, None, "Bearer").status_code == 200
    with db.reading() as reading:
        assert reading.scalar(select(func.count()).select_from(models.spent_proof)) == 0


def test_what_can_no_longer_come_back_is_forgotten(
    client: FlaskClient, signer: Signer, client_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = bound_token(client, signer, client_id)
    assert read(client, token, signer.proof("GET", RESOURCE, nonce(), token)).status_code == 200
    later = clock.now() + timedelta(minutes=10)
    monkeypatch.setattr(clock, "now", lambda: later)
    with db.transaction() as tx:
        assert spent.tidy(tx) == 3  # an assertion, and two proofs
