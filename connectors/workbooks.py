# SPDX-License-Identifier: Apache-2.0
"""XLSX: the rows of a workbook's one sheet as text, streamed (ECMA-376 part 1, 18.3 and 18.4).

What a cell says is kept as text, so that a code is never a float. A number of more than 15 digits was rounded
by the spreadsheet, a formula says nothing certain, a merged cell leaves others empty: each ends the file, with
the remedy. What the sheet says of its own size is not believed, links to other files are not followed. Memory holds
the workbook's shared texts, at most LARGEST_TEXTS_BYTES, and one row, however far to the right its cells stand and
however often they name a text.
"""

import io
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from xml.parsers import expat

from connectors.layouts import Broken, Layout, Records, bomb, overlong, too_long
from connectors.packing import open_zip
from kernel.errors import Invalid, TooLarge

LARGEST_TEXTS_BYTES = 128 << 20
LARGEST_COLUMNS = 16_384
CHUNK_BYTES = 1 << 16
PRECISE_DIGITS = 15

_REFERENCE = re.compile(r"([A-Z]{1,3})[0-9]+")
_DATE_FORMATS = frozenset([*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)])
_NOT_CODES = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]')  # quoted, escaped and bracketed parts of a number format
Start = Callable[[str, dict[str, str]], None]


def records(delivery: io.BufferedReader, layout: Layout) -> Records:
    """Each row's texts, empty rows left out, padded to the first one's width, and the same as its text."""
    if not zipfile.is_zipfile(delivery):
        raise _no_workbook()
    ceiling = layout.limits.ceiling_bytes(os.fstat(delivery.fileno()).st_size)
    with open_zip(delivery) as archive:
        if "xl/workbook.xml" not in archive.namelist():
            raise _no_workbook()
        if sum(member.file_size for member in archive.infolist()) > ceiling:
            raise bomb(ceiling)
        try:
            yield from _rows(archive, layout, ceiling)
        except (expat.ExpatError, KeyError, ValueError, IndexError, RuntimeError) as error:
            raise Broken(Invalid, "the workbook is damaged", "save it anew as .xlsx") from error


def _rows(archive: zipfile.ZipFile, layout: Layout, ceiling: int) -> Records:
    sheet, since_1904 = _only_sheet(archive)
    sheet_reader = _Sheet(layout, ceiling, _texts(archive), _date_styles(archive), since_1904)
    width = 0
    for cells in sheet_reader.rows(archive, sheet):
        width = width or len(cells)
        yield cells + [""] * (width - len(cells)), ["\t".join(cells)]


class _Sheet:
    """Takes the parser's events and collects the rows that they make up."""

    def __init__(
        self, layout: Layout, ceiling: int, texts: list[str], date_styles: frozenset[int], since_1904: bool
    ) -> None:
        self.limits, self.ceiling, self.texts, self.date_styles = layout.limits, ceiling, texts, date_styles
        self.known_columns = len(layout.columns) + len(layout.ignored)
        self.epoch = datetime.fromisoformat("1904-01-01" if since_1904 else "1899-12-30")
        self.done: list[list[str] | Broken] = []
        self.cells: list[str] = []
        self.pieces: list[str] = []
        self.characters = self.all_characters = 0
        self.position, self.kind, self.style, self.within = 0, "n", 0, ""

    def rows(self, archive: zipfile.ZipFile, name: str) -> Iterator[list[str]]:
        """The rows of the sheet that hold anything. A fault comes behind the rows before it."""
        for _ in _parse(archive, name, self.start, self.end, self.text):
            for row in self.done:
                if isinstance(row, Broken):
                    raise row
                yield row
            self.done.clear()

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "row":
            self.cells, self.characters, self.position = [], 0, 0
        elif name == "c":
            self._begin_cell(attributes)
        elif name == "f":
            self._fault("a formula", "keep its value instead (copy, paste values)")
        elif name == "mergeCell":
            self.done.append(Broken(Invalid, "the sheet has merged cells", "split them"))
        elif name in {"v", "t", "rPh"}:
            self.within = name

    def _begin_cell(self, attributes: dict[str, str]) -> None:
        if reference := _REFERENCE.fullmatch(attributes.get("r", "")):
            position = 0
            for letter in reference[1]:
                position = position * 26 + ord(letter) - 64
            if not self.position < position <= LARGEST_COLUMNS:
                raise ValueError("a cell out of place")
            self.position = position
        else:
            self.position += 1
        self.kind, self.style = attributes.get("t", "n"), int(attributes.get("s", "0"))
        self.pieces = []

    def text(self, piece: str) -> None:
        if self.within in {"v", "t"} and self._is_room_for(piece):
            self.pieces.append(piece)

    def _is_room_for(self, piece: str) -> bool:
        """Whether the row and the sheet may hold it; else the fault stands behind the rows before it."""
        self.characters += len(piece)
        self.all_characters += len(piece)
        if self.all_characters > self.ceiling:
            self.done.append(bomb(self.ceiling))
        elif self.characters > self.limits.row_bytes:
            self.done.append(too_long(self.limits.row_bytes))
        else:
            return True
        return False

    def end(self, name: str) -> None:
        if name in {"v", "t", "rPh"}:
            self.within = ""
        elif name == "c" and self.pieces:
            text = self._value("".join(self.pieces))
            if len(text) > self.limits.cell_characters:
                self.done.append(overlong(self.limits.cell_characters))
            elif self.kind == "s" and not self._is_room_for(text):
                return
            # Beyond what the feed knows the row has too many cells, wherever exactly they stand.
            self.cells += [""] * (min(self.position - 1, self.known_columns) - len(self.cells)) + [text]
        elif name == "row" and any(self.cells):
            while not self.cells[-1]:
                self.cells.pop()
            self.done.append(self.cells)

    def _value(self, text: str) -> str:
        if self.kind == "s":
            return self.texts[int(text)]
        if self.kind == "b":
            return "TRUE" if text == "1" else "FALSE"
        if self.kind == "e":
            self._fault("an error value", "mend or empty the cell")
        if self.kind != "n":
            return text
        try:
            number = Decimal(text)
            if self.style in self.date_styles:
                return _moment(self.epoch, number)
            if len(number.normalize().as_tuple().digits) > PRECISE_DIGITS and number == number.to_integral_value():
                self._fault("a number of more than 15 digits, which was rounded", "format the column as text")
            return f"{Decimal(repr(float(number))).normalize():f}"  # 1.1000000000000001 is how 1.1 is stored
        except (InvalidOperation, OverflowError) as error:
            raise ValueError("no number") from error

    def _fault(self, what: str, remedy: str) -> None:
        self.done.append(Broken(Invalid, f"column {self.position} holds {what}", remedy))


def _moment(epoch: datetime, serial: Decimal) -> str:
    moment = epoch + timedelta(seconds=round(serial * 86_400))
    return f"{moment:%Y-%m-%d}" if serial == serial.to_integral_value() else f"{moment:%Y-%m-%d %H:%M:%S}"


def _only_sheet(archive: zipfile.ZipFile) -> tuple[str, bool]:
    """The path of the workbook's one sheet, and whether its days count from 1904."""
    sheets: list[str] = []
    targets: dict[str, str] = {}
    since_1904: list[bool] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if name == "sheet":
            sheets.append(next(value for key, value in attributes.items() if key.endswith(":id")))
        elif name == "Relationship" and attributes.get("TargetMode") != "External":
            targets[attributes["Id"]] = attributes["Target"]
        elif name == "workbookPr":
            since_1904.append(attributes.get("date1904", "0") in {"1", "true"})

    for part in ("xl/workbook.xml", "xl/_rels/workbook.xml.rels"):
        for _ in _parse(archive, part, start):
            pass
    if len(sheets) != 1:
        raise Broken(Invalid, f"the workbook has {len(sheets)} sheets", "deliver a workbook of one sheet")
    if sheets[0] not in targets:
        raise Broken(Invalid, "the sheet lies in another file", "copy it into the workbook")
    target = targets[sheets[0]]
    return (target[1:] if target.startswith("/") else f"xl/{target}"), any(since_1904)


def _texts(archive: zipfile.ZipFile) -> list[str]:
    """The texts that cells refer to by number, without their phonetic readings."""
    name = "xl/sharedStrings.xml"
    if name not in archive.namelist():
        return []
    if archive.getinfo(name).file_size > LARGEST_TEXTS_BYTES:
        raise Broken(TooLarge, "the workbook's texts are too many", "save it as CSV, or split it")
    texts: list[str] = []
    pieces: list[str] = []
    within: list[str] = []

    def end(tag: str) -> None:
        within.pop()
        if tag == "si":
            texts.append("".join(pieces))
            pieces.clear()

    def text(piece: str) -> None:
        if within[-1] == "t" and "rPh" not in within:
            pieces.append(piece)

    for _ in _parse(archive, name, lambda tag, _: within.append(tag), end, text):
        pass
    return texts


def _date_styles(archive: zipfile.ZipFile) -> frozenset[int]:
    """The numbers of the cell styles that show a number as a day."""
    if "xl/styles.xml" not in archive.namelist():
        return frozenset()
    dates, styles, within = set(_DATE_FORMATS), list[int](), list[str]()

    def start(name: str, attributes: dict[str, str]) -> None:
        if name == "numFmt" and set(_NOT_CODES.sub("", attributes["formatCode"]).lower()) & set("ydmhs"):
            dates.add(int(attributes["numFmtId"]))
        elif name == "xf" and within[-1] == "cellXfs":
            styles.append(int(attributes.get("numFmtId", "0")))
        within.append(name)

    for _ in _parse(archive, "xl/styles.xml", start, lambda _: within.pop()):
        pass
    return frozenset(number for number, style in enumerate(styles) if style in dates)


def _parse(
    archive: zipfile.ZipFile,
    name: str,
    start: Start,
    end: Callable[[str], object] = lambda _: None,
    text: Callable[[str], object] = lambda _: None,
) -> Iterator[None]:
    """Parse one part, pausing after each chunk. A document type, where bombs of entities begin, is refused."""

    def refuse(*_: object) -> None:
        raise Broken(Invalid, "the workbook declares a document type", "save it anew as .xlsx")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = lambda tag, attributes: start(tag.rpartition(":")[2], attributes)
    parser.EndElementHandler = lambda tag: end(tag.rpartition(":")[2])
    parser.CharacterDataHandler = text
    with archive.open(name) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            parser.Parse(chunk, False)
            yield
        parser.Parse(b"", True)
        yield


def _no_workbook() -> Broken:
    return Broken(Invalid, "no .xlsx workbook", "save it as .xlsx; neither .xls nor .ods is read")
