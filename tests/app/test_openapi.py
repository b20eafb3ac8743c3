# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document says what is so: held against the routes, the rules of OpenAPI, and its examples."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from flask import Flask
from flask.testing import FlaskClient
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from app import openapi
from app.application import create_app
from kernel.uscc import division, is_valid
from tests import factories

OPENAPI = Path(__file__).parents[2] / "openapi"
EXAMPLES = sorted((OPENAPI / "examples").glob("*.json"))
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


@pytest.fixture(scope="module")
def generated() -> str:
    return openapi.document(create_app("https://bureau.example"))


@pytest.fixture(scope="module")
def document(generated: str) -> dict[str, Any]:
    return yaml.safe_load(generated)  # type: ignore[no-any-return]


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """(path, method) → operation."""
    return {
        (path, method): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def test_the_committed_document_is_the_generated_one(generated: str) -> None:
    committed = (OPENAPI / "bureau.yaml").read_text(encoding="utf-8")
    assert committed == generated, "the API changed and its document did not: run `make openapi`, read the difference"


def test_the_served_document_is_the_committed_one(client: FlaskClient) -> None:
    assert client.get("/openapi.json").json == yaml.safe_load((OPENAPI / "bureau.yaml").read_text())


def test_it_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert [str(error) for error in OPENAPI_31_VALIDATOR.iter_errors(document)] == []


def test_every_schema_in_it_is_valid_json_schema(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
        for member in schema.get("properties", {}).values():
            assert not ({"enum", "const"} & member.keys() and member.get("type") == "array"), f"{name}: unsatisfiable"


def test_every_reference_leads_somewhere_and_every_part_is_used(document: dict[str, Any]) -> None:
    used = set(references(document))
    there = {f"#/components/{kind}/{name}" for kind, parts in document["components"].items() for name in parts}
    assert used <= there
    unused = (
        there - used - {f"#/components/securitySchemes/{name}" for name in document["components"]["securitySchemes"]}
    )
    assert unused == set()


def test_every_route_is_in_it_and_nothing_else(app: Flask, document: dict[str, Any]) -> None:
    assert operations(document).keys() == openapi.view_names(app).keys()


def test_every_operation_has_a_name_of_its_own_and_says_who_may_call(app: Flask, document: dict[str, Any]) -> None:
    views = openapi.view_names(app)
    access = {
        view.rpartition(".")[2]: getattr(function, "access", None)
        for view, function in app.view_functions.items()
        if not hasattr(function, "page")
    }
    names = [operation["operationId"] for operation in operations(document).values()]
    assert len(names) == len(set(names))
    for place, operation in operations(document).items():
        assert operation["summary"]
        assert operation["operationId"] == views[place]
        asked = access[views[place]]
        expected = [] if asked == "public" else [{"bearer": [asked] if asked else []}]
        if place[0].startswith("/oauth/") and place[1] == "post":
            expected = [{"client": []}]
        assert operation["security"] == expected


def test_every_error_is_a_problem_document_or_one_of_rfc_6749(document: dict[str, Any]) -> None:
    for (path, _), operation in operations(document).items():
        for status, response in operation["responses"].items():
            if int(status) < 400:
                continue
            found = document["components"]["responses"][status] if "$ref" in response else response
            kinds = {"application/problem+json"} if "$ref" in response else {"application/json"}
            assert found["content"].keys() == kinds
            assert "$ref" in response or path.startswith("/oauth/")


def test_there_are_examples_of_the_main_things() -> None:
    there = {file.stem for file in EXAMPLES}
    assert there >= {
        "Token",
        "Question",
        "Answer",
        "Problem",
        "Credentials",
        "Session",
        "Grant",
        "Consent",
        "AccessLog",
    }


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_an_example_is_what_the_schema_of_its_name_says(file: Path, document: dict[str, Any]) -> None:
    schema = {"$ref": f"#/components/schemas/{file.stem}", "components": document["components"]}
    example = json.loads(file.read_text(encoding="utf-8"))
    told = jsonschema_rs.Draft202012Validator(schema, validate_formats=True).iter_errors(example)
    assert [str(error) for error in told] == []


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_no_example_can_mean_a_real_company(file: Path) -> None:
    for name, value in pairs(json.loads(file.read_text(encoding="utf-8"))):
        if name in ("uscc", "C1.01.02"):
            assert is_valid(value)
            assert division(value) == "320599"
        if name in ("name", "institution_name", "C1.01.01") and value.endswith(("公司", "银行")):
            assert "演示" in value


def test_the_example_question_and_grant_are_taken_as_they_are(client: FlaskClient) -> None:
    asked = json.loads((OPENAPI / "examples" / "Question.json").read_text())
    given = json.loads((OPENAPI / "examples" / "Grant.json").read_text())
    bank, uscc = factories.bank(), asked["uscc"]
    factories.deliver([factories.registration(1, uscc)])
    headers = {"Authorization": f"Bearer {factories.signatory(uscc)}", "Idempotency-Key": "example"}
    granted = client.post("/v1/consents", json={**given, "grantee": bank}, headers=headers)
    assert granted.status_code == 201
    headers["Authorization"] = f"Bearer {factories.token(bank)}"
    assert client.post("/v1/credit-queries", json=asked, headers=headers).status_code == 200


def references(part: Any) -> list[str]:
    """Every $ref in a document."""
    return [value for name, value in pairs(part) if name == "$ref"]


def pairs(part: Any) -> list[tuple[str, Any]]:
    """Every member of every object in a document, as (name, value) where the value is a text."""
    if isinstance(part, list):
        return [pair for each in part for pair in pairs(each)]
    if not isinstance(part, dict):
        return []
    own = [(name, value) for name, value in part.items() if isinstance(value, str)]
    return own + [pair for value in part.values() for pair in pairs(value)]
