# SPDX-License-Identifier: Apache-2.0
"""Other people's clients against a served bureau: npm `oauth4webapi` and `openid-client`, each with each algorithm."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from access import clients
from access.client_keys import Keys
from kernel import db
from tests import factories
from tests.journeys.service import Service

FOLDER = Path(__file__).parents[1] / "clients"
KEYS = {
    "ES256": lambda: ECKey.generate_key("P-256"),
    "PS256": lambda: RSAKey.generate_key(2048),
    "Ed25519": lambda: OKPKey.generate_key("Ed25519"),
}


def run(script: str, **said: Any) -> Any:
    """What a script of tests/clients prints as its one JSON document."""
    environment = {**os.environ, "CLIENT": json.dumps(said)}
    ran = subprocess.run(
        ["node", script], cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def register(algorithm: str) -> tuple[str, dict[str, Any]]:
    """A client whose key has this algorithm, and its private JWK."""
    key = KEYS[algorithm]()
    jwk = {**key.as_dict(private=True), "kid": "bank-2026"}
    public = {**key.as_dict(private=False), "kid": "bank-2026"}
    bank = factories.bank()
    with db.transaction() as tx:
        return clients.add_signing(tx, bank, ("consent:read",), Keys({"keys": [public]})), jwk


@pytest.mark.parametrize("script", ["oauth4webapi.mjs", "openid-client.mjs"])
@pytest.mark.parametrize("algorithm", KEYS)
def test_anothers_client_does_all_that_the_profile_says(shared_service: Service, algorithm: str, script: str) -> None:
    client_id, jwk = register(algorithm)
    came = run(script, issuer=shared_service.base, client_id=client_id, algorithm=algorithm, jwk=jwk)
    assert (came["plain"]["token_type"].lower(), came["plainUsed"]) == ("bearer", 200)
    assert came["bound"]["token_type"].lower() == "dpop"
    assert (came["boundUsed"], came["boundAsBearer"]) == ([200, 200], 401)
    assert came.get("nonces", ["token"]) == ["token"]  # what the token endpoint told was good at the resource too
    shown = came["shown"]
    assert (shown["active"], shown["client_id"], shown["scope"]) == (True, client_id, "consent:read")
    assert (shown["iss"], shown["cnf"]) == (shared_service.base, {"jkt": came["thumbprint"]})
    assert (came["after"], came["usedAfter"]) == ({"active": False}, 401)
