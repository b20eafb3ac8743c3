# SPDX-License-Identifier: Apache-2.0
"""An export, whole or of a range, in both forms: whoever drops, adds or changes a line is found, offline."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import export, exported, log, merkle, notes, sealing
from audit.merkle import Frontier
from audit.notes import BadNote
from kernel import db
from kernel.errors import Invalid
from tests.audit.test_merkle import hashes, node
from tests.audit.test_rewards import answered, append
from tests.audit.test_sealing import ORIGIN
from tests.conftest import House

SIZE = 20
Taken = tuple[list[bytes], str, list[notes.Verifier]]


def taken(folder: Path, form: export.Form, first: int, last: int) -> Taken:
    file = folder / f"log.{form}"
    export.write(file, first, last, form)
    assert {each.stat().st_mode & 0o777 for each in (file, export.proof_of(file))} == {0o600}
    with db.reading() as reading:
        known = log.keys(reading, ORIGIN)
    return file.read_bytes().splitlines(keepends=True), export.proof_of(file).read_text(), known


@pytest.fixture
def sealed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    append(monkeypatch, *(answered(f"u{number}", institution_name="=苏州,银行") for number in range(SIZE)))
    sealing.seal(ORIGIN)


@pytest.mark.usefixtures("sealed")
@pytest.mark.parametrize("form", export.FORMS)
@pytest.mark.parametrize(("first", "last"), [(0, 20), (0, 7), (5, 6), (13, 20), (16, 19)])
def test_an_export_is_whole_and_a_line_that_changes_is_named(
    tmp_path: Path, form: export.Form, first: int, last: int
) -> None:
    lines, proof, known = taken(tmp_path, form, first, last)
    checked = exported.check(lines, proof, known)
    assert (checked.first, checked.lines, checked.checkpoint.size) == (first, last - first, SIZE)
    top = len(lines) - (last - first)
    spoiled = [
        (lines[:-1], "missing at the end"),
        ([*lines, lines[-1]], f"line {len(lines) + 1}"),
        ([*lines[:-1], lines[-1].replace(b"pre_loan", b"self")], f"line {len(lines)}"),
        ([*lines[:-1], b"garbage\n"], f"line {len(lines)} is no line"),
    ]
    if last - first > 1:
        spoiled.append((lines[:top] + lines[top + 1 :], f"line {top + 1}"))
        spoiled.append(([*lines[:top], lines[top + 1], lines[top], *lines[top + 2 :]], f"line {top + 1}"))
    for spoil, told in spoiled:
        with pytest.raises(BadNote, match=told):
            exported.check(spoil, proof, known)


@pytest.mark.usefixtures("sealed")
def test_an_export_altered_with_its_hash_does_not_make_the_root(tmp_path: Path) -> None:
    lines, proof, known = taken(tmp_path, "ndjson", 3, 12)
    forged = json.loads(lines[5]) | {"leaf_hash": "00" * 32, "entry": None}
    with pytest.raises(BadNote, match="signed root"):
        exported.check([*lines[:5], json.dumps(forged).encode(), *lines[6:]], proof, known)
    moved = proof.replace("from 3\n", "from 5\n").replace("to 12\n", "to 14\n")
    told = [line.replace(b'"index":%d,' % index, b'"index":%d,' % (index + 2)) for index, line in enumerate(lines, 3)]
    with pytest.raises(BadNote, match="signed root"):
        exported.check(told, moved, known)


@pytest.mark.usefixtures("sealed")
def test_a_spreadsheet_runs_nothing_and_no_column_lies(tmp_path: Path) -> None:
    lines, proof, known = taken(tmp_path, "csv", 0, SIZE)
    rows = list(csv.DictReader(io.StringIO(b"".join(lines).decode("utf-8-sig"))))
    assert {row["uscc"] for row in rows} == {f"u{number}" for number in range(SIZE)}
    assert {(row["institution_name"], row["billable"]) for row in rows} == {("'=苏州,银行", "true")}
    for column in (rows[4]["uscc"].encode(), b"pre_loan", b"records"):
        forged = lines[5].replace(column, b"other", 1)
        with pytest.raises(BadNote, match="line 6: a column was altered"):
            exported.check([*lines[:5], forged, *lines[6:]], proof, known)


@pytest.mark.usefixtures("sealed")
@pytest.mark.parametrize(("first", "last"), [(0, 21), (20, 21), (5, 5), (6, 5)])
def test_a_range_outside_of_the_log_is_refused(tmp_path: Path, first: int, last: int) -> None:
    with pytest.raises(Invalid, match="leaves 0 to 19"):
        export.write(tmp_path / "log", first, last)
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(
    "spoil", [("from 0", "from 00"), ("to 20", "to x"), ("credit", "debit"), ("to 20", "to 20\nbefore AAAA")]
)
def test_a_proof_is_read_strictly(spoil: tuple[str, str]) -> None:
    with pytest.raises(BadNote):
        exported.parse_proof("credit-bureau/export-proof@v1\nfrom 0\nto 20\n\nnote".replace(*spoil))


@given(st.integers(1, 200), st.data())
def test_any_range_grows_from_what_covers_the_leaves_before(size: int, data: Any) -> None:
    first = data.draw(st.integers(0, size))
    frontier = Frontier(first, merkle.cover(first, node))
    for each in hashes(size)[first:]:
        frontier.add(each)
    assert frontier.root == merkle.root(size, node)
