# SPDX-License-Identifier: Apache-2.0
"""The enterprise's own signature over a grant, and the bureau's over each version."""

import base64
import hmac
import json
import time
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from flask.testing import FlaskClient
from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from kernel import db, ids, signing
from tests import factories
from tests.kernel.test_problems import assert_problem

KEYS: dict[str, Any] = {
    "ES256": lambda: ECKey.generate_key("P-256"),
    "PS256": lambda: RSAKey.generate_key(2048),
    "Ed25519": lambda: OKPKey.generate_key("Ed25519"),
}


class Enterprise:
    """An enterprise whose signatory signs in and signs."""

    def __init__(self, client: FlaskClient) -> None:
        self.client, self.uscc = client, factories.new_uscc()
        self.headers = {"Authorization": f"Bearer {factories.signatory(self.uscc)}"}

    def register(self, key: Key, **more: Any) -> Any:
        path = f"/v1/enterprises/{self.uscc}/keys"
        return self.client.post(path, json={"jwk": {**key.as_dict(private=False), **more}}, headers=self.headers)

    def body(self, **changes: Any) -> dict[str, Any]:
        evidence = {"channel": "api", "method": "electronic_signature", "signatory": "法定代表人"}
        terms = {"grantee": "platform", "classes": [1, 2], "purposes": ["pre_loan"], "evidence": evidence}
        return {"uscc": self.uscc, **terms, **changes}

    def grant(self, body: dict[str, Any]) -> Any:
        return self.client.post("/v1/consents", json=body, headers={**self.headers, "Idempotency-Key": ids.new_id()})


def sign(body: dict[str, Any], key: Any, alg: str, **header: Any) -> dict[str, Any]:
    """The body with a detached JWS over its own canonical JSON, made by other people's implementations."""
    protected = {"alg": alg, "kid": key.thumbprint(), "iat": int(time.time()), **header}
    protected = {name: value for name, value in protected.items() if value is not None}
    attached = jws.serialize_compact(protected, rfc8785.dumps(body), key, algorithms=[alg], registry=LENIENT)
    return {**body, "evidence": {**body["evidence"], "jws": jws.detach_content(attached)}}


LENIENT = jws.JWSRegistry(algorithms=["ES256", "PS256", "Ed25519", "HS256", "none", "RS256"], strict_check_header=False)


@pytest.fixture
def enterprise(client: FlaskClient) -> Enterprise:
    return Enterprise(client)


@pytest.mark.parametrize("alg", KEYS)
def test_a_signed_grant_is_kept_with_what_was_signed(enterprise: Enterprise, alg: str) -> None:
    key = KEYS[alg]()
    assert enterprise.register(key).status_code == 201
    body = enterprise.body()
    given = enterprise.grant(sign(body, key, alg))
    assert given.status_code == 201, given.json
    kept = given.json["evidence"]
    assert (kept["kid"], kept["signed"]) == (key.thumbprint(), body)
    again = jws.deserialize_compact(kept["jws"], key, [alg], LENIENT, payload=rfc8785.dumps(kept["signed"]))
    assert again.protected["kid"] == key.thumbprint()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda body: {**body, "classes": [1, 2, 3]}, "over this body"),
        (lambda body: {**body, "grantee": "kind:bank"}, "over this body"),
        (lambda body: {**body, "evidence": {**body["evidence"], "jws": "a..b"}}, "over this body"),
        (lambda body: {**body, "evidence": {**body["evidence"], "jws": "garbage"}}, "over this body"),
        (lambda body: {**body, "evidence": {**body["evidence"], "signatory": "another"}}, "over this body"),
    ],
)
def test_a_grant_that_is_not_what_was_signed_is_refused(enterprise: Enterprise, spoil: Any, told: str) -> None:
    key = KEYS["ES256"]()
    enterprise.register(key)
    refused = enterprise.grant(spoil(sign(enterprise.body(), key, "ES256")))
    assert_problem(refused, 422, "evidence-not-verified")
    assert told in refused.json["detail"]


@pytest.mark.parametrize(
    "header",
    [{"iat": int(time.time()) - 3_600}, {"iat": int(time.time()) + 3_600}, {"iat": None},
     {"iat": "now"}],
)  # fmt: skip
def test_a_signature_that_is_stale_or_asks_for_what_we_do_not_know_is_refused(
    enterprise: Enterprise, header: dict[str, Any]
) -> None:
    key = KEYS["ES256"]()
    enterprise.register(key)
    refused = enterprise.grant(sign(enterprise.body(), key, "ES256", **header))
    assert_problem(refused, 422, "evidence-not-verified")


def test_another_enterprises_key_a_retired_one_and_none_at_all_are_refused(
    client: FlaskClient, enterprise: Enterprise
) -> None:
    key = KEYS["Ed25519"]()
    assert_problem(enterprise.grant(sign(enterprise.body(), key, "Ed25519")), 422, "evidence-not-verified")
    Enterprise(client).register(key)
    enterprise.register(KEYS["Ed25519"]())
    assert_problem(enterprise.grant(sign(enterprise.body(), key, "Ed25519")), 422, "evidence-not-verified")
    assert enterprise.register(key).status_code == 201
    assert enterprise.grant(sign(enterprise.body(), key, "Ed25519")).status_code == 201
    path = f"/v1/enterprises/{enterprise.uscc}/keys"
    assert client.delete(f"{path}/{key.thumbprint()}", headers=enterprise.headers).status_code == 204
    assert_problem(client.delete(f"{path}/{key.thumbprint()}", headers=enterprise.headers), 404, "not-found")
    assert_problem(enterprise.grant(sign(enterprise.body(), key, "Ed25519")), 422, "evidence-not-verified")
    assert_problem(enterprise.register(key), 409, "key-known")
    held = client.get(path, headers=enterprise.headers).json["keys"]
    assert [bool(one["retired_at"]) for one in held] == [False, True]


@pytest.mark.parametrize("header", [{"alg": "HS256"}, {"alg": "none"}, {"alg": "ES256", "crit": ["exp"], "exp": 1}])
def test_what_another_algorithm_or_an_unknown_crit_says_is_refused(
    enterprise: Enterprise, header: dict[str, Any]
) -> None:
    key = KEYS["ES256"]()
    enterprise.register(key)
    body = enterprise.body()
    head = json.dumps({**header, "kid": key.thumbprint(), "iat": int(time.time())}).encode()
    signed = b64(head) + b"." + b64(rfc8785.dumps(body))
    mac = hmac.digest(key.as_pem(private=False), signed, "sha256")  # the public key as a secret
    tags = {"HS256": mac, "none": b"", "ES256": key_signature(key, signed)}
    token = (b64(head) + b".." + b64(tags[header["alg"]])).decode()
    forged = {**body, "evidence": {**body["evidence"], "jws": token}}
    assert_problem(enterprise.grant(forged), 422, "evidence-not-verified")


def b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def key_signature(key: Any, signed: bytes) -> bytes:
    r, s = decode_dss_signature(key.raw_value.sign(signed, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        {"kty": "oct", "k": "AAAA"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        ECKey.generate_key("P-521").as_dict(private=False),
        ECKey.generate_key("P-256").as_dict(private=True),
        OKPKey.generate_key("X25519").as_dict(private=False),
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": ["EC"]},
    ],
    ids=["empty", "symmetric", "no point", "P-521", "private", "X25519", "small RSA", "odd"],
)
def test_a_key_that_cannot_serve_is_refused(client: FlaskClient, enterprise: Enterprise, jwk: dict[str, Any]) -> None:
    path = f"/v1/enterprises/{enterprise.uscc}/keys"
    assert_problem(client.post(path, json={"jwk": jwk}, headers=enterprise.headers), 422, "invalid-field")


def test_keys_are_the_enterprises_own_business(client: FlaskClient, enterprise: Enterprise) -> None:
    other = Enterprise(client)
    path = f"/v1/enterprises/{enterprise.uscc}/keys"
    key = KEYS["ES256"]().as_dict(private=False)
    assert_problem(client.post(path, json={"jwk": key}, headers=other.headers), 403, "not-your-enterprise")
    assert_problem(client.get(path, headers=other.headers), 403, "not-your-enterprise")
    assert_problem(client.delete(f"{path}/x", headers=other.headers), 403, "not-your-enterprise")


def test_every_version_verifies_with_the_published_key_in_another_implementation(enterprise: Enterprise) -> None:
    consent_id = enterprise.grant(enterprise.body()).json["consent_id"]
    for act in ("pause", "resume", "revoke"):
        path = f"/v1/consents/{consent_id}/{act}"
        assert enterprise.client.post(path, json={}, headers=enterprise.headers).status_code == 200
    shown = enterprise.client.get(f"/v1/consents/{consent_id}", headers=enterprise.headers).json
    published = enterprise.client.get("/oauth/jwks").json
    assert [version["status"] for version in shown["versions"]] == ["active", "paused", "active", "revoked"]
    for version in shown["versions"]:
        signature = version.pop("signature")
        payload = rfc8785.dumps(version)
        (public,) = [key for key in published["keys"] if key["kid"] == jws.extract_compact(
            signature.encode(), payload).headers()["kid"]]  # fmt: skip
        jws.deserialize_compact(signature, OKPKey.import_key(public), ["Ed25519"], payload=payload)
        assert not signing.is_signed(signature, payload + b" ", published["keys"])
    assert "d" not in json.dumps([sorted(key) for key in published["keys"]]).split('"')


def test_after_a_rotation_old_versions_still_verify_and_new_ones_name_the_new_key(enterprise: Enterprise) -> None:
    first = enterprise.grant(enterprise.body()).json
    with db.transaction() as tx:
        kid = signing.add(tx, "consent")
        signing.open_signers(tx)
    second = enterprise.grant(enterprise.body()).json
    published = enterprise.client.get("/oauth/jwks").json["keys"]
    assert len(published) == 4
    for version in (first, second):
        signature = version.pop("signature")
        assert signing.is_signed(signature, rfc8785.dumps(version), published)
    assert jws.extract_compact(signature.encode(), b"").headers()["kid"] == kid
