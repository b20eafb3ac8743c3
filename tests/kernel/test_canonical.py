# SPDX-License-Identifier: Apache-2.0
"""The canonical form against the `rfc8785` package and RFC 8785's own number-free examples."""

import hashlib
from typing import Any

import orjson
import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernel import canonical

texts = st.text(st.characters(exclude_categories=("Cs",)))
ascii_keys = st.text(st.characters(max_codepoint=127))
integers = st.integers(-canonical.MAX_INTEGER, canonical.MAX_INTEGER)
documents = st.recursive(
    st.none() | st.booleans() | integers | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(ascii_keys, inner, max_size=5),
    max_leaves=20,
)


@settings(deadline=None)
@given(documents)
@example({"a": canonical.MAX_INTEGER, "A": -canonical.MAX_INTEGER, "": [], "\x00": {}, "\x7f": None})
def test_every_document_of_ours_is_encoded_as_the_reference_implementation_does(document: Any) -> None:
    assert canonical.encode(document) == rfc8785.dumps(document)


@settings(deadline=None)
@given(documents)
def test_reading_the_canonical_form_gives_the_document_back_and_the_same_form_again(document: Any) -> None:
    encoded = canonical.encode(document)
    assert orjson.loads(encoded) == document
    assert canonical.encode(orjson.loads(encoded)) == encoded


def test_the_strings_and_literals_of_the_rfc_come_out_as_printed_there() -> None:
    # RFC 8785 §3.2.2 and §3.2.4, without the numbers
    document = {"string": "\u20ac$\u000f\nA'\u0042\u0022\u005c\\\"/", "literals": [None, True, False]}
    printed = '{"literals":[null,true,false],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    assert canonical.encode(document) == printed.encode()


@pytest.mark.parametrize(
    ("character", "written"),
    [
        ("\b", rb"\b"),
        ("\t", rb"\t"),
        ("\n", rb"\n"),
        ("\f", rb"\f"),
        ("\r", rb"\r"),
        ('"', rb"\""),
        ("\\", rb"\\"),
        ("\x00", rb"\u0000"),
        ("\x1f", rb"\u001f"),
        ("/", b"/"),
        ("\x7f", b"\x7f"),
        ("\u2028", "\u2028".encode()),
        ("😀", "😀".encode()),
    ],
)
def test_characters_are_escaped_only_where_the_rfc_says_so(character: str, written: bytes) -> None:
    assert canonical.encode(character) == b'"' + written + b'"'


def test_keys_are_sorted_at_every_depth_whatever_order_they_came_in() -> None:
    assert canonical.encode({"b": {"z": 1, "a": 2}, "B": [], "1": 0, "": 3}) == (
        b'{"":3,"1":0,"B":[],"b":{"a":2,"z":1}}'
    )


@pytest.mark.parametrize("document", ["\ud800", {"a": ["\udfff"]}, 2**64, {1: 2}, object()])
def test_what_has_no_canonical_form_is_refused_and_not_altered(document: Any) -> None:
    with pytest.raises(TypeError):
        canonical.encode(document)


def test_a_digest_is_the_hash_of_the_canonical_form() -> None:
    assert canonical.digest({"b": 1, "a": "苏"}) == hashlib.sha256('{"a":"苏","b":1}'.encode()).hexdigest()
    assert canonical.digest({"a": "苏", "b": 1}) == canonical.digest({"b": 1, "a": "苏"})
    assert canonical.digest({"a": (1, 2)}) == canonical.digest({"a": [1, 2]})
