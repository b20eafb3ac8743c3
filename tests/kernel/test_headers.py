# SPDX-License-Identifier: Apache-2.0
"""Every request has an id: the caller's own if it is sane, else ours."""

import re

import pytest
from flask.testing import FlaskClient

from tests.kernel.test_problems import on_one_engine


@on_one_engine
@pytest.mark.parametrize("offered", ["a", "req-1_2.3", "A" * 64])
def test_a_sane_request_id_is_kept(client: FlaskClient, offered: str) -> None:
    for path in ("/healthz", "/nothing"):
        assert client.get(path, headers={"X-Request-Id": offered}).headers["X-Request-Id"] == offered


@on_one_engine
@pytest.mark.parametrize("offered", ["", "A" * 65, "a b", "a<b>", "a;b", "é", "a/b", '"a"'])
def test_another_request_id_is_replaced_by_one_of_ours(client: FlaskClient, offered: str) -> None:
    given = client.get("/healthz", headers={"X-Request-Id": offered}).headers["X-Request-Id"]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", given)


@on_one_engine
def test_every_request_has_an_id_of_its_own(client: FlaskClient) -> None:
    assert len({client.get("/healthz").headers["X-Request-Id"] for _ in range(20)}) == 20
