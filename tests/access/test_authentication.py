# SPDX-License-Identifier: Apache-2.0
"""private_key_jwt: what an assertion must be, and every way in which it can be wrong (RFC 7523, RFC 8725, FAPI 2.0)."""

import base64
import hashlib
import hmac
import json
import time
from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from flask.testing import FlaskClient
from sqlalchemy import func, select

from access import assertions, client_keys, clients, models, signing_clients
from access.client_keys import Keys
from app.application import create_app
from kernel import db
from kernel.errors import Invalid
from tests import factories
from tests.access.signing import ASSERTION_TYPE, GRANT, SIGNERS, Signer, b64, es256, new_jti, ps256
from tests.access.test_oauth import assert_refused, use
from tests.bureau.threads import at_once
from tests.conftest import PUBLIC_URL, House

SCOPES = ("credit:query", "consent:read")


@pytest.fixture
def signer() -> Signer:
    return es256("key-1")


@pytest.fixture
def client_id(house: House, signer: Signer) -> str:
    return register(signer)


def register(*signers: Signer, **more: Any) -> str:
    """A client of a new bank that signs with these keys; it is remembered, so that the short way is tried first."""
    bank, jwks = factories.bank(), {"keys": [each.jwk for each in signers]}
    keys = Keys(jwks, algorithms=tuple(more.pop("algorithms", ())))
    with db.transaction() as tx:
        client_id = clients.add_signing(tx, bank, SCOPES, keys, **more)
    with db.reading() as reading:
        signing_clients.find(reading, client_id)
    return client_id


def ask(client: FlaskClient, form: dict[str, str], endpoint: str = "token", **more: Any) -> Any:
    return client.post(f"/oauth/{endpoint}", data={**GRANT, "token": "x", **form}, **more)


def told(response: Any) -> str:
    assert_refused(response, 401, "invalid_client")
    return str(response.json["error_description"])


@pytest.mark.parametrize("algorithm", SIGNERS)
def test_a_client_that_signs_gets_a_token_with_each_algorithm(
    client: FlaskClient, house: House, algorithm: str
) -> None:
    signer = SIGNERS[algorithm]("key-1")
    client_id = register(signer)
    issued = ask(client, signer.form(client_id, PUBLIC_URL))
    assert (issued.status_code, issued.json["token_type"]) == (200, "Bearer")
    assert use(client, issued.json["access_token"]) == 200


def test_ed25519_is_one_algorithm_by_two_names(client: FlaskClient, house: House) -> None:
    signer = SIGNERS["EdDSA"]()
    client_id = register(signer)
    for name in ("EdDSA", "Ed25519"):
        assert ask(client, Signer(name, signer.key).form(client_id, PUBLIC_URL)).status_code == 200


def test_the_client_id_may_stand_in_the_form_and_must_then_be_the_assertions(
    client: FlaskClient, signer: Signer, client_id: str
) -> None:
    assert ask(client, {**signer.form(client_id, PUBLIC_URL), "client_id": client_id}).status_code == 200
    assert "client_id" in told(ask(client, {**signer.form(client_id, PUBLIC_URL), "client_id": "another"}))


def test_introspection_and_revocation_take_assertions_too(client: FlaskClient, signer: Signer, client_id: str) -> None:
    token = ask(client, signer.form(client_id, PUBLIC_URL)).json["access_token"]
    shown = ask(client, {**signer.form(client_id, PUBLIC_URL), "token": token}, "introspect")
    assert (shown.json["active"], shown.json["client_id"]) == (True, client_id)
    assert ask(client, {**signer.form(client_id, PUBLIC_URL), "token": token}, "revoke").status_code == 200
    assert use(client, token) == 401
    again = signer.form(client_id, PUBLIC_URL)
    for endpoint, status in (("introspect", 200), ("introspect", 401), ("revoke", 401), ("token", 401)):
        assert ask(client, again, endpoint).status_code == status


NOW = int(time.time())
BAD_CLAIMS: dict[str, dict[str, Any]] = {
    "aud a list": {"aud": [PUBLIC_URL]},
    "aud a list of many": {"aud": [PUBLIC_URL, "https://other.example"]},
    "aud the token endpoint": {"aud": f"{PUBLIC_URL}/oauth/token"},
    "aud with a slash": {"aud": f"{PUBLIC_URL}/"},
    "aud another server": {"aud": "https://other.example"},
    "aud in capitals": {"aud": PUBLIC_URL.upper()},
    "no aud": {"aud": None},
    "iss another": {"iss": "someone"},
    "no iss": {"iss": None},
    "sub another": {"sub": "someone"},
    "sub a number": {"sub": 1, "iss": 1},
    "no jti": {"jti": None},
    "empty jti": {"jti": ""},
    "jti a number": {"jti": 7},
    "jti too long": {"jti": "j" * 256},
    "no exp": {"exp": None},
    "exp a text": {"exp": str(NOW + 60)},
    "exp true": {"exp": True},
    "exp infinite": {"exp": 1e308},
    "expired": {"iat": NOW - 120, "exp": NOW - 60},
    "lives too long": {"exp": NOW + 3600},
    "lives too long, iat far ahead": {"iat": NOW + 3600, "exp": NOW + 3660},
    "lives too long, no iat": {"iat": None, "exp": NOW + 120},
    "iat ahead": {"iat": NOW + 30},
    "iat negative": {"iat": -1},
    "nbf ahead": {"nbf": NOW + 30},
}


@pytest.mark.parametrize("fault", BAD_CLAIMS)
def test_a_wrong_claim_is_refused(client: FlaskClient, signer: Signer, client_id: str, fault: str) -> None:
    moved = int(time.time()) - NOW
    changes = {
        name: value + moved if name in ("iat", "exp", "nbf") and type(value) is int and value > 0 else value
        for name, value in BAD_CLAIMS[fault].items()
    }
    refused = told(ask(client, signer.form(client_id, PUBLIC_URL, **changes)))
    assert refused.startswith("the client_assertion is not good: it")


def test_a_clock_a_little_ahead_and_a_claim_less_are_taken(client: FlaskClient, signer: Signer, client_id: str) -> None:
    now = int(time.time())
    ahead = {"iat": now + 5, "exp": now + 65, "nbf": now + 5}
    for changes in (ahead, {"iat": None, "exp": now + 50}, {"iat": now - 0.5, "exp": now + 59.5}):
        assert ask(client, signer.form(client_id, PUBLIC_URL, **changes)).status_code == 200, changes


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": True},
        {"crit": []},
        {"crit": "b64"},
        {"b64": False},
        {"jku": "https://attacker.example/jwks"},
        {"x5u": "https://attacker.example/cert"},
        {"x5c": ["MIIB"]},
        {"alg": "HS256"},
        {"alg": "RS256"},
        {"alg": "none"},
        {"alg": "None"},
        {"alg": "ES384"},
        {"alg": ["ES256"]},
        {"alg": ""},
        {"typ": "dpop+jwt"},
        {"typ": "at+jwt"},
        {"typ": 1},
        {"kid": "key-2"},
        {"kid": 1},
        {"kid": "../../dev/null"},
    ],
    ids=str,
)
def test_a_header_that_says_more_or_something_else_is_refused(
    client: FlaskClient, signer: Signer, client_id: str, header: dict[str, Any]
) -> None:
    told(ask(client, signer.form(client_id, PUBLIC_URL, header)))


@pytest.mark.parametrize("typ", [None, "JWT", "jwt", "client-authentication+jwt", "application/jwt"])
def test_a_fitting_type_or_none_is_taken(client: FlaskClient, signer: Signer, client_id: str, typ: str | None) -> None:
    assert ask(client, signer.form(client_id, PUBLIC_URL, {"typ": typ})).status_code == 200


def test_a_key_that_the_assertion_brings_is_not_believed(client: FlaskClient, signer: Signer, client_id: str) -> None:
    stranger = es256("key-1")
    told(ask(client, stranger.form(client_id, PUBLIC_URL, {"jwk": stranger.jwk})))
    told(ask(client, stranger.form(client_id, PUBLIC_URL)))
    told(ask(client, signer.form(client_id, PUBLIC_URL, {"jwk": signer.jwk})))


def test_no_signature_and_hmacs_under_keys_that_are_known_are_refused(
    client: FlaskClient, signer: Signer, client_id: str
) -> None:
    _, claims, _ = signer.assertion(client_id, PUBLIC_URL).split(".")
    pem_like = json.dumps(signer.jwk).encode()
    for name in ("none", "None", "NONE", "nOnE", "HS256", "HS512", "ES256"):
        header = b64(json.dumps({"alg": name, "kid": "key-1"}).encode())
        signed = f"{header}.{claims}"
        digests = [hmac.new(key, signed.encode(), hashlib.sha256).digest() for key in (b"", pem_like, b"\0" * 32)]
        for signature in ("", b64(b"\0" * 64), *(b64(digest) for digest in digests)):
            form = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": f"{signed}.{signature}"}
            told(ask(client, form))


def test_a_key_signs_by_its_own_algorithm_only(client: FlaskClient, house: House) -> None:
    """Alg confusion: the same RSA key by PKCS #1, an EC key's signature under another curve's name."""
    rsa_key = ps256()
    client_id = register(rsa_key)
    told(ask(client, Signer("RS256", rsa_key.key).form(client_id, PUBLIC_URL)))
    told(ask(client, rsa_key.form(client_id, PUBLIC_URL, {"alg": "ES256"})))
    told(ask(client, rsa_key.form(client_id, PUBLIC_URL, {"alg": "EdDSA"})))
    assert ask(client, rsa_key.form(client_id, PUBLIC_URL)).status_code == 200


def test_the_algorithms_that_a_client_is_registered_for_count(client: FlaskClient, house: House) -> None:
    elliptic, other = es256("e"), ps256("r")
    client_id = register(elliptic, other, algorithms=["ES256"])
    assert ask(client, elliptic.form(client_id, PUBLIC_URL)).status_code == 200
    told(ask(client, other.form(client_id, PUBLIC_URL)))


def test_an_assertion_is_good_for_its_own_client_only(client: FlaskClient, signer: Signer, client_id: str) -> None:
    other = es256("key-1")
    other_id = register(other)
    told(ask(client, other.form(client_id, PUBLIC_URL)))
    told(ask(client, signer.form(other_id, PUBLIC_URL)))
    told(ask(client, signer.form("nobody", PUBLIC_URL)))
    told(ask(client, signer.form("a\0b", PUBLIC_URL)))


def test_a_client_authenticates_in_its_own_way_only(client: FlaskClient, signer: Signer, client_id: str) -> None:
    bank = factories.bank()
    with db.transaction() as tx:
        secret_id, secret = clients.add(tx, bank, SCOPES)
    told(ask(client, signer.form(secret_id, PUBLIC_URL)))
    for password in ("", "x", secret):
        told(ask(client, {}, auth=(client_id, password)))
    assert_refused(ask(client, signer.form(client_id, PUBLIC_URL), auth=(secret_id, secret)), 400, "invalid_request")


@pytest.mark.parametrize("kind", [None, "", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"])
def test_the_type_of_an_assertion_must_be_said(
    client: FlaskClient, signer: Signer, client_id: str, kind: str | None
) -> None:
    form = signer.form(client_id, PUBLIC_URL)
    del form["client_assertion_type"]
    response = ask(client, {**form, **({} if kind is None else {"client_assertion_type": kind})})
    assert_refused(response, 400, "invalid_request")


def test_an_assertion_is_used_once_however_it_is_spelt(client: FlaskClient, signer: Signer, client_id: str) -> None:
    form = signer.form(client_id, PUBLIC_URL)
    assert ask(client, form).status_code == 200
    assert "used before" in told(ask(client, form))
    for spelling in respelt(form["client_assertion"]):
        told(ask(client, {**form, "client_assertion": spelling}))
    header, claims, signature = form["client_assertion"].split(".")
    r, s = (int.from_bytes(part, "big") for part in halves(unb64(signature)))
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    twin = b64(r.to_bytes(32, "big") + (order - s).to_bytes(32, "big"))  # as valid a signature as the first
    assert "used before" in told(ask(client, {**form, "client_assertion": f"{header}.{claims}.{twin}"}))
    same_jti = json.loads(unb64(claims))["jti"]
    assert "used before" in told(ask(client, signer.form(client_id, PUBLIC_URL, jti=same_jti)))


def respelt(text: str) -> list[str]:
    """Other spellings of a JWT that lenient decoders take for the same."""
    parts = text.split(".")
    padded = [part + "=" * (-len(part) % 4) for part in parts]
    standard = [part.replace("-", "+").replace("_", "/") for part in parts]
    stray = parts[2][:-1] + chr(ord(parts[2][-1]) + 1)
    return [
        ".".join(padded),
        ".".join([*parts[:2], padded[2]]),
        ".".join([*parts[:2], parts[2] + "="]),
        ".".join([*parts[:2], parts[2] + "=="]),
        ".".join([*parts[:2], stray]),
        ".".join([parts[0], parts[1] + "\n", parts[2]]),
        " " + text,
        text + "\n",
        text + ".",
        *([".".join(standard)] if standard != parts else []),
    ]


def test_every_other_spelling_is_refused_when_it_comes_first_too(
    client: FlaskClient, signer: Signer, client_id: str
) -> None:
    for place in range(10):
        spellings = respelt(signer.assertion(client_id, PUBLIC_URL))
        if place < len(spellings):
            told(ask(client, {"client_assertion_type": ASSERTION_TYPE, "client_assertion": spellings[place]}))


def test_whoever_failed_later_has_used_its_assertion_up(client: FlaskClient, signer: Signer, client_id: str) -> None:
    form = signer.form(client_id, PUBLIC_URL)
    assert_refused(ask(client, {**form, "scope": "admin"}), 400, "invalid_scope")
    assert "used before" in told(ask(client, form))


def test_a_jti_is_each_clients_own(client: FlaskClient, signer: Signer, client_id: str) -> None:
    other = register(signer)
    jti = new_jti()
    for each in (client_id, other):
        assert ask(client, signer.form(each, PUBLIC_URL, jti=jti)).status_code == 200


def test_of_many_at_once_with_one_jti_exactly_one_gets_a_token(open_house: House) -> None:
    signer = es256("key-1")
    client_id = register(signer)
    app = create_app(PUBLIC_URL)
    jti = new_jti()
    forms = [signer.form(client_id, PUBLIC_URL, jti=jti) for _ in range(2)]
    acts = [partial(ask, app.test_client(), forms[number % 2]) for number in range(16)]
    assert sorted(each.status_code for each in at_once(acts)) == [200] + [401] * 15
    with db.reading() as reading:
        assert reading.scalar(select(func.count()).select_from(models.token)) == 1
        assert reading.scalar(select(func.count()).select_from(models.spent)) == 1


def test_what_is_too_large_is_refused_before_it_is_parsed(
    client: FlaskClient, signer: Signer, client_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("it was parsed")

    large = signer.form(client_id, PUBLIC_URL, padding="x" * assertions.MOST_BYTES)
    monkeypatch.setattr("kernel.jose.urlsafe_b64decode", never)
    assert "longer than" in told(ask(client, large))
    assert ask(client, {**large, "client_assertion": "a" * 70_000}).status_code == 413
    header = b64(json.dumps({"alg": "ES256", "x": "x" * 4000}).encode())
    told(ask(client, {**large, "client_assertion": f"{header}.e30.x"}))


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "...", "a.b", "a.b.c.d.e", "é.é.é", "e30.e30.e30", "W10.W10.", "bnVsbA.bnVsbA.", "%.%.%",
     b64(b'{"alg":"ES256"}') + "." + b64(b"[" * 2000) + ".AA", b64(b'{"alg":"ES256"') + ".e30.AA",
     b64(b'{"alg":"ES256","a":NaN}') + ".e30.AA", b64(b"\xff{}") + ".e30.AA"],
    ids=range(15),
)  # fmt: skip
def test_what_is_no_jwt_is_refused(client: FlaskClient, house: House, text: str) -> None:
    told(ask(client, {"client_assertion_type": ASSERTION_TYPE, "client_assertion": text}))


def test_refusals_tell_nothing_of_who_exists(client: FlaskClient, signer: Signer, client_id: str) -> None:
    stranger = es256("key-1")
    bodies = {
        ask(client, stranger.form(client_id, PUBLIC_URL)).data,
        ask(client, stranger.form("nobody", PUBLIC_URL)).data,
        ask(client, stranger.form(client_id, PUBLIC_URL, {"kid": "key-9"})).data,
    }
    with db.transaction() as tx:
        clients.disable(tx, client_id)
    bodies.add(ask(client, signer.form(client_id, PUBLIC_URL)).data)
    assert len(bodies) == 1


def test_failures_of_signing_clients_lock_nobody_out(client: FlaskClient, signer: Signer, client_id: str) -> None:
    for _ in range(30):
        told(ask(client, es256("key-1").form(client_id, PUBLIC_URL)))
    assert ask(client, signer.form(client_id, PUBLIC_URL)).status_code == 200


def test_weak_private_and_foreign_keys_are_not_registered(house: House, signer: Signer) -> None:
    small, curve = rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP384R1())
    symmetric = {"kty": "oct", "k": b64(b"k" * 32)}
    private = {**signer.jwk, "d": b64(b"\1" * 32)}
    bad: list[Any] = [
        {"keys": []}, {"keys": "x"}, {}, {"keys": [symmetric]}, {"keys": [private]}, {"keys": [signer.jwk, symmetric]},
        {"keys": [Signer("PS256", small).jwk]}, {"keys": [Signer("ES384", curve).jwk]}, {"keys": [1]},
        {"keys": [{**signer.jwk, "use": "enc"}]}, {"keys": [{**signer.jwk, "key_ops": ["sign"]}]},
        {"keys": [{**signer.jwk, "alg": "RS256"}]}, {"keys": [{**signer.jwk, "kid": 7}]},
        {"keys": [{**signer.jwk, "x": b64(b"\1" * 32)}]}, {"keys": [signer.jwk, signer.jwk]},
        {"keys": [es256().jwk for _ in range(client_keys.MOST_KEYS + 1)]},
        {"keys": [{"kty": "RSA", "n": "AA", "e": "AQAB"}]},
    ]  # fmt: skip
    for jwks in bad:
        with pytest.raises(Invalid):
            client_keys.checked(jwks)
    assert client_keys.checked(signer.jwks)[0]["kid"] == "key-1"


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def halves(content: bytes) -> tuple[bytes, bytes]:
    return content[: len(content) // 2], content[len(content) // 2 :]
