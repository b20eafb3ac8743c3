# SPDX-License-Identifier: Apache-2.0
"""A bank on other people's clients, openid-client and oauth4webapi, asks an enterprise by redirect."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from tests.journeys import browsing, cast
from tests.journeys.browsing import Site, visiting
from tests.journeys.cast import Bank, Enterprise
from tests.journeys.service import Service

pytestmark = pytest.mark.parametrize("shared_house", ["sqlite"], indirect=True, scope="module")
CLIENTS = Path(__file__).parents[1] / "clients"
LIBRARIES = pytest.mark.parametrize("library", ["openid_client", "oauth4webapi"])
ASKED = {"type": "credit_query", "classes": [1], "purposes": ["pre_loan"], "days": 90}


@LIBRARIES
@pytest.mark.parametrize("bound", [None, "named", "shown"])  # to a key, whose thumbprint or proof was pushed
def test_the_bank_gets_a_token_that_fits_the_answer(
    browser: Browser, shared_service: Service, site: Site, library: str, bound: str | None
) -> None:
    bank, firm = browsing.register(site), cast.new_enterprise()
    with running(library, shared_service, bank, site, firm, bound) as server:
        back = answered(browser, server.read()["link"], firm, site, "grant")
        told = server.tell(back)
    (granted,) = told["details"]
    assert (granted["type"], granted["uscc"], granted["classes"]) == ("credit_query", firm.uscc, [1])
    assert granted["consent_id"]
    assert told["kind"].lower() == ("dpop" if bound else "bearer")
    assert (told["status"], told["active"]) == (200, [True, False])


@LIBRARIES
def test_the_bank_is_not_mixed_up_and_learns_of_a_rejection(
    browser: Browser, shared_service: Service, site: Site, library: str
) -> None:
    bank, firm = browsing.register(site), cast.new_enterprise()
    with running(library, shared_service, bank, site, firm) as server:
        back = answered(browser, server.read()["link"], firm, site, "reject")
        issuer = urlsplit(shared_service.base).netloc.replace(":", "%3A")
        assert issuer in back
        for forged in (back.replace(issuer, "evil.example"), back.partition("&iss=")[0], back.replace("state=", "s=")):
            assert server.tell(forged)["error"] not in (None, "access_denied")
        assert server.tell(back)["error"] == "access_denied"


class Server:
    """The bank's server: a process that is told a line and answers with one."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def read(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, self.process.stderr and self.process.stderr.read()
        found: dict[str, Any] = json.loads(line)
        return found

    def tell(self, line: str) -> dict[str, Any]:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.read()


@contextmanager
def running(
    library: str, served: Service, bank: Bank, site: Site, firm: Enterprise, bound: str | None = None
) -> Iterator[Server]:
    given = {
        "issuer": served.base,
        "clientId": bank.client_id,
        "clientSecret": bank.secret,
        "redirectUri": site.back,
        "details": [ASKED],
        "uscc": firm.uscc,
        "bound": bound,
    }
    script = ["node", CLIENTS / f"redirect_{library}.mjs", json.dumps(given)]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(script, text=True, **pipes) as process:
        try:
            yield Server(process)
        finally:
            process.kill()


def answered(browser: Browser, link: str, firm: Enterprise, site: Site, decision: str) -> str:
    """Have the enterprise answer; returns the address with which its browser came back to the bank."""
    with visiting(browser, "desktop", "zh") as visit:
        visit.page.goto(link)
        visit.page.fill("#username", firm.username)
        visit.page.fill("#password", firm.password)
        visit.press("main button[type=submit]")
        visit.press(f'button[value="{decision}"]')
        visit.page.wait_for_url(f"{site.back}?*")
        return visit.page.url
