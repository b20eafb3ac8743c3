# SPDX-License-Identifier: Apache-2.0
"""A code that is bound to a key from the push on (RFC 9449 §10), and the token that it buys."""

from typing import Any

import pytest
from flask import Flask

from access import clients, dpop
from access.client_keys import Keys
from kernel import clock, db, ids
from tests.access.signing import Signer, es256, ps256
from tests.conftest import PUBLIC_URL
from tests.consent.redirecting import BACK, SCOPES, Bank, Person

PAR, TOKEN, QUERIES = (f"{PUBLIC_URL}{path}" for path in ("/oauth/par", "/oauth/token", "/v1/credit-queries"))
WAYS = pytest.mark.parametrize("way", ["named", "shown", "named and shown"])


@pytest.fixture
def bank(app: Flask) -> Bank:
    return Bank(app)


@pytest.fixture
def person(app: Flask) -> Person:
    return Person(app)


@pytest.fixture
def holder() -> Signer:
    return es256()


def proof(holder: Signer, url: str, token: str | None = None, **changes: Any) -> str:
    return holder.proof("POST", url, changes.pop("nonce", dpop.nonce(clock.now())), token, **changes)


def binding(holder: Signer, way: str) -> dict[str, str]:
    """How a push binds its code: the key's thumbprint in the form, a proof in the header, or both."""
    named = {"dpop_jkt": holder.thumbprint} if "named" in way else {}
    return named | ({"proof": proof(holder, PAR)} if "shown" in way else {})


def code_of(bank: Bank, person: Person, **pushed: Any) -> str:
    return person.grant(bank.ask(**pushed))["code"]


def ask(bank: Bank, person: Person, token: str, proven: str | None, scheme: str = "DPoP") -> Any:
    headers = {"Authorization": f"{scheme} {token}", "Idempotency-Key": ids.new_id()}
    body = {"uscc": person.uscc, "purpose": "pre_loan", "product": "records", "operator": "OP-00042"}
    return bank.http.post(
        "/v1/credit-queries", json=body, headers=headers | ({"DPoP": proven} if proven is not None else {})
    )


def assert_refused(answer: Any, error: str) -> None:
    assert (answer.status_code, answer.json["error"]) == (400, error), answer.json


@WAYS
def test_a_code_is_redeemed_with_the_key_that_its_push_named(
    bank: Bank, person: Person, holder: Signer, way: str
) -> None:
    code = code_of(bank, person, **binding(holder, way))
    bought = bank.redeem(code, proof=proof(holder, TOKEN))
    assert (bought.status_code, bought.json["token_type"]) == (200, "DPoP"), bought.json
    token = bought.json["access_token"]
    shown = bank.http.post("/oauth/introspect", data={"token": token}, auth=bank.auth).json
    assert (shown["token_type"], shown["cnf"]) == ("DPoP", {"jkt": holder.thumbprint})
    answered = ask(bank, person, token, proof(holder, QUERIES, token))
    assert answered.status_code == 200, answered.json
    assert answered.json["consent_id"] == bought.json["authorization_details"][0]["consent_id"]


@WAYS
def test_another_key_and_no_key_redeem_nothing_and_leave_the_code_to_its_own(
    bank: Bank, person: Person, holder: Signer, way: str
) -> None:
    code = code_of(bank, person, **binding(holder, way))
    for wrong in (None, proof(es256(), TOKEN), proof(ps256(), TOKEN)):
        assert_refused(bank.redeem(code, proof=wrong), "invalid_grant")
    assert_refused(bank.redeem(code, proof=proof(es256(), TOKEN), dpop_jkt=holder.thumbprint), "invalid_grant")
    swapped = proof(es256(), TOKEN, header={"jwk": holder.jwk})
    assert_refused(bank.redeem(code, proof=swapped), "invalid_dpop_proof")
    assert bank.redeem(code, proof=proof(holder, TOKEN)).status_code == 200


def test_the_token_is_worth_nothing_without_its_key(bank: Bank, person: Person, holder: Signer) -> None:
    code = code_of(bank, person, dpop_jkt=holder.thumbprint)
    token = bank.redeem(code, proof=proof(holder, TOKEN)).json["access_token"]
    good = proof(holder, QUERIES, token)
    for scheme, proven, slug in (
        ("Bearer", None, "token-is-bound"),
        ("Bearer", good, "token-is-bound"),
        ("DPoP", None, "invalid-dpop-proof"),
        ("DPoP", proof(es256(), QUERIES, token), "invalid-token"),
        ("DPoP", proof(holder, QUERIES), "invalid-dpop-proof"),
        ("DPoP", proof(holder, QUERIES, token, nonce=None), "use-dpop-nonce"),
    ):
        refused = ask(bank, person, token, proven, scheme)
        assert (refused.status_code, refused.json["type"].rpartition("/")[2]) == (401, slug)
    assert [ask(bank, person, token, good).status_code for _ in range(2)] == [200, 401]


def test_at_the_push_and_at_the_code_a_nonce_is_told_and_nothing_used_up(app: Flask, person: Person) -> None:
    holder, signer = es256(), ps256("of the client")
    bank = Bank(app)
    with db.transaction() as tx:
        signing = clients.add_signing(
            tx, bank.institution, SCOPES, Keys(signer.jwks), dpop_bound=True, redirect_uris=(BACK,)
        )
    pushed = bank.parameters(client_id=signing) | signer.form(signing, PUBLIC_URL)
    code_form = {"grant_type": "authorization_code", "redirect_uri": BACK, "code_verifier": bank.verifier}

    def post(path: str, form: dict[str, str], nonce: str | None) -> Any:
        proven = proof(holder, f"{PUBLIC_URL}{path}", nonce=nonce)
        return bank.http.post(path, data=form, headers={"DPoP": proven})

    first = post("/oauth/par", pushed, None)
    assert_refused(first, "use_dpop_nonce")
    asked = post("/oauth/par", pushed, first.headers["DPoP-Nonce"])  # the very same assertion
    assert asked.status_code == 201, asked.json
    again = post("/oauth/par", pushed, first.headers["DPoP-Nonce"])
    assert (again.status_code, again.json["error"]) == (401, "invalid_client")
    link = f"/oauth/authorize?client_id={signing}&request_uri={asked.json['request_uri']}"
    form = code_form | {"code": person.grant(link)["code"]} | signer.form(signing, PUBLIC_URL)
    assert_refused(post("/oauth/token", form, "of another day"), "use_dpop_nonce")
    assert post("/oauth/token", form, dpop.nonce(clock.now())).json["token_type"] == "DPoP"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"htu": TOKEN}, "invalid_dpop_proof"),
        ({"htm": "GET"}, "invalid_dpop_proof"),
        ({"iat": 1}, "invalid_dpop_proof"),
        ({"jti": None}, "invalid_dpop_proof"),
        ({"header": {"typ": "JWT"}}, "invalid_dpop_proof"),
        ({"header": {"alg": "none"}}, "invalid_dpop_proof"),
    ],
)
def test_a_push_with_a_proof_that_is_not_its_own_is_refused(
    bank: Bank, holder: Signer, changes: dict[str, Any], error: str
) -> None:
    assert_refused(bank.push(proof=proof(holder, PAR, **changes)), error)


def test_a_proof_pushes_once(bank: Bank, holder: Signer) -> None:
    once = proof(holder, PAR)
    assert bank.push(proof=once).status_code == 201
    assert_refused(bank.push(proof=once), "invalid_dpop_proof")


def test_a_push_that_names_one_key_and_shows_another_is_refused(bank: Bank, holder: Signer) -> None:
    assert_refused(bank.push(proof=proof(holder, PAR), dpop_jkt=es256().thumbprint), "invalid_request")


def test_a_client_whose_tokens_are_bound_redeems_no_code_without_a_proof(app: Flask, person: Person) -> None:
    bank, holder = Bank(app), es256()
    with db.transaction() as tx:
        bank.auth = clients.add(tx, bank.institution, SCOPES, redirect_uris=(BACK,), dpop_bound=True)
    code = code_of(bank, person)  # no key was named: the first that is shown becomes the token's
    assert_refused(bank.redeem(code), "invalid_request")
    bought = bank.redeem(code, proof=proof(holder, TOKEN)).json
    assert bought["token_type"] == "DPoP"


def test_a_code_without_a_key_buys_a_bound_token_for_whoever_shows_one(
    bank: Bank, person: Person, holder: Signer
) -> None:
    bought = bank.redeem(code_of(bank, person), proof=proof(holder, TOKEN)).json
    assert bought["token_type"] == "DPoP"
    assert ask(bank, person, bought["access_token"], None, "Bearer").status_code == 401


def test_a_code_that_comes_back_with_its_key_ends_the_bound_token(bank: Bank, person: Person, holder: Signer) -> None:
    code = code_of(bank, person, dpop_jkt=holder.thumbprint)
    token = bank.redeem(code, proof=proof(holder, TOKEN)).json["access_token"]
    assert_refused(bank.redeem(code, proof=proof(holder, TOKEN)), "invalid_grant")
    assert ask(bank, person, token, proof(holder, QUERIES, token)).status_code == 401
