# SPDX-License-Identifier: Apache-2.0
"""A Parquet file as a registry's database would export it: days are days, amounts decimals, counts whole numbers."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROWS_A_GROUP = 10_000
_KINDS: dict[str, tuple[pa.DataType, Callable[[str], Any]]] = {
    "date": (pa.date32(), date.fromisoformat),
    "integer": (pa.int64(), int),
    "boolean": (pa.bool_(), "是".__eq__),
    "money": (pa.decimal128(38, 6), Decimal),  # an amount in 万元 has six decimals
}


def write(file: Path, columns: Sequence[str], types: Sequence[str], rows: Iterator[list[str]]) -> Path:
    """Write the rows. `types` are the catalogue's; an empty text is a null."""
    kinds = [_KINDS.get(type_, (pa.string(), str)) for type_ in types]
    schema = pa.schema([pa.field(name, kind[0]) for name, kind in zip(columns, kinds, strict=True)])
    with pq.ParquetWriter(file, schema) as writer:
        while some := list(islice(rows, ROWS_A_GROUP)):
            held = [
                pa.array([read(text) if text else None for text in texts], type_)
                for (type_, read), texts in zip(kinds, zip(*some, strict=True), strict=True)
            ]
            writer.write_batch(pa.record_batch(held, schema=schema))
    return file
