# SPDX-License-Identifier: Apache-2.0
"""What comes in: JSON as RFC 8259 has it, within the limit, and nowhere a character that no text here can hold.

The limit holds for every view but those that read their stream themselves and say how much they take.
"""

import io
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import orjson
from flask import current_app, request
from marshmallow import missing
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import UnsupportedMediaType

from kernel.errors import Malformed, NotFound, TooLarge

MAX_BODY_BYTES = 64 * 1024  # of a JSON request; deliveries state their own limit
FORM = "application/x-www-form-urlencoded"
ASIDE = "bureau.aside"  # in the environment: what `aside` enters, where the server has few places
UNREADABLE = "the request cannot be read: is the body valid JSON in UTF-8?"

# U+0000 in a JSON text can only be written so; the backslash itself must not be an escaped one.
_NUL_IN_JSON = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_NUL_REFUSED = "the request holds the character U+0000, which no text here can: leave it out"


class StrictParser(FlaskParser):
    """webargs, but a body that is not JSON is said to be so, and not read as an empty one.

    JSON is what RFC 8259 says: no NaN, no lone surrogates, UTF-8 only, and no nesting without end.
    """

    def load_json(self, req: Any, schema: Any) -> Any:
        if not req.is_json:
            raise UnsupportedMediaType("send the body as application/json, UTF-8")
        body = req.get_data()
        if _NUL_IN_JSON.search(body):
            raise Malformed(_NUL_REFUSED)
        try:
            return orjson.loads(body) if body else missing
        except orjson.JSONDecodeError as error:
            raise Malformed(UNREADABLE) from error


def require_within_limit() -> None:
    """Raise TooLarge where the present request's body is larger than what is read here."""
    if getattr(current_app.view_functions.get(request.endpoint or ""), "streams", False):
        return
    # A body that does not say its length werkzeug would cut at the limit in silence, and pass on as the whole.
    if request.content_length is None and request.environ.get("wsgi.input_terminated"):
        body = request.environ["wsgi.input"].read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise too_large()
        request.environ["wsgi.input"] = io.BytesIO(body)


def too_large() -> TooLarge:
    """What to raise of a body that is."""
    return TooLarge(f"the body is larger than {request.max_content_length} bytes, the most that is read here")


def refuse_nul() -> None:
    """Raise NotFound or Malformed where the present request's path or query holds U+0000."""
    # PostgreSQL keeps no U+0000 in a text: refused here, both engines answer alike.
    if "\0" in request.path:
        raise NotFound(_NUL_REFUSED)
    if any("\0" in text for pair in request.args.items(multi=True) for text in pair):
        raise Malformed(_NUL_REFUSED)


def aside() -> AbstractContextManager[None]:
    """For as long as the block runs, the request only waits for its caller and leaves its place at work to others."""
    step: Callable[[], AbstractContextManager[None]] = request.environ.get(ASIDE, nullcontext)
    return step()
