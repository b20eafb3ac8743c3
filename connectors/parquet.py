# SPDX-License-Identifier: Apache-2.0
"""Parquet → JSON Lines, as a program of its own: `python -m connectors.parquet LIMITS < FILE`.

A process of its own, because the library weighs more than a serving worker may, and so that a file made to break it
breaks nothing else: its memory has a ceiling that the kernel holds. Text is text, whole numbers, decimals, dates and
moments are written out exactly; columns of binary fractions (FLOAT, DOUBLE) are refused, since what they hold is not
what somebody wrote. It is read a few rows at a time, whatever the size of the file and of its row groups.
"""

import datetime as dt
import decimal
import json
import os
import resource
import sys
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

ROWS_AT_ONCE = 1_000
MEMORY_BYTES = 4 << 30  # of addresses: most of it is never touched
REFUSED, DAMAGED, TOO_LARGE = 3, 4, 5  # exit codes; why stands on standard error


def main() -> int:
    """Write the rows to standard output. Returns an exit code: 0, or one of those above."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    limits = json.loads(sys.argv[1])
    try:
        with os.fdopen(os.dup(0), "rb") as file, pq.ParquetFile(file, pre_buffer=False) as parquet:
            if (fault := _fault(parquet, limits)) is not None:
                return fault
            _write(parquet, sys.stdout.buffer)
    except (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError, OverflowError):
        return _say(DAMAGED, "the Parquet file is cut off, damaged or beyond the memory it may take")
    return 0


def _fault(parquet: pq.ParquetFile, limits: dict[str, Any]) -> int | None:
    schema = parquet.schema_arrow
    if len(set(schema.names)) < len(schema.names):
        return _say(REFUSED, "a column is there twice; name each column once")
    for number, field in enumerate(schema, start=1):
        if not _is_exact(field.type):
            return _say(REFUSED, f"column {number} is of type {field.type}; deliver it as text or decimal")
    unpacked = sum(parquet.metadata.row_group(n).total_byte_size for n in range(parquet.metadata.num_row_groups))
    if unpacked > limits["bytes"] or parquet.metadata.num_rows > limits["rows"]:
        return _say(TOO_LARGE, "the file holds more rows or bytes than the feed allows; split it")
    return None


def _is_exact(type_: pa.DataType) -> bool:
    if pa.types.is_dictionary(type_):
        return _is_exact(type_.value_type)
    kinds = (
        pa.types.is_string, pa.types.is_large_string, pa.types.is_integer, pa.types.is_decimal, pa.types.is_boolean,
        pa.types.is_date, pa.types.is_timestamp, pa.types.is_null,
    )  # fmt: skip
    return any(kind(type_) for kind in kinds)


def _write(parquet: pq.ParquetFile, out: BinaryIO) -> None:
    for batch in parquet.iter_batches(batch_size=ROWS_AT_ONCE, use_threads=False):
        names = batch.schema.names
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            row = {name: _text(value) for name, value in zip(names, values, strict=True)}
            out.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
    out.flush()


def _text(value: object) -> str | bool | None:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, decimal.Decimal):
        return f"{value:f}"
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, dt.date):
        return value.isoformat()
    return str(value)


def _say(code: int, told: str) -> int:
    sys.stderr.write(f"{told}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
