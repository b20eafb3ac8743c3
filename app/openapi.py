# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI 3.1 document: generated from the routes, committed under openapi/, compared in a test."""

from importlib.metadata import version
from typing import Any

import yaml
from flask import Flask, Response
from flask_smorest import Api

from kernel.web import ProblemSchema, json_response

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
# What a route can answer beside what it documents itself, by what it asks of its caller.
ALWAYS = ("400", "413", "415", "422", "500", "503")
WITH_TOKEN = ("401", "403")
TITLES = {
    "400": "Malformed request",
    "401": "No valid token",
    "403": "Refused: `type` names the rule",
    "404": "No such thing, or none that the caller may know of",
    "409": "The state does not allow it",
    "410": "It can no longer be had",
    "413": "Larger than the stated limit",
    "415": "The body is not JSON",
    "422": "Some fields are wrong: see `errors`",
    "500": "The bureau failed",
    "503": "The bureau cannot answer now; nothing was disclosed",
}


def install(app: Flask, api: Api) -> None:
    """Serve the document at /openapi.json."""
    finished = finish(api.spec.to_dict())

    def show() -> Response:
        return json_response(finished)

    show.access = "public"  # type: ignore[attr-defined]
    app.add_url_rule("/openapi.json", "openapi", show)
    app.extensions["bureau_openapi"] = finished


def document(app: Flask) -> str:
    """The document as YAML, ready to be committed."""
    return yaml.safe_dump(app.extensions["bureau_openapi"], allow_unicode=True, sort_keys=True, width=110)


def finish(spec: dict[str, Any]) -> dict[str, Any]:
    """flask-smorest's document made true: problem documents, the bearer scheme, every answer that can come."""
    components = spec.setdefault("components", {})
    components.setdefault("schemas", {}).pop("Error", None)
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "an access token or a session's token"},
        "client": {"type": "http", "scheme": "basic", "description": "client id and secret (RFC 6749 §2.3.1)"},
    }
    components["responses"] = {}
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            if isinstance(operation, dict):
                _finish_operation(path, method, operation)
    return spec


def _finish_operation(path: str, method: str, operation: dict[str, Any]) -> None:
    responses = operation.setdefault("responses", {})
    oauth = path.startswith("/oauth/")
    for status in [status for status in responses if status == "default" or int(status) >= 400]:
        del responses[status]
    possible = [*ALWAYS] if method == "post" or "parameters" in operation else ["500", "503"]
    if operation.get("security"):
        possible += WITH_TOKEN
    if "{" in path:
        possible += ["404", "409", "410"]
    if path == "/v1/credit-queries":
        possible += ["409", "410"]
    if path in ("/v1/consents", "/v1/sessions") and method == "post":
        possible += ["401", "409"]
    if oauth:
        operation["security"] = [{"client": []}]
        for status in ("400", "401"):
            responses[status] = {"description": "RFC 6749 §5.2", "content": {"application/json": {"schema": _OAUTH}}}
        possible = ["413", "415", "500", "503"]
    for status in sorted(set(possible)):
        responses[status] = {
            "description": TITLES[status],
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }


_OAUTH = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
}
assert ProblemSchema  # registered with the document by flask-smorest as `Problem`
