# SPDX-License-Identifier: Apache-2.0
"""Opaque cursors: where the next page of a list begins, never an offset."""

import base64
import binascii

from kernel.errors import Invalid

MAX_PAGE_ROWS = 200


def encode(last_id: str) -> str:
    """The cursor after a row, by the row's id."""
    return base64.urlsafe_b64encode(last_id.encode()).decode().rstrip("=")


def decode(cursor: str | None) -> str | None:
    """The id that a cursor stands for; raises Invalid where it is not one of ours."""
    if cursor is None:
        return None
    try:
        decoded = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, UnicodeError, ValueError) as error:
        raise Invalid("the cursor is not one that a list gave", errors={"cursor": ["unknown"]}) from error
    if "\0" in decoded or len(decoded) > 64:
        raise Invalid("the cursor is not one that a list gave", errors={"cursor": ["unknown"]})
    return decoded
