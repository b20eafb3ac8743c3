# SPDX-License-Identifier: Apache-2.0
"""GB 32100-2015 and GB 11714, with public codes of well-known companies and properties over made-up ones."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kernel import uscc

PUBLIC_CODES = ["914403001922038216", "91330100799655058B", "9144030071526726XG"]

symbols = st.sampled_from(uscc.SYMBOLS)
digits = st.sampled_from("0123456789")
first17s = st.tuples(*[symbols] * 2, *[digits] * 6, *[symbols] * 9).map("".join)
codes = first17s.map(lambda first17: first17 + uscc.check_symbol(first17))


@pytest.mark.parametrize("code", [*PUBLIC_CODES, "91320500MA1XY8014D"])
def test_a_well_known_code_is_valid_and_its_check_symbol_can_be_computed(code: str) -> None:
    assert uscc.is_valid(code)
    assert uscc.check_symbol(code[:17]) == code[17]


@pytest.mark.parametrize("code", PUBLIC_CODES)
def test_a_well_known_code_holds_a_valid_organisation_code(code: str) -> None:
    assert uscc.organisation_code_is_valid(uscc.organisation_code(code))


def test_the_parts_of_a_code_are_read_by_position() -> None:
    assert uscc.division("91330100799655058B") == "330100"
    assert uscc.organisation_code("91330100799655058B") == "799655058"


def test_an_early_legal_code_has_the_pattern_and_fails_the_check() -> None:
    assert uscc.has_pattern("91350100M0001TGQXM")
    assert not uscc.is_valid("91350100M0001TGQXM")


@pytest.mark.parametrize(
    "code",
    [
        "",
        "91330100799655058",
        "91330100799655058B0",
        "91330100799655058B\n",
        " 91330100799655058B",
        "91330100799655058b",
        "9133010079965505８B",
        "91３30100799655058B",
        "91330100I99655058B",
        "9133O100799655058B",
        "320500000012345",
        "企独苏总字第000001号",
    ],
)
def test_what_lacks_the_pattern_is_not_valid(code: str) -> None:
    assert not uscc.is_valid(code)
    assert not uscc.has_pattern(code)


@pytest.mark.parametrize("first17", ["", "9133010079965505", "91330100799655058B", "9133010079965505i"])
def test_no_check_symbol_is_computed_for_what_lacks_the_pattern(first17: str) -> None:
    with pytest.raises(ValueError, match="17 symbols"):
        uscc.check_symbol(first17)


@given(first17s)
def test_exactly_one_of_the_thirty_one_symbols_completes_a_code(first17: str) -> None:
    assert [s for s in uscc.SYMBOLS if uscc.is_valid(first17 + s)] == [uscc.check_symbol(first17)]


@given(codes, st.integers(0, 17), symbols)
def test_every_change_of_a_single_symbol_is_found(code: str, place: int, symbol: str) -> None:
    assume(code[place] != symbol)
    assert not uscc.is_valid(code[:place] + symbol + code[place + 1 :])


@given(codes, st.integers(0, 17), st.integers(0, 17))
def test_every_exchange_is_found_but_for_the_first_with_the_last(code: str, a: int, b: int) -> None:
    assume(code[a] != code[b])
    symbols = list(code)
    symbols[a], symbols[b] = symbols[b], symbols[a]
    assert uscc.is_valid("".join(symbols)) == ({a, b} == {0, 17})


@pytest.mark.parametrize("nine", ["799655058", "71526726X", "192203821"])
def test_an_organisation_code_has_exactly_one_right_last_symbol(nine: str) -> None:
    assert [last for last in "0123456789X" if uscc.organisation_code_is_valid(nine[:8] + last)] == [nine[8]]


def test_the_inner_check_misses_some_changes_of_a_letter_and_says_so() -> None:
    assert uscc.organisation_code_is_valid("000000000")
    assert uscc.organisation_code_is_valid("B00000000")
    assert uscc.organisation_code_is_valid("M00000000")


@pytest.mark.parametrize("nine", ["", "79965505", "79965505-8", "79965505x", "7996550５8", "799655058\n"])
def test_what_lacks_the_pattern_is_no_organisation_code(nine: str) -> None:
    assert not uscc.organisation_code_is_valid(nine)
