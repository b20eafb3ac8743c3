# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document says what is so: held against the routes, against its examples, and against the API."""

import base64
import json
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema_rs
import pytest
import schemathesis
import yaml
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import checks
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    ignored_auth,
    missing_required_header,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from access import clients
from app import create_app, openapi
from app.commands import command
from kernel import db
from tests import factories

OPENAPI = Path(__file__).parents[2] / "openapi"
DOCUMENT = yaml.safe_load(openapi.document(create_app("https://bureau.example")))
OPERATIONS = sorted((path, method) for path, operations in DOCUMENT["paths"].items() for method in operations)
EXAMPLES = sorted((OPENAPI / "examples").glob("*.json"))
