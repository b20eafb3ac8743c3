# SPDX-License-Identifier: Apache-2.0
"""CSV and TSV, a record at a time. Lines end in LF or CRLF; quoted cells may hold either."""

import csv
from collections.abc import Iterator

from connectors.layouts import Broken, Layout, Records, overlong
from kernel.errors import Invalid


def records(lines: Iterator[str], record: list[str], layout: Layout) -> Records:
    """Each record's cells (none where its quoting is broken) and its lines, which hold until the next.

    `record` is what `lines` notes its lines in.
    """
    rows = csv.reader(lines, strict=True, delimiter="\t" if layout.format == "tsv" else ",")
    longest = layout.limits.cell_characters
    while True:
        record.clear()
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            # The csv module tells its errors apart by their text alone; tests pin these two.
            if "unexpected end of data" in str(error):
                raise Broken(Invalid, "the file ends inside a quoted cell", "deliver all of it") from error
            if "field limit" in str(error):
                raise overlong(longest) from error
            yield [], record
            continue
        # A cell is no longer than its line, so that the cells of few rows need measuring.
        if (len(record) > 1 or len(record[0]) > longest) and max(map(len, cells)) > longest:
            raise overlong(longest)
        if cells:
            yield cells, record
