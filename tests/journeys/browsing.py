# SPDX-License-Identifier: Apache-2.0
"""A real browser (Debian's Chromium) at the pages, and a bank's own site that it comes from and goes back to."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, Playwright

from access import clients
from kernel import db, ids
from tests import factories
from tests.consent.redirecting import challenge, details
from tests.journeys.cast import Bank
from tests.journeys.service import Reply, Service

CHROMIUM = "/usr/bin/chromium"
AXE = Path(__file__).parents[1] / "clients" / "node_modules" / "axe-core" / "axe.min.js"
ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
DEVICES = {
    "phone": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True},
    "desktop": {"viewport": {"width": 1280, "height": 900}},
}
LANGUAGES = {"zh": "zh-CN", "en": "en-GB"}
SCOPES = ("credit:query", "consent:request", "consent:read")


@dataclass
class Site:
    """The bank's site: it notes how browsers come back, and can frame or lead to any page."""

    port: int
    visits: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    page: str = "<title>back at the bank</title><h1>Back at the bank</h1>"

    @property
    def back(self) -> str:
        return f"http://127.0.0.1:{self.port}/back"


@contextlib.contextmanager
def bank_site() -> Iterator[Site]:
    """A site of a bank on the machine itself."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.paths.append(self.path)
            if self.path.startswith("/back"):
                site.visits.append(dict(parse_qsl(urlsplit(self.path).query)))
            body = f'<!doctype html><html lang="en">{site.page}'.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site = Site(server.server_address[1])
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield site
        server.shutdown()


def register(site: Site, name: str = "演示商业银行股份有限公司城东支行") -> Bank:
    """A bank whose client is answered at its site."""
    institution = factories.bank(f"{name}{ids.new_id()[-4:]}")
    with db.transaction() as tx:
        added = clients.add(tx, institution, SCOPES, per_second=1_000_000, redirect_uris=(site.back,))
    return Bank(institution, name, *added)


def push(served: Service, bank: Bank, site: Site, verifier: str, **asked: Any) -> str:
    """Where the bank sends the browser."""
    form = {
        "response_type": "code",
        "redirect_uri": site.back,
        "state": "af0ifjsldkj",
        "code_challenge": challenge(verifier),
        "code_challenge_method": "S256",
        "authorization_details": details(**asked),
    }
    pushed = post(served, bank, "/oauth/par", form)
    assert pushed.status == 201, pushed
    query = urlencode({"client_id": bank.client_id, "request_uri": pushed.json["request_uri"]})
    return f"{served.base}/oauth/authorize?{query}"


def redeem(served: Service, bank: Bank, site: Site, verifier: str, code: str) -> Reply:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": site.back, "code_verifier": verifier}
    return post(served, bank, "/oauth/token", form)


def post(served: Service, bank: Bank, path: str, form: dict[str, str]) -> Reply:
    kind = "application/x-www-form-urlencoded"
    return served.call("POST", path, urlencode(form), Authorization=bank.basic, Content_Type=kind)


@contextlib.contextmanager
def chromium(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
    yield browser
    browser.close()


@dataclass
class Visit:
    """One person's browser window, and all that it asked for or complained about."""

    context: BrowserContext
    page: Page
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def press(self, selector: str) -> None:
        """Click on what leads to another page, and be there when this returns."""
        with self.page.expect_navigation():
            self.page.click(selector)

    def fits(self) -> bool:
        """Whether nothing has to be scrolled sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))

    def only_from(self, *hosts: str) -> bool:
        return {urlsplit(url).netloc for url in self.asked if not url.startswith("data:")} <= set(hosts)


@contextlib.contextmanager
def visiting(browser: Browser, device: str, language: str, **options: Any) -> Iterator[Visit]:
    """A window of its own, with no cookie yet."""
    context = browser.new_context(locale=LANGUAGES[language], **{**DEVICES[device], **options})
    visit = Visit(context, context.new_page())
    visit.page.on("request", lambda request: visit.asked.append(request.url))
    visit.page.on("console", lambda said: said.type in ("error", "warning") and visit.complaints.append(said.text))
    visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    yield visit
    context.close()


def faults_of_access(page: Page) -> list[str]:
    """What axe-core finds against WCAG 2.2 AA and good practice."""
    page.add_script_tag(path=AXE)
    found = page.evaluate(
        """async () => (await axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa",
        "best-practice"]})).violations.map(v => [v.id, v.help, v.nodes.map(n => n.html)])"""
    )
    return [json.dumps(each, ensure_ascii=False) for each in found]
