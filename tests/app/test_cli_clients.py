# SPDX-License-Identifier: Apache-2.0
"""`bureau client` for clients that sign."""

import json
from pathlib import Path

import pytest

from tests import factories
from tests.access.signing import es256
from tests.app.conftest import Bureau


@pytest.fixture
def bank(bureau: Bureau) -> str:
    return factories.bank()


def test_a_client_that_signs_is_registered_with_its_keys_and_rotated(bureau: Bureau, bank: str, tmp_path: Path) -> None:
    first, second, file = es256("one"), es256("two"), tmp_path / "jwks.json"
    file.write_text(json.dumps(first.jwks))
    asked = ("client", "add", bank, "--scope", "credit:query", "--auth", "private_key_jwt")
    added = bureau(*asked, "--jwks", str(file), "--alg", "ES256", "--dpop", "--json").json
    assert added.keys() == {"client_id", "client_secret"}
    assert added["client_secret"] is None
    file.write_text(json.dumps(second.jwk))  # a single key does as well
    rotated = bureau("client", "rotate", added["client_id"], "--jwks", str(file), "--json")
    assert (rotated.code, rotated.json) == (0, added)
    (shown,) = bureau("client", "list", bank, "--json").json
    assert {each["kid"]: bool(each["expires_at"]) for each in shown["keys"]} == {"one": True, "two": False}
    assert (shown["auth_method"], shown["algorithms"], shown["dpop_bound"]) == ("private_key_jwt", ["ES256"], True)


def test_a_url_of_keys_is_registered(bureau: Bureau, bank: str) -> None:
    asked = ("client", "add", bank, "--scope", "credit:query", "--auth", "private_key_jwt")
    assert bureau(*asked, "--jwks-uri", "https://bank.example/jwks", "--json").code == 0
    (shown,) = bureau("client", "list", bank, "--json").json
    assert (shown["jwks_uri"], shown["keys"], shown["jwks_fault"]) == ("https://bank.example/jwks", [], None)
    assert bureau(*asked, "--jwks-uri", "file:///etc/passwd").code == 2


def test_keys_that_do_not_do_are_refused_in_one_line(bureau: Bureau, bank: str, tmp_path: Path) -> None:
    signer, file = es256(), tmp_path / "jwks.json"
    asked = ("client", "add", bank, "--scope", "credit:query")
    for content in ('{"keys": []}', json.dumps({"keys": [{**signer.jwk, "d": "AAAA"}]}), "[]", "no json"):
        file.write_text(content)
        assert bureau(*asked, "--auth", "private_key_jwt", "--jwks", str(file)).complaint
    file.write_text(json.dumps(signer.jwks))
    assert "private_key_jwt" in bureau(*asked, "--jwks", str(file)).complaint
    assert "keys" in bureau(*asked, "--auth", "private_key_jwt").complaint
    assert bureau(*asked, "--auth", "private_key_jwt", "--jwks", str(tmp_path / "none")).complaint
