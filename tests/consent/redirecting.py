# SPDX-License-Identifier: Apache-2.0
"""A journey by redirect in process: a bank's client, and a person at a browser."""

import base64
import hashlib
import html
import json
import re
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from flask import Flask
from flask.testing import FlaskClient

from access import clients
from kernel import db
from tests import factories

BACK = "https://bank.example/back"
SCOPES = ("credit:query", "consent:request", "consent:read")


@dataclass
class Bank:
    """An institution with a client that may be answered at BACK."""

    app: Flask
    redirect_uri: str = BACK
    name: str | None = None
    scopes: tuple[str, ...] = SCOPES
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    def __post_init__(self) -> None:
        self.institution = factories.bank(self.name)
        with db.transaction() as tx:
            self.auth = clients.add(tx, self.institution, self.scopes, redirect_uris=(self.redirect_uri,))
        self.http = self.app.test_client()

    @property
    def client_id(self) -> str:
        return self.auth[0]

    def parameters(self, **changes: Any) -> dict[str, str]:
        """What the bank pushes; `changes` replace or (None) remove parameters."""
        sent: dict[str, Any] = {
            "response_type": "code",
            "redirect_uri": self.redirect_uri,
            "state": "af0ifjsldkj",
            "code_challenge": challenge(self.verifier),
            "code_challenge_method": "S256",
            "authorization_details": details(),
        }
        sent |= changes
        return {name: value for name, value in sent.items() if value is not None}

    def push(self, auth: tuple[str, str] | None = None, proof: str | None = None, **changes: Any) -> Any:
        sent = self.parameters(**changes)
        return self.http.post("/oauth/par", data=sent, auth=auth or self.auth, headers=_dpop(proof))

    def ask(self, **changes: Any) -> str:
        """Where the bank sends the browser."""
        pushed = self.push(**changes)
        assert pushed.status_code == 201, pushed.json
        return f"/oauth/authorize?client_id={self.client_id}&request_uri={pushed.json['request_uri']}"

    def redeem(self, code: str, auth: tuple[str, str] | None = None, proof: str | None = None, **changes: Any) -> Any:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
            **changes,
        }
        sent = {name: value for name, value in form.items() if value is not None}
        return self.http.post("/oauth/token", data=sent, auth=auth or self.auth, headers=_dpop(proof))


class Person:
    """Someone at a browser of their own, who signs in as the signatory of an enterprise."""

    def __init__(self, app: Flask, uscc: str | None = None, role: str = "enterprise") -> None:
        self.uscc = uscc or factories.new_uscc()
        self.username, self.password = factories.person(role, self.uscc if role == "enterprise" else None)
        self.http: FlaskClient = app.test_client()

    def get(self, path: str, **more: Any) -> Any:
        return self.http.get(path, base_url="https://bureau.example", **more)

    def post(self, path: str, form: dict[str, Any], **more: Any) -> Any:
        return self.http.post(path, data=form, base_url="https://bureau.example", **more)

    def submit(self, page: Any, **changes: Any) -> Any:
        """Send the (last) form of a page as it stands; `changes` replace or (None) remove fields."""
        action, fields = form_of(page.text)
        fields |= changes
        return self.post(action, {name: value for name, value in fields.items() if value is not None})

    def sign_in(self, page: Any, **changes: Any) -> Any:
        return self.submit(page, **{"username": self.username, "password": self.password, **changes})

    def arrive(self, link: str) -> Any:
        """Open a bank's link, sign in, and see what is asked."""
        opened = self.get(link)
        assert opened.status_code == 303, opened.text
        page = self.get(opened.location)
        if page.status_code == 303:
            signed_in = self.sign_in(self.get(page.location))
            assert signed_in.status_code == 303, signed_in.text
            page = self.get(signed_in.location)
        return page

    def grant(self, link: str, **changes: Any) -> dict[str, str]:
        """Grant what a link asks for. Returns what the bank is told."""
        return told(self.submit(self.arrive(link), decision="grant", **changes))


def details(**changes: Any) -> str:
    asked = {"type": "credit_query", "classes": [1, 2], "purposes": ["pre_loan"], "days": 365, **changes}
    return json.dumps([{name: value for name, value in asked.items() if value is not None}])


def challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def _dpop(proof: str | None) -> dict[str, str]:
    return {"DPoP": proof} if proof is not None else {}


def told(answer: Any, back: str = BACK) -> dict[str, str]:
    """The parameters with which a browser is sent back to the bank."""
    assert answer.status_code == 303, (answer.status_code, answer.text)
    assert answer.location.partition("?")[0] == back, answer.location
    return dict(parse_qsl(urlsplit(answer.location).query))


def form_of(page: str) -> tuple[str, dict[str, Any]]:
    """Where the last form of a page leads, and its fields as a browser would send them."""
    form = re.findall(r"(?s)<form[^>]*>.*?</form>", page)[-1]
    opening = form.partition(">")[0]
    action = re.search(r'action="([^"]*)"', opening)
    assert action, page
    fields: dict[str, Any] = {}
    for tag in re.findall(r"<input[^>]*>", form):
        attributes = {name: html.unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', tag)}
        if attributes.get("type") == "checkbox":
            fields.setdefault(attributes["name"], []).append(attributes["value"])
        else:
            fields[attributes["name"]] = attributes.get("value", "")
    return action[1], fields
