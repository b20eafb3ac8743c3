# SPDX-License-Identifier: Apache-2.0
"""Cursors give back what they were made of, and nothing else gets through."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernel import cursors, ids
from kernel.errors import Invalid


def test_a_cursor_gives_back_the_row_after_which_it_points() -> None:
    last = ids.new_id()
    assert cursors.decode(cursors.encode(last)) == last


def test_a_cursor_needs_no_escaping_in_a_url() -> None:
    assert set(cursors.encode(ids.new_id())).isdisjoint("+/=?&%# ")


def test_no_cursor_is_the_first_page() -> None:
    assert cursors.decode(None) is None


@pytest.mark.parametrize("cursor", ["é", "A", "_w", "AA", cursors.encode("x" * 65)])
def test_what_no_list_gave_is_refused_with_the_field_named(cursor: str) -> None:
    with pytest.raises(Invalid) as refused:
        cursors.decode(cursor)
    assert refused.value.extra == {"errors": {"cursor": ["unknown"]}}


@settings(deadline=None)
@given(st.text(max_size=130))
@example("\ud800")
def test_any_text_is_either_a_short_id_or_refused(cursor: str) -> None:
    try:
        decoded = cursors.decode(cursor)
    except Invalid:
        return
    assert decoded is not None
    assert len(decoded) <= 64
    assert "\0" not in decoded
