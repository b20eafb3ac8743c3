# SPDX-License-Identifier: Apache-2.0
"""The API's documentation at /docs, served offline: Swagger UI from its package over our own /openapi.json."""

from importlib.resources import files

from flask import Response

from kernel.errors import NotFound
from kernel.web import Blueprint

blp = Blueprint("docs", __name__, description="The documentation")
# Swagger UI writes style attributes itself; scripts come from here alone, and nothing comes from outside.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
PAGE = """<!doctype html>
<html lang="zh-CN">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>征信平台接口文档 · API of the bureau</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="/docs/favicon-32x32.png">
</head>
<body style="margin: 0">
<div id="docs"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
START = """window.addEventListener("load", () => {
  window.ui = SwaggerUIBundle({
    url: "/openapi.json",
    dom_id: "#docs",
    deepLinking: true,
    docExpansion: "none",
    defaultModelsExpandDepth: 0,
    filter: true,
    validatorUrl: null,
    persistAuthorization: false,
  });
});
"""
FILES = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
}


@blp.route("/docs")
@blp.public
@blp.response(200, content_type="text/html")
def show_docs() -> Response:
    """The documentation of this API, for people."""
    response = Response(PAGE, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = POLICY
    return response


@blp.route("/docs/<name>")
@blp.public
@blp.response(200, content_type="application/octet-stream")
def show_docs_file(name: str) -> Response:
    """A file that the documentation's page asks for."""
    if name == "start.js":
        return _cached(START.encode(), "text/javascript; charset=utf-8")
    if name not in FILES:
        raise NotFound("the documentation has no such file")
    return _cached((files("flask_swagger_ui") / "dist" / name).read_bytes(), FILES[name])


def _cached(content: bytes, content_type: str) -> Response:
    response = Response(content, content_type=content_type)
    response.headers["Cache-Control"] = "public, max-age=3600"
    return response
