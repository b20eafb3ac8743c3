# SPDX-License-Identifier: Apache-2.0
"""The main story: asked and answered, revoked and refused, granted anew and answered, all of it on record."""

from functools import partial
from pathlib import Path

import orjson

from tests.conftest import House
from tests.journeys import service
from tests.journeys.cast import (
    ENTERPRISE_NAME,
    Cast,
    ask,
    content_digest,
    engaged,
    fetch_token,
    grant,
    new_bank,
    read_access_log,
    revoke,
    sign_in,
    token,
)
from tests.journeys.service import Service


def test_a_bank_asks_and_the_enterprise_revokes_and_grants_anew(open_house: House, served: Service, cast: Cast) -> None:
    bank, enterprise = cast.bank, cast.enterprise

    # The bank's system finds the bureau's endpoints and gets a token.
    metadata = served.call("GET", "/.well-known/oauth-authorization-server").json
    assert metadata["token_endpoint"] == f"{served.base}/oauth/token"
    issued = fetch_token(served, bank, scope="credit:query")
    assert issued.status == 200
    assert issued.json["token_type"] == "Bearer"
    assert 0 < issued.json["expires_in"] <= 300
    assert issued.json["scope"] == "credit:query"
    assert issued.headers["cache-control"] == "no-store"
    bearer = issued.json["access_token"]

    # It asks, and is answered; the answer proves itself.
    first = ask(served, bearer, enterprise.uscc, reference="loan application 2026-118")
    assert first.status == 200
    assert first.headers["content-digest"] == content_digest(first.body)
    assert first.headers["x-request-id"]
    answer = first.json
    assert (answer["uscc"], answer["name"], answer["consent_id"]) == (
        enterprise.uscc,
        ENTERPRISE_NAME,
        cast.consent,
    )
    (record,) = answer["classes"][0]["datasets"][0]["records"]
    assert record["items"]["C1.01.01"] == ENTERPRISE_NAME
    assert record["items"]["C1.01.07"] == 200_000_000

    # It may look at the same answer again.
    again = served.call("GET", f"/v1/credit-queries/{answer['query_id']}", Authorization=f"Bearer {bearer}")
    assert (again.status, again.body) == (200, first.body)

    # The enterprise signs in, sees its consent, and ends it.
    session = sign_in(served, enterprise)
    mine = served.call("GET", "/v1/consents", Authorization=f"Bearer {session}").json["consents"]
    assert [consent["consent_id"] for consent in mine] == [cast.consent]
    revoked = revoke(served, session, cast.consent)
    assert (revoked.status, revoked.json["status"], revoked.json["version"]) == (200, "revoked", 2)
    assert revoke(served, session, cast.consent).status == 409

    # The very next question is refused, and so is a look at the earlier answer.
    refused = ask(served, bearer, enterprise.uscc)
    assert (refused.status, refused.problem) == (403, "no-consent")
    assert b"C1.01" not in refused.body
    looked = served.call("GET", f"/v1/credit-queries/{answer['query_id']}", Authorization=f"Bearer {bearer}")
    assert (looked.status, looked.problem) == (403, "no-consent")

    # It grants anew, to the same bank; the bank is answered again.
    granted = grant(served, session, cast)
    assert granted.status == 201
    assert granted.json["consent_id"] != cast.consent
    last = ask(served, bearer, enterprise.uscc)
    assert last.status == 200
    assert last.json["consent_id"] == granted.json["consent_id"]
    assert last.json["classes"] == answer["classes"]

    # The enterprise reads who asked and why, everything in its order.
    log = read_access_log(served, session, enterprise.uscc)
    assert [(entry["type"], entry["outcome"], entry["reason"]) for entry in reversed(log)] == [
        ("query.answered", "answered", None),
        ("query.replayed", "answered", None),
        ("query.refused", "refused", "no-consent"),
        ("query.refused", "refused", "no-consent"),
        ("query.answered", "answered", None),
    ]
    assert {entry["institution"] for entry in log} == {bank.institution}
    assert {entry["purpose"] for entry in log} == {"pre_loan"}
    assert log[-1]["query_id"] == answer["query_id"]
    assert log[0]["query_id"] == last.json["query_id"]
    assert [entry["time"] for entry in log] == sorted((entry["time"] for entry in log), reverse=True)

    # The signatory leaves; the bureau proves its trail.
    ended = served.call("DELETE", "/v1/sessions/current", Authorization=f"Bearer {session}")
    assert (ended.status, ended.body) == (204, b"")
    assert served.call("GET", "/v1/consents", Authorization=f"Bearer {session}").status == 401
    verified = service.run(open_house.environment, "verify", "--json")
    assert verified.returncode == 0
    report = orjson.loads(verified.stdout)
    assert (report["ok"], report["faults"]) == (True, [])
    assert report["size"] >= 5


def test_what_a_bank_was_told_it_proves_a_year_later_offline(open_house: House, tmp_path: Path) -> None:
    cast = engaged()
    with service.served(open_house.environment, tmp_path / "service.log") as served:
        bearer, stranger = token(served, cast.bank), token(served, new_bank())
        answered = ask(served, bearer, cast.enterprise.uscc)
        path = answered.json["receipt"]
        fetch = partial(served.call, "GET", path, Authorization=f"Bearer {bearer}")
        assert service.wait_until(lambda: fetch().status == 200, within_s=20)
        receipt = fetch().body
        assert served.call("GET", path, Authorization=f"Bearer {stranger}").status == 404
        assert served.call("GET", path).status == 401
        session = sign_in(served, cast.enterprise)
        assert served.call("GET", path, Authorization=f"Bearer {session}").status == 200
        assert served.call("GET", "/log/checkpoint").body in receipt or receipt.startswith(b"c2sp.org/tlog-proof@v1")
        tile = served.call("GET", "/log/tile/0/000.p/1")
        assert (tile.status, len(tile.body)) == (200, 32)
        assert served.call("GET", "/log/tile/0/0").status == 404

    # The bureau is gone. All that is left: the body, the receipt, and the public key.
    kept = {"body.json": answered.body, "a.tlog-proof": receipt, "key": (open_house.own / "log" / "key").read_bytes()}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name, content in kept.items():
        (elsewhere / name).write_bytes(content)
    environment = {"BUREAU_HOME": str(elsewhere / "var")}
    files = [str(elsewhere / "a.tlog-proof"), "--key", str(elsewhere / "key"), "--body", str(elsewhere / "body.json")]
    verified = service.run(environment, "verify", *files, "--json")
    assert verified.returncode == 0, verified.stderr
    told = orjson.loads(verified.stdout)
    assert (told["ok"], told["body"], told["entry"]["id"]) == (True, "matches", answered.json["query_id"])
    assert "operator" not in told["entry"], "who at the bank asked is the bank's business"
    (elsewhere / "body.json").write_bytes(answered.body.replace(b"records", b"Records", 1))
    changed = service.run(environment, "verify", *files, "--json")
    assert (changed.returncode, orjson.loads(changed.stdout)["ok"]) == (1, False)
    (elsewhere / "a.tlog-proof").write_bytes(receipt.replace(b"index ", b"index 1", 1))
    assert service.run(environment, "verify", *files[:3], "--json").returncode == 1
