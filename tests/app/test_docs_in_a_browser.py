# SPDX-License-Identifier: Apache-2.0
"""The documentation as people see it: Chromium renders every operation, and asks nobody but us."""

import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from flask import Flask
from playwright.sync_api import Page, sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

CHROMIUM = "/usr/bin/chromium"  # scripts/tools.sh brings it


class Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@pytest.fixture
def base(app: Flask) -> Iterator[str]:
    """Where the application is served, by a thread of this process. Its documentation asks for no database."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as driver:
        # Tests may run as root, whom Chromium gives no sandbox.
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser.new_page(viewport={"width": 1280, "height": 900})
        browser.close()


@pytest.mark.parametrize("house", ["sqlite"], indirect=True)
def test_a_browser_shows_every_operation_and_asks_only_this_host(app: Flask, base: str, page: Page) -> None:
    asked, complaints = list[str](), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{base}/docs")
    page.wait_for_selector(".opblock-tag")
    paths = app.extensions["bureau_openapi"]["paths"].values()
    operations = [each for path in paths for each in path.values() if isinstance(each, dict)]
    tags = {tag for operation in operations for tag in operation["tags"]}
    assert page.locator(".opblock-tag").count() == len(tags)
    for tag in page.locator(".opblock-tag").all():
        tag.click()
    page.wait_for_function(f"document.querySelectorAll('.opblock').length === {len(operations)}")
    assert page.get_by_text("/v1/credit-queries", exact=True).first.is_visible()
    page.locator("#operations-bureau-ask .opblock-summary-control").click()
    page.wait_for_selector("#operations-bureau-ask .responses-table")
    assert complaints == []
    assert {urlsplit(url).netloc for url in asked if not url.startswith("data:")} == {urlsplit(base).netloc}
