# SPDX-License-Identifier: Apache-2.0
"""Delivered files as text lines: plain, gzip or a zip of one file, told by their first bytes, within the limits."""

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from connectors.layouts import GZIP_MAGIC, Broken, Layout, bomb, too_long
from kernel.errors import Invalid

_ZIP_MAGIC = b"PK\x03\x04"
_MARKS = {"utf-8": b"\xef\xbb\xbf", "gb18030": b"\x84\x31\x95\x33"}  # byte order marks


@contextmanager
def unpacked(delivery: io.BufferedReader) -> Iterator[io.BufferedIOBase]:
    """The text's bytes: the delivery itself, or what its gzip members or its one zipped file hold."""
    magic = delivery.read(len(_ZIP_MAGIC))
    delivery.seek(0)
    # No buffer above these: it would lose the last rows before a fault, and with them the fault's place.
    if magic.startswith(GZIP_MAGIC):
        with gzip.GzipFile(fileobj=delivery) as stream:
            yield stream
    elif magic == _ZIP_MAGIC:
        with open_zip(delivery) as archive, _only_member(archive) as member:
            yield member
    else:
        yield delivery


@contextmanager
def open_zip(delivery: io.BufferedReader) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(delivery) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise Broken(Invalid, "the zip file is cut off or damaged", "deliver it again") from error


@contextmanager
def _only_member(archive: zipfile.ZipFile) -> Iterator[io.BufferedIOBase]:
    members = [member for member in archive.infolist() if not member.is_dir()]
    if any(member.filename == "[Content_Types].xml" for member in members):
        raise Broken(Invalid, "a workbook, not a text file", "save it as text, or state `xlsx` in the feed")
    if len(members) != 1:
        raise Broken(Invalid, f"the zip file holds {len(members)} files", "pack one file in each zip file")
    if members[0].flag_bits & 1:
        raise Broken(Invalid, "the zip file has a password", "pack it without: the transport protects it")
    with archive.open(members[0]) as stream, io.BufferedReader(cast("io.RawIOBase", stream)) as buffer:
        yield buffer  # without it each line costs the zip module a copy of what it holds


def lines(stream: io.BufferedIOBase, layout: Layout, packed_bytes: int, record: list[str]) -> Iterator[str]:
    """Decode line by line, so that a fault has its row; note each in `record`, which the caller clears."""
    limits, encoding = layout.limits, layout.encoding
    ceiling_bytes = limits.ceiling_bytes(packed_bytes)
    total_bytes = record_bytes = 0
    try:
        while line := stream.readline(limits.row_bytes + 1):
            total_bytes += len(line)
            record_bytes = len(line) + (record_bytes if record else 0)
            if record_bytes > limits.row_bytes:
                raise too_long(limits.row_bytes)
            if total_bytes > ceiling_bytes:
                raise bomb(ceiling_bytes)
            if b"\0" in line:
                raise Broken(Invalid, "binary, not text", f"deliver {layout.format} in {encoding}")
            if total_bytes == len(line):
                line = _unmarked(line, encoding)
            record.append(line.decode(encoding))
            yield record[-1]
    except UnicodeDecodeError as error:
        raise _not_in(encoding) from error
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        packing = "gzip" if isinstance(stream, gzip.GzipFile) else "zip"
        raise Broken(Invalid, f"the {packing} file is cut off or damaged", "deliver it again") from error


def _unmarked(line: bytes, encoding: str) -> bytes:
    """The first line without its byte order mark. Most UTF-8 can be misread as GB18030: its mark tells."""
    for other, mark in _MARKS.items():
        if other != encoding and line.startswith(mark):
            raise _not_in(encoding)
    return line.removeprefix(_MARKS[encoding])


def _not_in(encoding: str) -> Broken:
    return Broken(Invalid, f"not {encoding}", f"save the file in {encoding}")
