# SPDX-License-Identifier: Apache-2.0
"""The documentation is served whole, by ourselves, and asks for nothing outside."""

import re

import pytest
from flask.testing import FlaskClient

from app import docs
from tests.kernel.test_problems import assert_problem


def test_the_page_and_all_that_it_asks_for_come_from_here(client: FlaskClient) -> None:
    page = client.get("/docs")
    assert (page.status_code, page.content_type) == (200, "text/html; charset=utf-8")
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    asked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(asked) == 4
    for path in asked:
        assert path.startswith("/docs/")
        answer = client.get(path)
        assert (answer.status_code, answer.headers["X-Content-Type-Options"]) == (200, "nosniff")
        assert len(answer.data) > 100
    assert "onclick" not in page.text
    assert "<style" not in page.text


@pytest.mark.parametrize("name", ["index.html", "..%2f..%2f__init__.py", "swagger-ui.js", "start.js%00"])
def test_no_other_file_is_served(client: FlaskClient, name: str) -> None:
    assert_problem(client.get(f"/docs/{name}"), 404, "not-found")


def test_every_file_that_is_named_is_there(client: FlaskClient) -> None:
    for name, content_type in docs.FILES.items():
        assert client.get(f"/docs/{name}").content_type == content_type
