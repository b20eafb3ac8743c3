# SPDX-License-Identifier: Apache-2.0
"""The directory: each enterprise's name and division as of any publication, nothing of an open delivery."""

from collections.abc import Iterator

import orjson
import pytest
from sqlalchemy import func, select

from bureau import directory, intake
from bureau.models import directory as lines
from bureau.records import Row
from kernel import db
from kernel.errors import Invalid
from tests import factories
from tests.bureau.histories import answer, electricity
from tests.conftest import House
from tests.factories import deliver, new_uscc, registration

EARLY_CODE = "91350100M0001TGQXM"  # has the pattern; its check symbol is wrong


def named(code: str, name: str | None, division: str | None = "320505") -> Row:
    return registration(1, code, **{"C1.01.01": name, "C1.01.17": division})


def current(*codes: str) -> dict[str, directory.Line]:
    with db.reading() as reading:
        return directory.current(reading, codes)


def name_in_answer(code: str, as_of: int) -> str | None:
    name: str | None = orjson.loads(answer(code, as_of=as_of))["name"]
    return name


def count_lines() -> int:
    with db.reading() as reading:
        return reading.scalar(select(func.count()).select_from(lines)) or 0


def test_a_name_holds_from_the_delivery_that_brought_it_until_the_next(house: House) -> None:
    code = new_uscc()
    deliver([named(code, "演示甲有限公司")])
    deliver([named(code, "演示乙有限公司", "320506")])
    deliver([electricity(1, code)])
    assert [name_in_answer(code, number) for number in range(4)] == [
        None, "演示甲有限公司", "演示乙有限公司", "演示乙有限公司",
    ]  # fmt: skip
    assert current(code, new_uscc()) == {code: ("演示乙有限公司", "320506")}


def test_only_what_says_something_new_is_written(house: House) -> None:
    code = new_uscc()
    for name in ("演示甲有限公司", "演示甲有限公司", None, "", "演示甲有限公司"):
        deliver([named(code, name)])
    assert (count_lines(), current(code)) == (1, {code: ("演示甲有限公司", "320505")})
    deliver([named(code, "演示甲有限公司", None)])
    assert (count_lines(), current(code)) == (2, {code: ("演示甲有限公司", None)})


@pytest.mark.parametrize("chunk_rows", [1, 2, 10])
@pytest.mark.parametrize("names", ["甲", "乙", "甲乙", "乙甲", "甲乙甲", "乙甲乙", "甲乙丙甲", "丙乙乙甲"])
def test_of_several_names_in_one_delivery_the_last_holds(
    house: House, monkeypatch: pytest.MonkeyPatch, names: str, chunk_rows: int
) -> None:
    monkeypatch.setattr(intake, "CHUNK_ROWS", chunk_rows)
    code = new_uscc()
    deliver([named(code, "甲")])
    deliver([named(code, name) for name in names])
    assert current(code) == {code: (names[-1], "320505")}
    assert name_in_answer(code, 2) == names[-1]
    assert name_in_answer(code, 1) == "甲"


def test_the_names_of_an_open_delivery_are_not_known_yet(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "CHUNK_ROWS", 1)
    code = new_uscc()

    def breaking() -> Iterator[Row]:
        yield named(code, "演示甲有限公司")
        raise OSError("the line went dead")

    with pytest.raises(OSError, match="went dead"):
        intake.receive(factories.batch(breaking()))
    deliver([electricity(1, code)])
    assert (count_lines(), current(code), name_in_answer(code, 1)) == (1, {}, None)


def test_many_enterprises_are_looked_up_at_once(house: House) -> None:
    codes = [new_uscc() for _ in range(8)]
    deliver([named(code, f"演示{code}") for code in codes])
    assert current(*codes) == {code: (f"演示{code}", "320505") for code in codes}


def test_a_code_with_a_wrong_check_symbol_is_plausible_only_where_the_directory_has_it(house: House) -> None:
    def judge(code: str) -> None:
        with db.reading() as reading:
            directory.require_plausible(reading, code)

    judge(new_uscc())  # whether the directory has it or not: existence is information
    for code in (EARLY_CODE, EARLY_CODE.lower(), "", "\0", "9" * 18):
        with pytest.raises(Invalid) as refused:
            judge(code)
        assert refused.value.slug == "invalid-uscc"
    deliver([named(EARLY_CODE, "演示老字号")], lenient_uscc=True)
    judge(EARLY_CODE)
