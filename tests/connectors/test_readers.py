# SPDX-License-Identifier: Apache-2.0
"""Delivered files, whole and broken. Errors name file, row and remedy, and never what the file holds."""

import csv
import dataclasses
import gzip
import io
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bureau.records import Unreadable
from connectors import readers
from connectors.readers import Cells, Layout, Limits
from kernel.errors import BureauError, Invalid, NotFound, TooLarge

LAYOUT = Layout(
    format="csv",
    encoding="utf-8",
    columns=("名称", "代码"),
    ignored=frozenset({"备注"}),
    limits=Limits(
        packed_bytes=10_000_000,
        unpacked_bytes=100_000_000,
        ratio=20,
        rows=1000,
        row_bytes=2000,
        cell_characters=100,
    ),
)
HEADER = "名称,代码\n"
SECRET = "机密公司"


def deliver(folder: Path, content: bytes | str, name: str = "delivery.csv") -> Path:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def read(file: Path, layout: Layout = LAYOUT) -> list[Cells | Unreadable]:
    return list(readers.read(layout, file))


def limited(**limits: int) -> Layout:
    return dataclasses.replace(LAYOUT, limits=dataclasses.replace(LAYOUT.limits, **limits))


def cells(*rows: tuple[str, str]) -> list[Cells]:
    return [Cells(n, {"名称": name, "代码": code}) for n, (name, code) in enumerate(rows, start=1)]


@pytest.mark.parametrize(
    "content",
    [
        "名称,代码\n甲,1\n乙,2\n",
        "名称,代码\r\n甲,1\r\n乙,2\r\n",
        "名称,代码\n甲,1\r\n乙,2",
        "\ufeff名称,代码\n甲,1\n乙,2\n",
        '\ufeff"名称","代码"\n"甲","1"\n"乙","2"\n',
        " 名称 ,\u3000代码\n甲,1\n乙,2\n",
        "代码,名称\n1,甲\n2,乙\n",
        "\n名称,代码\n\n甲,1\r\n\r\n乙,2\n\n",
    ],
)
def test_rows_come_by_column_name_whatever_the_order_the_line_ends_and_the_bom(tmp_path: Path, content: str) -> None:
    assert read(deliver(tmp_path, content)) == cells(("甲", "1"), ("乙", "2"))


def test_gzip_is_told_by_its_first_bytes_and_may_have_members(tmp_path: Path) -> None:
    packed = gzip.compress(f"{HEADER}甲,1\n".encode()) + gzip.compress("乙,2\n".encode())
    assert read(deliver(tmp_path, packed, "delivery.csv")) == cells(("甲", "1"), ("乙", "2"))
    assert read(deliver(tmp_path, f"{HEADER}甲,1\n", "delivery.csv.gz")) == cells(("甲", "1"))


def test_a_quoted_cell_keeps_its_line_ends_commas_quotes_and_blanks(tmp_path: Path) -> None:
    file = deliver(tmp_path, f'{HEADER}" 甲,\n""乙""\r\n丙 ",1\n丁,2\n')
    assert read(file) == cells((' 甲,\n"乙"\r\n丙 ', "1"), ("丁", "2"))


def test_formula_like_cells_are_text(tmp_path: Path) -> None:
    file = deliver(tmp_path, f"{HEADER}=cmd|' /C calc'!A0,@SUM(1+1)\n+1,-1\n")
    assert read(file) == cells(("=cmd|' /C calc'!A0", "@SUM(1+1)"), ("+1", "-1"))


def test_a_header_alone_is_a_delivery_of_no_rows(tmp_path: Path) -> None:
    assert read(deliver(tmp_path, HEADER)) == []


def test_an_ignored_column_may_come_and_is_handed_on_for_the_row_as_delivered(tmp_path: Path) -> None:
    assert read(deliver(tmp_path, "名称,备注,代码\n甲,注,1\n")) == [Cells(1, {"名称": "甲", "备注": "注", "代码": "1"})]


@pytest.mark.parametrize("line", ["甲", "甲,1,多", "甲,1,", "   ", '"甲"乙,1', '甲,"1"2', '"甲" ,1', "甲\r乙,1"])
def test_a_row_that_does_not_fit_the_columns_is_rejected_with_its_text_and_reading_goes_on(
    tmp_path: Path, line: str
) -> None:
    file = deliver(tmp_path, f"{HEADER}甲,1\n{line}\n乙,2\n")
    assert read(file) == [
        Cells(1, {"名称": "甲", "代码": "1"}),
        Unreadable(2, "malformed-row", {"row": line}),
        Cells(3, {"名称": "乙", "代码": "2"}),
    ]


BROKEN_HEADERS = [
    ("", "the file is empty", "名称, 代码"),
    ("\n\n", "the file is empty", "名称, 代码"),
    (f"{SECRET},1\n", "no column 名称", "the first row must name 名称, 代码"),
    ("名称\n甲\n", "no column 代码", "名称, 代码"),
    ("名称,代码,代码\n甲,1,2\n", "column 3 is there twice", "name each column once"),
    ("名称,代码,备注,备注\n甲,1,2,3\n", "column 4 is there twice", "name each column once"),
    (f"名称,代码,{SECRET}\n甲,1,2\n", "column 3 is unknown to the feed", "`ignored`"),
    ("名称;代码\n甲;1\n", "no column 名称", "名称, 代码"),
    ('"名称"x,代码\n', "no column 名称", "名称, 代码"),
]


@pytest.mark.parametrize(("content", "problem", "remedy"), BROKEN_HEADERS)
def test_a_broken_header_ends_the_file(tmp_path: Path, content: str, problem: str, remedy: str) -> None:
    with pytest.raises(Invalid) as raised:
        read(deliver(tmp_path, content))
    assert raised.value.detail.startswith(f"delivery.csv, header: {problem}")
    assert remedy in raised.value.detail
    assert SECRET not in raised.value.detail


TEXT = "".join(f"{SECRET}{n},{n}\n" for n in range(200))
WHOLE = gzip.compress(f"{HEADER}{TEXT}".encode())
BROKEN_FILES = {
    "another encoding": (f"{HEADER}甲,1\n".encode() + "乙,2\n".encode("gb18030"), "row 2: not utf-8"),
    "another encoding from the start": ("名称,代码\n".encode("gb18030"), "header: not utf-8"),
    "utf-16": (HEADER.encode("utf-16"), "header: binary, not text"),
    "a NUL byte": (f"{HEADER}甲,1\n乙,\x00\n".encode(), "row 2: binary, not text"),
    "a spreadsheet": (b"PK\x03\x04\x14\x00\x06\x00" + bytes(500), "header: the zip file is cut off or damaged"),
    "gzip in gzip": (gzip.compress(WHOLE), "header: "),
    "gzip cut in the middle": (WHOLE[: len(WHOLE) // 2], "the gzip file is cut off or damaged"),
    "gzip without its trailer": (WHOLE[:-8], "row 201: the gzip file is cut off or damaged"),
    "gzip with a wrong checksum": (WHOLE[:-8] + bytes(8), "row 201: the gzip file is cut off or damaged"),
    "gzip with something behind": (WHOLE + b"behind", "row 201: the gzip file is cut off or damaged"),
    "gzip with broken insides": (
        WHOLE[:60] + b"\xff" * 20 + WHOLE[80:],
        "the gzip file is cut off or damaged",
    ),
    "cut inside a quoted cell": (f'{HEADER}甲,1\n"乙'.encode(), "row 2: the file ends inside a quoted cell"),
}


@pytest.mark.parametrize("kind", BROKEN_FILES)
def test_a_file_that_cannot_be_trusted_ends_with_file_row_and_remedy(tmp_path: Path, kind: str) -> None:
    content, problem = BROKEN_FILES[kind]
    with pytest.raises(Invalid) as raised:
        read(deliver(tmp_path, content))
    assert raised.value.detail.startswith("delivery.csv, ")
    assert problem in raised.value.detail
    assert "; " in raised.value.detail
    assert SECRET not in raised.value.detail


def test_rows_before_the_fault_have_been_read(tmp_path: Path) -> None:
    rows = readers.read(LAYOUT, deliver(tmp_path, f"{HEADER}甲,1\n".encode() + b"\xff,2\n"))
    assert next(rows) == Cells(1, {"名称": "甲", "代码": "1"})
    with pytest.raises(Invalid, match=r"row 2"):
        next(rows)


def test_what_is_no_file_is_not_found(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.csv", tmp_path):
        with pytest.raises(NotFound, match=path.name):
            read(path)


OVERSIZED = {
    "packed bytes": (limited(packed_bytes=20), f"{HEADER}甲,1\n乙,2\n", "above the feed's 20"),
    "unpacked bytes": (limited(unpacked_bytes=25), f"{HEADER}甲,1\n乙,2\n", "row 2: .*more than 25 bytes"),
    "rows": (limited(rows=2), f"{HEADER}甲,1\n乙,2\n丙,3\n", "row 3: more than 2 rows"),
    "a line": (LAYOUT, f"{HEADER}甲,1\n{'乙' * 5000}", "row 2: more than 2,000 bytes"),
    "a header": (LAYOUT, "名" * 5000, "header: more than 2,000 bytes"),
    "a row of many lines": (LAYOUT, f'{HEADER}甲,1\n"' + "乙\n" * 900, "row 2: more than 2,000 bytes"),
    "a cell": (LAYOUT, f"{HEADER}甲,1\n{'乙' * 101},2\n", "row 2: a cell has more than 100 characters"),
    "a quoted cell": (
        LAYOUT,
        f'{HEADER}甲,1\n"' + "乙\n" * 60 + '",2\n',
        "row 2: a cell has more than 100 characters",
    ),
}


@pytest.mark.parametrize("kind", OVERSIZED)
def test_a_file_beyond_the_limits_ends_with_its_place_and_remedy(tmp_path: Path, kind: str) -> None:
    layout, content, problem = OVERSIZED[kind]
    with pytest.raises(TooLarge, match=rf"delivery.csv.*{problem}.*; ") as raised:
        read(deliver(tmp_path, content), layout)
    assert "乙" not in raised.value.detail


def test_the_limits_themselves_are_allowed(tmp_path: Path) -> None:
    content = f"{HEADER}{'甲' * 100},1\n乙,2\n"
    layout = limited(rows=2, packed_bytes=len(content.encode()), unpacked_bytes=len(content.encode()))
    assert read(deliver(tmp_path, content), layout) == cells(("甲" * 100, "1"), ("乙", "2"))


def test_a_gzip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = deliver(tmp_path, gzip.compress(HEADER.encode() + b"a,1\n" * 5_000_000, 1))
    layout = limited(rows=10_000_000)
    with pytest.raises(TooLarge, match=r"holds more than [0-9,]+ bytes of text"):
        read(bomb, layout)


def test_a_small_file_of_equal_rows_is_no_bomb(tmp_path: Path) -> None:
    rows = 900
    packed = gzip.compress(HEADER.encode() + "甲,1\n".encode() * rows)
    assert len(HEADER.encode() + "甲,1\n".encode() * rows) > LAYOUT.limits.ratio * len(packed)
    assert len(read(deliver(tmp_path, packed))) == rows


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    layout = limited(rows=1_000_000, ratio=10_000)
    big = deliver(tmp_path, gzip.compress(HEADER.encode() + f"{'甲' * 90},1\n".encode() * 60_000, 1))
    tracemalloc.start()
    count = sum(1 for _ in readers.read(layout, big))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 60_000
    assert peak_bytes < 2_000_000


def test_a_huge_line_without_an_end_is_refused_in_little_memory(tmp_path: Path) -> None:
    line = deliver(tmp_path, gzip.compress(HEADER.encode() + b"x" * 50_000_000, 1))
    tracemalloc.start()
    with pytest.raises(TooLarge, match=r"row 1: more than 2,000 bytes"):
        read(line)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 2_000_000


def test_the_csv_module_s_global_limit_is_left_alone_and_never_reached_silently(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    layout = limited(row_bytes=1_000_000, cell_characters=readers.LARGEST_CELL_CHARACTERS)
    file = deliver(tmp_path, f"{HEADER}{'x' * (before + 1)},1\n")
    with pytest.raises(TooLarge, match=r"row 1: a cell has more than 131,072 characters"):
        read(file, layout)
    assert csv.field_size_limit() == before == readers.LARGEST_CELL_CHARACTERS


texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)


@given(st.lists(st.tuples(texts, texts), max_size=20), st.booleans(), st.booleans(), st.booleans())
def test_whatever_a_csv_writer_writes_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], bom: bool, packed: bool, crlf: bool
) -> None:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\r\n" if crlf else "\n", quoting=csv.QUOTE_ALL)
    writer.writerows([("名称", "代码"), *rows])
    content = stream.getvalue().encode("utf-8-sig" if bom else "utf-8")
    file = deliver(tmp_path_factory.getbasetemp(), gzip.compress(content) if packed else content)
    assert read(file) == cells(*rows)


@given(st.binary(max_size=300))
def test_any_bytes_at_all_are_read_or_refused_with_the_file_s_name(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = deliver(tmp_path_factory.getbasetemp(), content)
    faults: list[BureauError] = []
    try:
        read(file)
    except (Invalid, TooLarge) as error:
        faults.append(error)
    assert all(fault.detail.startswith("delivery.csv, ") for fault in faults)
