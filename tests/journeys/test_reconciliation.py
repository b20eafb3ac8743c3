# SPDX-License-Identifier: Apache-2.0
"""Two departments deliver different capital: both stand in the answer, the list names them, one mends its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from access import clients, people, tokens
from bureau import reconciliation
from connectors import feeds
from kernel import db
from tests import factories
from tests.bureau.histories import entries

APPROVALS = "approval-register"


@pytest.fixture
def approvals(tmp_path: Path) -> Iterator[None]:
    """A second register, of the approval bureau, as an operator would declare it."""
    shipped = (feeds.SHIPPED / "market-regulation-register.toml").read_text(encoding="utf-8")
    told = shipped.replace('feed = "market-regulation-register"', f'feed = "{APPROVALS}"')
    (tmp_path / f"{APPROVALS}.toml").write_text(told.replace('source = "S01"', 'source = "S02"'), encoding="utf-8")
    feeds.use(tmp_path)
    yield
    feeds.use(tmp_path / "nothing")


class Department:
    """A source that pushes registrations of one enterprise."""

    def __init__(self, client: FlaskClient, source: str, feed: str, uscc: str) -> None:
        self.client, self.feed, self.uscc = client, feed, uscc
        with db.transaction() as tx:
            client_id, _ = clients.add(tx, source, ("batch:write",), is_source=True)
            self.bearer, _ = tokens.issue(tx, frozenset({"batch:write"}), tokens.CLIENT_TOKEN_LIFE, client_id=client_id)

    def push(self, capital: str, name: str = "苏州演示精密机械有限公司") -> None:
        row = {"统一社会信用代码": self.uscc, "企业名称": name, "注册资金": capital}
        answered = self.client.post(
            f"/v1/batches?feed={self.feed}",
            data=orjson.dumps(row),
            headers={"Authorization": f"Bearer {self.bearer}", "Content-Type": "application/x-ndjson"},
        )
        assert answered.status_code == 202, answered.json


@pytest.mark.usefixtures("approvals")
def test_a_contradiction_is_listed_explained_and_settled_by_its_source(client: FlaskClient) -> None:
    uscc = factories.new_uscc()
    regulation = Department(client, "S01", "market-regulation-register", uscc)
    approval = Department(client, "S02", APPROVALS, uscc)
    regulation.push("200(万)")
    approval.push("300(万)", name="苏州演示精密机械有限公司 ")
    reconciliation.catch_up()
    admin = administrator()

    def call(method: str, path: str, **more: Any) -> Any:
        answered = client.open(path, method=method, headers={"Authorization": f"Bearer {admin}"}, **more)
        assert answered.status_code == 200, answered.json
        return answered.json

    (one,) = call("GET", f"/v1/discrepancies?uscc={uscc}&state=open")["discrepancies"]
    assert (one["fact"], one["name"]) == ("registered-capital", "注册资本")
    assert [each["source_name"] for each in one["statements"]] == ["市场监督管理局", "行政审批局"]
    assert "value" not in one["statements"][0]
    place = f"/v1/discrepancies/{one['discrepancy']}"
    assert [each["value"] for each in call("GET", place)["statements"]] == [200_000_000, 300_000_000]
    assert capitals(client, uscc) == {"S01": 200_000_000, "S02": 300_000_000}, "nothing was overwritten"

    told = call("POST", f"{place}/explain", json={"reason": "S02 已通过增资，S01 尚未换照"})
    assert (told["state"], told["reason"]) == ("explained", "S02 已通过增资，S01 尚未换照")
    twice = client.post(f"{place}/explain", json={"reason": "x"}, headers={"Authorization": f"Bearer {admin}"})
    assert twice.status_code == 409

    approval.push("300(万)", name="苏州演示精密机械有限公司")  # said once more
    reconciliation.catch_up()
    assert [each["state"] for each in call("GET", "/v1/discrepancies")["discrepancies"]] == ["explained"]

    approval.push("200(万)")
    reconciliation.catch_up()
    (settled,) = call("GET", "/v1/discrepancies?state=settled&source=S02")["discrepancies"]
    assert (settled["discrepancy"], settled["settled_at"] is None) == (one["discrepancy"], False)
    viewed = [entry["detail"]["what"] for entry in entries("staff.viewed")]
    assert viewed.count("discrepancy") == 1
    assert viewed.count("discrepancies") == 3


def administrator() -> str:
    username, _ = factories.person("admin")
    return factories.session(username, people.ROLE_SCOPES["admin"])


def capitals(client: FlaskClient, uscc: str) -> dict[str, int]:
    """What a bank is told: each source's own."""
    bank = factories.bank()
    factories.consent(uscc, bank, scope="query")
    answered = factories.ask(client, factories.token(bank), uscc)
    assert answered.status_code == 200
    records = answered.json["classes"][0]["datasets"][0]["records"]
    return {record["source"]: record["items"]["C1.01.07"] for record in records}
