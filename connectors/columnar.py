# SPDX-License-Identifier: Apache-2.0
"""Parquet, read by a process of its own (`connectors.parquet`) and taken from it line by line."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from connectors import objects, packing
from connectors.layouts import Broken, Layout, Records
from kernel.errors import Invalid, TooLarge

_MAGIC = b"PAR1"
_TOO_LARGE = 5


def records(delivery: io.BufferedReader, layout: Layout, record: list[str]) -> Records:
    """As `objects.records`: first the feed's columns as a header, then each row's cells."""
    magic = delivery.read(len(_MAGIC))
    delivery.seek(0)
    if magic != _MAGIC:
        raise Broken(Invalid, "no Parquet file", "deliver Parquet as it is, not packed again")
    size = os.fstat(delivery.fileno()).st_size
    with _converted(delivery, layout) as lines:
        yield from objects.records(packing.lines(lines, layout, size, record), record, layout)


@contextmanager
def _converted(delivery: io.BufferedReader, layout: Layout) -> Iterator[io.BufferedReader]:
    """The rows as JSON Lines. Raises Broken where the program says so; it is ended with the block."""
    limits = layout.limits
    told = json.dumps({"bytes": limits.unpacked_bytes, "rows": limits.rows})
    command = [sys.executable, "-P", "-m", "connectors.parquet", told]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BUREAU_")}
    # Our own program; of the environment it is given no address and no key.
    process = subprocess.Popen(  # noqa: S603
        command, stdin=delivery, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        yield process.stdout  # type: ignore[misc]
        why = process.stderr.read().decode(errors="replace").strip().rpartition("\n")[2]
        if code := process.wait():
            problem, _, remedy = why.partition("; ")
            known = code > 1
            raise Broken(
                TooLarge if code == _TOO_LARGE else Invalid,
                problem if known else "the Parquet file cannot be read",
                (remedy if known else "") or "deliver it again",
            )
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
