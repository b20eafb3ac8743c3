# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI 3.1 document: generated from the routes, committed under openapi/, compared in a test."""

import re
from importlib.metadata import version
from typing import Any

import yaml
from flask import Flask, Response
from flask_smorest import Api

from access import lifecycle
from kernel.web import json_response

CONFIG = {
    "API_TITLE": "Local enterprise credit bureau (地方企业征信平台)",
    "API_VERSION": version("credit-bureau"),
    "OPENAPI_VERSION": "3.1.0",
    "API_SPEC_OPTIONS": {
        "info": {
            "description": "Institutions ask about enterprises, as far as each enterprise has consented; "
            "every question is on the trail.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
    },
}
PATH = "/openapi.json"
PROBLEMS = {
    "400": "Malformed: the request cannot be read, or lacks a header",
    "401": "No valid token, or a wrong password",
    "403": "Refused: `type` names the rule",
    "404": "No such thing, or none that the caller may know of",
    "409": "The state does not allow it, or the same request is still being answered",
    "410": "It can no longer be had",
    "413": "Larger than the stated limit",
    "415": "The body is not JSON",
    "422": "Some fields are wrong: see `errors`",
    "429": "Too many requests: wait as long as `Retry-After` says; RateLimit fields name the limit",
    "500": "The bureau failed",
    "503": "The bureau cannot answer now; nothing was disclosed",
}
# What a route can answer beside what follows from its parameters, its body and what it asks of its caller.
MORE = {
    "ask": ("409", "410", "429"),
    "show_again": ("410", "429"),
    "screen": ("409", "410", "429"),
    "deliver": ("404", "409"),
    "issue_token": ("403", "429"),
    "push_request": ("403", "429"),
    "introspect_token": ("403", "429"),
    "revoke_token": ("403", "429"),
    "register_institution": ("409",),
    "change_institution": ("409",),
    "register_source": ("409",),
    "change_source": ("409",),
    "stop": ("404", "409"),
    "rotate_client": ("409",),
    **{f"{act}_{party}": ("409",) for act in lifecycle.ACTS for party in ("institution", "source")},
    "give_consent": ("409",),
    **dict.fromkeys(
        ("revoke_consent", "pause_consent", "resume_consent", "suspend_consent", "reinstate_consent"), ("409",)
    ),
    **dict.fromkeys(("ask_for_consent", "approve_request", "reject_request", "register_key"), ("409",)),
    **dict.fromkeys(("begin_totp", "confirm_totp", "enable_person", "invite", "confirm_invitation"), ("409",)),
    "accept_invitation": ("404", "409"),
    "sign_in": ("401", "429"),
    "show_checkpoint": ("404",),
    "show_metrics": ("401", "403"),
    "list_consent_events": ("410",),
    **dict.fromkeys(("add_webhook", "resume_webhook"), ("409",)),
    "show_statement": ("410",),
    "show_receipt": ("410",),
    "export_entries": ("404", "409"),
    **dict.fromkeys(("confirm_correction", "confirm_export", "explain_discrepancy"), ("409",)),
}
DIGESTED = ("ask", "show_again", "show_own_dossier", "screen", "export")
WITHOUT_DATABASE = ("show_metadata", "is_alive", "openapi", "show_docs", "show_docs_file")

HEADERS = {
    "X-Request-Id": "the caller's own if it sent a sane one; names the request in the operator's log",
    "X-Entry-Id": "the entry on the trail: its receipt is at /v1/audit/receipts/",
    "Content-Digest": "SHA-256 of the body (RFC 9530): what the entry on the trail holds",
    "WWW-Authenticate": "how to authenticate (RFC 6750 §3)",
    "Retry-After": "seconds",
    "RateLimit-Policy": "the limits that count here (draft-ietf-httpapi-ratelimit-headers-10)",
    "RateLimit": "what is left of each of them, and the seconds until it is whole again",
}
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
SECURITY = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "an access token or a session's token; if bound to a key, sent as DPoP (RFC 9449)",
    },
    "client": {
        "type": "http",
        "scheme": "basic",
        "description": "client id and secret (RFC 6749 §2.3.1); or an assertion in the form (RFC 7523)",
    },
}
OAUTH_ERROR = {
    "description": "An error of RFC 6749 §5.2",
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
}


def install(app: Flask, api: Api) -> None:
    """Serve the document at /openapi.json."""

    def show() -> Response:
        return json_response(app.extensions["bureau_openapi"])

    show.access = "public"  # type: ignore[attr-defined]
    app.add_url_rule(PATH, "openapi", show)
    app.extensions["bureau_openapi"] = finish(api.spec.to_dict(), view_names(app))


def document(app: Flask) -> str:
    """The document as YAML, ready to be committed."""
    return yaml.dump(app.extensions["bureau_openapi"], Dumper=_Plain, allow_unicode=True, sort_keys=True, width=110)


def view_names(app: Flask) -> dict[tuple[str, str], str]:
    """(path, method) → the name of its view, for every route of the API; OPTIONS and HEAD are Flask's own.

    Pages for people are no part of the API.
    """
    return {
        (_PARAMETER.sub(r"{\1}", rule.rule), method.lower()): rule.endpoint.rpartition(".")[2]
        for rule in app.url_map.iter_rules()
        if not hasattr(app.view_functions[rule.endpoint], "page")
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}
    }


def finish(spec: dict[str, Any], views: dict[tuple[str, str], str]) -> dict[str, Any]:
    """flask-smorest's document made true: every answer that can come, its type, its headers, who may call."""
    components = spec["components"]
    for unused in ("Error", "PaginationMetadata"):
        components["schemas"].pop(unused, None)
    for schema in components["schemas"].values():
        for member in schema.get("properties", {}).values():
            _mend(member)
    components["schemas"]["Problem"].pop("additionalProperties")  # RFC 9457 §3.2: more members may come
    components["schemas"]["OAuthError"] = OAUTH_ERROR
    components["securitySchemes"] = SECURITY
    components["headers"] = {
        name: {"description": told, "schema": {"type": "string"}, "required": True} for name, told in HEADERS.items()
    }
    components["responses"] = {
        status: _answer(told, "application/problem+json", "Problem", *_headers_of(status))
        for status, told in PROBLEMS.items()
    }
    spec["paths"][PATH] = {"get": {"summary": "This document.", "security": [], "tags": ["health"], "responses": {}}}
    spec["paths"][PATH]["get"]["responses"]["200"] = {
        "description": "OK",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            if isinstance(operation, dict):
                _finish_operation(path, operation, views[path, method])
    return spec


def _finish_operation(path: str, operation: dict[str, Any], view: str) -> None:
    responses = operation["responses"]
    for status in [status for status in responses if status == "default" or int(status) >= 400]:
        del responses[status]
    for response in responses.values():
        limited = ("RateLimit-Policy", "RateLimit") if view in ("ask", "show_again", "screen", "export") else ()
        answered = ("Content-Digest",) if view in DIGESTED else ()
        named = ("X-Entry-Id",) if view == "export" else ()
        response["headers"] = _refer("headers", "X-Request-Id", *named, *answered, *limited)
    operation["operationId"] = view
    for requirement in operation["security"]:
        if requirement.get("bearer") == [""]:
            requirement["bearer"] = []  # any valid token
    if path.startswith("/oauth/") and "requestBody" in operation:
        operation["security"] = [{"client": []}]
        for status in ("400", "401"):
            headers = ("WWW-Authenticate",) if status == "401" else ()
            responses[status] = _answer("RFC 6749 §5.2", "application/json", "OAuthError", *headers)
    possible = _possible(path, operation, view)
    responses |= {status: {"$ref": f"#/components/responses/{status}"} for status in sorted(possible)}


def _possible(path: str, operation: dict[str, Any], view: str) -> set[str]:
    """The problems that an operation can answer with."""
    possible = {"500", *MORE.get(view, ())} | ({"503"} if view not in WITHOUT_DATABASE else set())
    if "requestBody" in operation:
        possible |= {"413"} if path.startswith("/oauth/") else {"400", "413", "415", "422"}
    if any(parameter["in"] == "query" for parameter in operation.get("parameters", ())):
        possible |= {"400", "422"}
    if operation["security"] and not path.startswith("/oauth/"):
        possible |= {"401", "403"}
    if "{" in path:
        possible |= {"404"}
    return possible


def _answer(told: str, media_type: str, schema: str, *headers: str) -> dict[str, Any]:
    return {
        "description": told,
        "content": {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
        "headers": _refer("headers", "X-Request-Id", *headers),
    }


def _headers_of(status: str) -> tuple[str, ...]:
    return {
        "401": ("WWW-Authenticate",),
        "409": ("Retry-After",),
        "429": ("Retry-After",),
        "503": ("Retry-After",),
    }.get(status, ())


def _refer(kind: str, *names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/{kind}/{name}"} for name in names}


def _mend(member: dict[str, Any]) -> None:
    """A property as JSON Schema means it: what a list may hold is said of its items, and a URL is a `uri`."""
    if member.get("type") == "array" and "enum" in member:
        member["items"]["enum"] = member.pop("enum")
    if member.get("format") == "url":
        member["format"] = "uri"


class _Plain(yaml.SafeDumper):
    """YAML without anchors: what is there twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
