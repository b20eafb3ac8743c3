# SPDX-License-Identifier: Apache-2.0
"""A workbook of one sheet (ECMA-376), streamed: days are days, numbers up to 15 digits numbers, all else text."""

import zipfile
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from xml.sax.saxutils import escape

PRECISE_DIGITS = 15  # what a spreadsheet keeps of a number
DAY_ZERO = date(1899, 12, 30)
FIRST_TIME = (1980, 1, 1, 0, 0, 0)  # that a zip file can tell: the same content is the same bytes at any hour
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_SHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_SHEET}.sheet.main+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{_SHEET}.styles+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_SHEET}.worksheet+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="r1" Type="{_REL}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_REL}">'
    '<sheets><sheet name="Sheet1" sheetId="1" r:id="r1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="r1" Type="{_REL}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="r2" Type="{_REL}/styles" Target="styles.xml"/></Relationships>',
    # Style 1 shows a number as a day (number format 14).
    "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><fonts count="1"><font/></fonts><fills count="1"><fill/></fills>'
    '<borders count="1"><border/></borders><cellStyleXfs count="1"><xf/></cellStyleXfs>'
    '<cellXfs count="2"><xf numFmtId="0" xfId="0"/><xf numFmtId="14" xfId="0" applyNumberFormat="1"/></cellXfs>'
    "</styleSheet>",
}


def write(file: Path, columns: Sequence[str], types: Sequence[str], rows: Iterable[Sequence[str]]) -> Path:
    """Write the header and the rows. `types` are the catalogue's; an empty text is no cell."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _PARTS.items():
            archive.writestr(member(name), content)
        with archive.open(member("xl/worksheets/sheet1.xml"), "w") as sheet:
            sheet.write(f'<worksheet xmlns="{_MAIN}"><sheetData>{_row(1, columns, ["string"] * len(columns))}'.encode())
            for number, cells in enumerate(rows, 2):
                sheet.write(_row(number, cells, types).encode())
            sheet.write(b"</sheetData></worksheet>")
    return file


def member(name: str) -> zipfile.ZipInfo:
    """A compressed member of a zip file, of no particular hour."""
    made = zipfile.ZipInfo(name, FIRST_TIME)
    made.compress_type = zipfile.ZIP_DEFLATED
    return made


def _row(number: int, cells: Sequence[str], types: Sequence[str]) -> str:
    told = "".join(
        _cell(f"{_letters(place)}{number}", text, type_)
        for place, (text, type_) in enumerate(zip(cells, types, strict=True), 1)
        if text
    )
    return f'<row r="{number}">{told}</row>'


def _cell(place: str, text: str, type_: str) -> str:
    if type_ == "date":
        return f'<c r="{place}" s="1"><v>{(date.fromisoformat(text) - DAY_ZERO).days}</v></c>'
    if type_ in ("integer", "money", "decimal") and sum(map(str.isdigit, text)) <= PRECISE_DIGITS:
        return f'<c r="{place}"><v>{text}</v></c>'
    return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{escape(text)}</t></is></c>'


def _letters(place: int) -> str:
    """The letters of a column: A, …, Z, AA, …"""
    place, letter = divmod(place - 1, 26)
    return (_letters(place) if place else "") + chr(65 + letter)
