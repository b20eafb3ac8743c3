# SPDX-License-Identifier: Apache-2.0
"""Columns hold exactly what they were given, however narrow they are, and compare as values do."""

import math

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from bureau.screening import columns

value = st.one_of(
    st.integers(-200, 200).map(float),
    st.integers(-40_000, 40_000).map(lambda n: n / 100),
    st.integers(-(2**53), 2**53).map(float),
    st.floats(allow_nan=False, allow_infinity=False),
)
bound = st.one_of(value, st.just(math.inf), st.just(-math.inf), st.floats(-3, 3))


@given(st.lists(st.none() | value, min_size=1, max_size=20))
@example([127.0, -127.0])
@example([128.0, None])
@example([2.0**31])
@example([21474836.48, 0.01])
def test_a_column_gives_back_what_it_was_given(values: list[float | None]) -> None:
    given_values = np.array(values, np.float64)
    assert np.array_equal(columns.column_of(given_values).values(), given_values, equal_nan=True)


@given(st.lists(st.none() | value, min_size=1, max_size=20), bound, bound)
@example([0.29, 0.28, 0.3], 0.29, 0.29)
@example([1.0, 2.0], math.nextafter(1.0, 2), 2.0)
@example([-128.0, 127.0], -math.inf, math.inf)
def test_a_span_of_codes_is_a_span_of_values(values: list[float | None], low: float, high: float) -> None:
    column = columns.column_of(np.array(values, np.float64))
    first, last = column.span(low, high)
    found = [bool(column.known()[n] and first <= code <= last) for n, code in enumerate(column.codes.tolist())]
    assert found == [each is not None and low <= each <= high for each in values]


def test_what_is_small_is_narrow() -> None:
    widths = [columns.column_of(np.array(each)).kind.type for each in ([1.0], [1.25], [-3_000_000.5], [1e12], [0.001])]
    assert widths == ["i1", "i1", "i4", "f8", "f8"]
