# SPDX-License-Identifier: Apache-2.0
"""The other formats, encodings and packings: the same rows, and a corpus of broken files each refused by name."""

import dataclasses
import gzip
import io
import json
import os
import re
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from sqlalchemy import func, inspect, select, table

from bureau import intake
from bureau.records import Batch, Unreadable
from connectors import feeds, readers, workbooks
from connectors.readers import Cells
from kernel import db
from kernel.errors import BureauError, Invalid, TooLarge
from tests.conftest import House
from tests.connectors.test_readers import HEADER, LAYOUT, cells, deliver, limited, read
from tests.connectors.workbook import cell, number, shared, text, workbook

REGISTER = "market-regulation-register"
GOOD = "演示公司,91320500MA1XY8014D,2019-05-06,有限责任公司,200(万),机械,江苏,苏州\n"
REGISTER_HEADER = "企业名称,统一社会信用代码,注册日期,企业类型,注册资金,经营范围,所在省份,地区\n"
BIG_BYTES = 1_000_000_000


def layout(**changed: str) -> readers.Layout:
    return dataclasses.replace(LAYOUT, **changed)  # type: ignore[arg-type]


def count(file: Path, with_layout: readers.Layout) -> int:
    return sum(1 for _ in readers.read(with_layout, file))


def zipped(*contents: bytes, name: str = "a.csv") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for n, content in enumerate(contents):
            archive.writestr(f"{n}{name}", content)
    return stream.getvalue()


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_gb18030_with_and_without_its_mark(tmp_path: Path, mark: str) -> None:
    file = deliver(tmp_path, f'{mark}{HEADER}甲\U00020000,1\n"乙\n",2\n'.encode("gb18030"))
    assert read(file, layout(encoding="gb18030")) == cells(("甲\U00020000", "1"), ("乙\n", "2"))


def test_utf_8_is_not_misread_as_gb18030(tmp_path: Path) -> None:
    for content in (f"\ufeff{HEADER}甲,1\n", f"{HEADER}甲,1\n"):
        with pytest.raises(Invalid, match=r"delivery\.csv, header: .*; "):
            read(deliver(tmp_path, content), layout(encoding="gb18030"))


def test_tabs_part_cells_and_a_zip_holds_one_file(tmp_path: Path) -> None:
    content = "名称\t代码\n甲,\t1\n".encode()
    assert read(deliver(tmp_path, content), layout(format="tsv")) == cells(("甲,", "1"))
    assert read(deliver(tmp_path, zipped(content)), layout(format="tsv")) == cells(("甲,", "1"))


def test_json_lines_keep_numbers_as_text_and_fill_what_is_absent(tmp_path: Path) -> None:
    lines = ['{"名称":"甲","代码":12345678901234567890}', "", '{"代码":1.10,"备注":"注"}', '{"名称":null,"代码":true}']
    read_cells = read(deliver(tmp_path, "\n".join(lines)), layout(format="jsonl"))
    assert read_cells == cells(("甲", "12345678901234567890"), ("", "1.10"), ("", "true"))


@pytest.mark.parametrize(
    "line", ["[]", "1", "{", '{"x":1}', '{"代码":{}}', '{"代码":[1]}', '{"代码":1,"代码":2}', "[" * 1900, "nul"]
)
def test_what_is_no_flat_object_is_one_malformed_row(tmp_path: Path, line: str) -> None:
    file = deliver(tmp_path, f'{{"代码":1}}\n{line}\n{{"代码":2}}\n')
    assert read(file, layout(format="jsonl")) == [
        Cells(1, {"名称": "", "代码": "1"}),
        Unreadable(2, "malformed-row", {"row": line}),
        Cells(3, {"名称": "", "代码": "2"}),
    ]


def test_a_workbook_gives_the_text_of_its_cells(tmp_path: Path) -> None:
    content = workbook(
        [text("名称"), text("代码")],
        [text("甲"), number("91320500")],
        [],
        [cell("B4", number("1.1000000000000001"))],
        [number("43591", style=1), number("43591.5", style=1)],
        [text(" 乙 "), cell("B6", '<c t="b"><v>1</v></c>')],
        ["<c><v>1E+20</v></c>"],
    )
    assert read(deliver(tmp_path, content), layout(format="xlsx")) == cells(
        ("甲", "91320500"),
        ("", "1.1"),
        ("2019-05-06", "2019-05-06 12:00:00"),
        (" 乙 ", "TRUE"),
        ("100000000000000000000", ""),
    )


def test_a_workbook_row_with_too_many_cells_is_malformed(tmp_path: Path) -> None:
    content = workbook([text("名称"), text("代码")], [text("甲"), text("1"), text("多")])
    assert read(deliver(tmp_path, content), layout(format="xlsx")) == [
        Unreadable(1, "malformed-row", {"row": "甲\t1\t多"})
    ]


HEAD = [text("名称"), text("代码")]
_LINK = '<Relationships><Relationship Id="r1" Target="file:///etc/passwd" TargetMode="External"/></Relationships>'
ELSEWHERE = {
    "xl/externalLinks/externalLink1.xml": '<externalLink><externalBook r:id="r1"/></externalLink>',
    "xl/externalLinks/_rels/externalLink1.xml.rels": _LINK,
}
SHEET_ELSEWHERE = {"xl/_rels/workbook.xml.rels": _LINK}
BROKEN_BOOKS = {
    "a formula": (workbook(HEAD, ["<c><f>1+1</f><v>2</v></c>"]), "row 1: column 1 holds a formula"),
    "a formula later": (workbook(HEAD, [text("甲")], [text("乙"), "<c><f>A1</f></c>"]), "row 2: column 2 holds"),
    "a rounded code": (workbook(HEAD, [text("甲"), number("9132050000000001234")]), "row 1: column 2 holds a num"),
    "an error": (workbook(HEAD, ['<c t="e"><v>#REF!</v></c>']), "row 1: column 1 holds an error value"),
    "merged cells": (workbook(HEAD, after='<mergeCells><mergeCell ref="A1:B1"/></mergeCells>'), "merged cells"),
    "two sheets": (workbook(HEAD, sheets=2), "header: the workbook has 2 sheets"),
    "entities": (workbook(HEAD, before='<!DOCTYPE x [<!ENTITY a "b">]>'), "header: the workbook declares"),
    "bad xml": (workbook(HEAD, after="<"), "the workbook is damaged"),
    "a bad number": (workbook(HEAD, [number("x")]), "the workbook is damaged"),
    "no workbook": (zipped(b"x"), "header: no .xlsx workbook"),
    "an old workbook": (b"\xd0\xcf\x11\xe0" + bytes(500), "header: no .xlsx workbook"),
    "a cut workbook": (workbook(HEAD)[:-30], "header: no .xlsx workbook"),
    "a link to another workbook": (
        workbook(HEAD, [text("甲"), "<c><f>[1]S1!A1</f><v>1</v></c>"], more=ELSEWHERE), "row 1: column 2 holds a for",
    ),
    "a sheet elsewhere": (workbook(HEAD, more=SHEET_ELSEWHERE), "header: the sheet lies in another file"),
    "a header far to the right": (workbook([*HEAD, cell("XFD1", text("备注"))]), "header: column 3 is unknown"),
    "a text that is not there": (workbook(HEAD, [shared(1)], texts=["甲"]), "the workbook is damaged"),
    "a header twice": (workbook([text("名称"), text("代码"), text("代码")]), "header: column 3 is there twice"),
}  # fmt: skip


def test_a_workbook_is_read_whatever_it_links_to_or_says_of_its_size(tmp_path: Path) -> None:
    rows, read_as = ([text("甲"), text("1")], [shared(0), number("2")]), cells(("甲", "1"), ("乙", "2"))
    for told in ("A1:XFD1048576", "A1", "nonsense"):
        content = workbook(HEAD, *rows, head=f'<dimension ref="{told}"/>', texts=["乙"], more=ELSEWHERE)
        assert read(deliver(tmp_path, content), layout(format="xlsx")) == read_as


def test_cells_far_to_the_right_make_malformed_rows_in_little_memory(tmp_path: Path) -> None:
    file = deliver(tmp_path, workbook(HEAD, *([cell(f"XFD{n}", number("7"))] for n in range(2, 5_002))))
    tracemalloc.start()
    rows = readers.read(dataclasses.replace(limited(rows=10_000, ratio=100), format="xlsx"), file)
    assert next(rows) == Unreadable(1, "malformed-row", {"row": "\t\t\t7"})
    assert sum(isinstance(row, Unreadable) for row in rows) == 4_999
    assert tracemalloc.get_traced_memory()[1] < 3_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            workbook(HEAD, *([shared(0)] for _ in range(90_000)), texts=["x" * 100]),
            "row [0-9]+: the file holds more than",
        ),
        (workbook(HEAD, [shared(0)] * 21, texts=["x" * 100]), "row 1: more than 2,000 bytes"),
        (workbook(HEAD, [shared(0)], texts=["x" * 101]), "row 1: a cell has more than 100 characters"),
        (workbook(HEAD, texts=["x" * 99] * 300), "header: the workbook's texts are too many"),
    ],
)
def test_shared_texts_that_unpack_to_more_than_the_feed_allows_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, problem: str
) -> None:
    monkeypatch.setattr(workbooks, "LARGEST_TEXTS_BYTES", 30_000)
    file = deliver(tmp_path, content)
    tracemalloc.start()
    with pytest.raises(TooLarge, match=rf"^delivery\.csv, {problem}.*; "):
        count(
            file, dataclasses.replace(limited(rows=10_000_000, unpacked_bytes=5_000_000, ratio=10_000), format="xlsx")
        )
    assert tracemalloc.get_traced_memory()[1] < 3_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("kind", BROKEN_BOOKS)
def test_a_workbook_that_cannot_be_trusted_ends_with_place_and_remedy(tmp_path: Path, kind: str) -> None:
    content, problem = BROKEN_BOOKS[kind]
    with pytest.raises(Invalid, match=rf"^delivery\.csv, .*{re.escape(problem)}.*; "):
        read(deliver(tmp_path, content), layout(format="xlsx"))


def test_bombs_in_zip_and_workbook_are_refused_in_little_memory(tmp_path: Path) -> None:
    bomb = zipped(HEADER.encode() + (b"a" * 99 + b",1\n") * 200_000)
    book = workbook(HEAD, after=" " * 20_000_000)
    wide = workbook(HEAD, [text("x" * 3_000)])
    for content, form, problem in (
        (bomb, "csv", "holds more"),
        (book, "xlsx", "holds more"),
        (wide, "xlsx", "row 1"),
    ):
        file = deliver(tmp_path, content)
        tracemalloc.start()
        with pytest.raises(TooLarge, match=problem):
            count(file, dataclasses.replace(limited(rows=10_000_000), format=form))
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
        tracemalloc.stop()


def test_a_line_of_a_gigabyte_is_refused_unread(tmp_path: Path) -> None:
    """The line is a hole in a sparse file: it takes no room on the disk."""
    file = deliver(tmp_path, HEADER)
    os.truncate(file, BIG_BYTES)
    tracemalloc.start()
    with pytest.raises(TooLarge, match=r"row 1: more than 2,000 bytes; look for a lost quote"):
        read(file, limited(packed_bytes=2 * BIG_BYTES, unpacked_bytes=2 * BIG_BYTES))
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


WHOLE = (REGISTER_HEADER + GOOD * 12).encode()
WIDE = (b"a" * 15_000 + b",") * 20 + b"\n"
CORPUS = {
    "gzip cut off": (gzip.compress(WHOLE)[:-8], "row 13: the gzip file is cut off or damaged; deliver it again"),
    "zip cut off": (zipped(WHOLE)[:-8], "header: the zip file is cut off or damaged; deliver it again"),
    "wrong encoding": (WHOLE + "乙".encode("gb18030"), "row 13: not utf-8; save the file in utf-8"),
    "binary": (WHOLE + b"\0", "row 13: binary, not text; deliver csv in utf-8"),
    "long line": (WHOLE + b"x" * 600_000, "row 13: more than 500,000 bytes; look for a lost quote"),
    "header twice": (REGISTER_HEADER.replace("\n", ",地区\n").encode(), "is there twice; name each"),
    "lost quote": (WHOLE + b'"x', "row 13: the file ends inside a quoted cell; deliver all of it"),
    "two files": (zipped(WHOLE, WHOLE), "header: the zip file holds 2 files; pack one file in each"),
    "a workbook": (workbook([text("甲")]), "header: a workbook, not a text file; save it as text"),
    "empty": (b"", "header: the file is empty; the first row must name"),
    "zip in a zip": (zipped(zipped(WHOLE)), "header: binary, not text; deliver csv in utf-8"),
    "gzip in a gzip": (gzip.compress(gzip.compress(WHOLE)), "header: "),
    "mark of another encoding": (b"\x84\x31\x95\x33" + WHOLE, "header: not utf-8; save the file in utf-8"),
    "zip bomb": (zipped(REGISTER_HEADER.encode() + WIDE * 10), "bytes of text; split the file"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CORPUS)
def test_of_a_broken_delivery_nothing_is_stored(
    house: House, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows before the fault would fill two chunks."""
    monkeypatch.setattr(intake, "CHUNK_ROWS", 5)
    content, problem = CORPUS[kind]
    before = rows_by_table()
    with pytest.raises(BureauError, match=re.escape(problem)) as raised:
        intake.receive(pulled(deliver(tmp_path, content)))
    assert raised.value.detail.startswith("delivery.csv, ")
    assert rows_by_table() == before


def rows_by_table() -> dict[str, int]:
    """Every table of the database and how many rows it holds."""
    with db.reading() as reading:
        names = [name for name in inspect(reading).get_table_names() if not re.search(r"_p\d\d$", name)]
        return {name: reading.scalar(select(func.count()).select_from(table(name))) or 0 for name in names}


def test_rags_and_a_mark_in_the_middle_are_single_rows(house: House, tmp_path: Path) -> None:
    marked = GOOD.replace("演示公司,", "演示公司,\ufeff")
    content = REGISTER_HEADER + GOOD + "演示公司,91320500MA1XY8014D\n" + GOOD.replace("\n", ",more\n") + marked
    receipt = intake.receive(pulled(deliver(tmp_path, content)))
    assert (receipt.rows, receipt.accepted, receipt.reasons) == (4, 2, {"malformed-row": 2})


def test_mixed_line_ends_and_formulas_as_text_are_taken(house: House, tmp_path: Path) -> None:
    formula = GOOD.replace("机械", "=cmd|' /C calc'!A0")
    content = REGISTER_HEADER.replace("\n", "\r\n") + GOOD + formula.replace("\n", "\r\n") + "\n" + GOOD[:-1]
    receipt = intake.receive(pulled(deliver(tmp_path, content)))
    assert (receipt.rows, receipt.accepted, receipt.repeated) == (3, 3, 1)


def pulled(file: Path) -> Batch:
    return feeds.pull(feeds.load(REGISTER), file)


def test_memory_stays_flat_in_every_format(tmp_path: Path) -> None:
    rows = 20_000
    line = json.dumps({"名称": "甲" * 90, "代码": "1"}, ensure_ascii=False) + "\n"
    book = workbook(HEAD, *([text("甲" * 90), number("1")] for _ in range(rows)))
    for form, content in (("jsonl", (line * rows).encode()), ("xlsx", book)):
        file = deliver(tmp_path, content)
        tracemalloc.start()
        wide = dataclasses.replace(limited(rows=rows, ratio=10_000), format=form)
        assert count(file, wide) == rows
        assert tracemalloc.get_traced_memory()[1] < 2_500_000
        tracemalloc.stop()


REAL = Path(os.environ.get("BUREAU_TEST_DATA", "absent")) / "data" / "register-suzhou.csv.gz"


@pytest.mark.skipif(not REAL.exists(), reason="BUREAU_TEST_DATA holds no real register")
def test_the_real_register_is_the_same_in_every_format(tmp_path: Path) -> None:
    feed = feeds.load(REGISTER)
    delivered = [row for row in readers.read(feed.layout, REAL) if isinstance(row, Cells)]
    columns = list(delivered[0].cells)
    as_json = "".join(json.dumps(row.cells, ensure_ascii=False) + "\n" for row in delivered)
    in_gb18030 = gzip.decompress(REAL.read_bytes()).decode("utf-8-sig").encode("gb18030")
    book = workbook([text(c) for c in columns], *([text(row.cells[c]) for c in columns] for row in delivered))
    for form, encoding, content in (
        ("jsonl", "utf-8", zipped(as_json.encode())),
        ("csv", "gb18030", in_gb18030),
        ("xlsx", "utf-8", book),
    ):
        assert read(deliver(tmp_path, content), dataclasses.replace(feed.layout, format=form, encoding=encoding)) == (
            delivered
        )
