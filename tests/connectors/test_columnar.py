# SPDX-License-Identifier: Apache-2.0
"""Parquet: the same rows as text, exact, in flat memory, by a process of its own; what is not exact is refused."""

import dataclasses
import datetime as dt
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors import readers
from kernel.errors import Invalid, TooLarge
from tests.connectors.test_readers import cells, deliver, limited, read

LIMITS = {"unpacked_bytes": 1 << 30, "packed_bytes": 1 << 30, "ratio": 10_000, "rows": 10_000_000}


def layout(**limits: int) -> readers.Layout:
    return dataclasses.replace(limited(**{**LIMITS, **limits}), format="parquet")


def written(folder: Path, names: Any, codes: Any, **more: Any) -> Path:
    pq.write_table(pa.table({"名称": names, "代码": codes}), folder / "delivery.parquet", **more)
    return folder / "delivery.parquet"


@pytest.mark.parametrize(
    ("codes", "texts"),
    [
        (pa.array(["01", None]), ("01", "")),
        (pa.array(["01", "02"]).dictionary_encode(), ("01", "02")),
        (pa.array([9132050000000001234, -1]), ("9132050000000001234", "-1")),
        (pa.array([Decimal("1.10"), Decimal("0.00")]), ("1.10", "0.00")),
        (pa.array([dt.date(2019, 5, 6), None]), ("2019-05-06", "")),
        (pa.array([dt.datetime(2019, 5, 6, 12), None]), ("2019-05-06 12:00:00", "")),  # noqa: DTZ001
        (pa.array([True, False]), ("true", "false")),
    ],
    ids=["text", "dictionary", "number", "decimal", "date", "moment", "truth"],
)
def test_what_is_exact_is_read_as_text(tmp_path: Path, codes: pa.Array, texts: tuple[str, str]) -> None:
    file = written(tmp_path, ["甲", " 乙 "], codes)
    assert read(file, layout()) == cells(("甲", texts[0]), (" 乙 ", texts[1]))


BROKEN = {
    "fractions": (lambda f: written(f, ["甲"], [1.1]), Invalid, "column 2 is of type double; deliver it as text or"),
    "bytes": (lambda f: written(f, ["甲"], [b"x"]), Invalid, "column 2 is of type binary; deliver it as text or"),
    "lists": (lambda f: written(f, ["甲"], [["x"]]), Invalid, "column 2 is of type list"),
    "no parquet": (lambda f: deliver(f, "名称,代码\n"), Invalid, "no Parquet file; deliver Parquet as it is"),
    "cut off": (lambda f: deliver(f, written(f, ["甲"], ["1"]).read_bytes()[:-9]), Invalid, "cut off, damaged or"),
    "garbage": (lambda f: deliver(f, b"PAR1" + bytes(range(256)) * 9 + b"PAR1"), Invalid, "cut off, damaged or"),
    "too many rows": (lambda f: written(f, ["甲"] * 9, ["1"] * 9), TooLarge, "more rows or bytes than the feed"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_what_cannot_be_trusted_is_refused_with_its_remedy(tmp_path: Path, kind: str) -> None:
    make, error, told = BROKEN[kind]
    with pytest.raises(error, match=rf"^delivery\.(csv|parquet), .*{told}"):
        read(make(tmp_path), layout(rows=5))


def test_a_column_that_is_missing_or_unknown_is_told(tmp_path: Path) -> None:
    pq.write_table(pa.table({"名称": ["甲"], "另": ["1"]}), tmp_path / "delivery.parquet")
    (row,) = read(tmp_path / "delivery.parquet", layout())
    assert row[:2] == (1, "malformed-row")


def test_memory_is_flat_whatever_the_size_of_the_row_group(tmp_path: Path) -> None:
    """Measured in the reading process and its child, by the kernel: the peak at ten times the rows is no higher."""
    peaks = []
    for rows in (40_000, 400_000):
        file = written(tmp_path, ["演示" * 45] * rows, [str(n) for n in range(rows)], row_group_size=rows)
        done = subprocess.run(
            [sys.executable, "-c", COUNT, str(file)],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        )
        counted, own, child = map(int, done.stdout.split())
        assert counted == rows
        peaks.append((own, child))
    assert peaks[1][0] < peaks[0][0] + 10_000
    assert peaks[1][1] < peaks[0][1] + 40_000


COUNT = """
import dataclasses, resource, sys
from pathlib import Path
from connectors import readers
from connectors.readers import Layout, Limits
limits = Limits(1 << 30, 1 << 30, 10_000, 10_000_000, 2_000, 200)
layout = Layout("parquet", "utf-8", ("名称", "代码"), frozenset(), limits)
count = sum(1 for _ in readers.read(layout, Path(sys.argv[1])))
own = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(count, own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def test_whoever_serves_does_not_carry_the_library() -> None:
    program = "import sys, app, connectors.readers; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=False).returncode == 0
