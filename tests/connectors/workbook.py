# SPDX-License-Identifier: Apache-2.0
"""Builds .xlsx files by hand (ECMA-376), sound and unsound ones."""

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from xml.sax.saxutils import escape

_REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def text(value: str) -> str:
    return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'.replace("\r", "&#13;")


def number(value: str, style: int = 0) -> str:
    return f'<c s="{style}"><v>{value}</v></c>'


def cell(reference: str, made: str) -> str:
    return made.replace("<c", f'<c r="{reference}"', 1)


def shared(number: int) -> str:
    return f'<c t="s"><v>{number}</v></c>'


def workbook(
    *rows: Iterable[str],
    sheets: int = 1,
    before: str = "",
    head: str = "",
    after: str = "",
    texts: Sequence[str] = (),
    more: Mapping[str, str] | None = None,
) -> bytes:
    """A workbook of these rows of cells in its first sheet; style 1 is a date, `texts` are shared, `more` parts."""
    strings = "".join(f"<si><t>{escape(one)}</t></si>" for one in texts)
    body = "".join(f"<row>{''.join(cells)}</row>" for cells in rows)
    names = "".join(f'<sheet name="S{n}" sheetId="{n}" r:id="r{n}"/>' for n in range(1, sheets + 1))
    targets = "".join(f'<Relationship Id="r{n}" Target="worksheets/s{n}.xml"/>' for n in range(1, sheets + 1))
    parts = {
        "[Content_Types].xml": "<Types/>",
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_REL}"><sheets>{names}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f"<Relationships>{targets}</Relationships>",
        "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><numFmts><numFmt numFmtId="164" formatCode="yyyy-mm-dd"/>'
        '</numFmts><cellXfs><xf numFmtId="0"/><xf numFmtId="164"/></cellXfs></styleSheet>',
        "xl/worksheets/s1.xml": f'{before}<worksheet xmlns="{_MAIN}">{head}<sheetData>{body}</sheetData>{after}'
        "</worksheet>",
        "xl/sharedStrings.xml": f'<sst xmlns="{_MAIN}">{strings}</sst>',
        **(more or {}),
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return stream.getvalue()
