# SPDX-License-Identifier: Apache-2.0
"""The vault: folios encrypted and stored, and the one place where they are opened.

Three layers of keys: the root key wraps the purpose key `records` (kernel.keys), that wraps one data key per
enterprise, versioned, and that encrypts the enterprise's folios. Data keys live no longer than the request that
opens them. What is encrypted is bound to where it stands (suite, key version, primary key), so that a folio
which was edited, swapped, or moved to another enterprise does not open.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from bureau import dossier_rows, folios, retention
from bureau.dossier_rows import LATEST
from bureau.folios import Correction, Packet, Region
from bureau.models import data_key, folio
from bureau.retention import Cutoff
from kernel import bulk, ciphers, clock, keys
from kernel.errors import SettingError
from kernel.keys import Altered, Key

FOLIO_COLUMNS = tuple(folio.c.keys())


@dataclass(frozen=True, slots=True)
class Dossier:
    """What the bureau holds on an enterprise, opened, as of a publication. `name` None: not in the directory."""

    uscc: str
    name: str | None
    publication: int
    time: datetime
    regions: Mapping[int, Sequence[Region]]  # class → regions in order of publication
    corrections: Mapping[str, Sequence[Correction]]  # record id → what was laid over it, in that order

    @property
    def cutoff(self) -> Cutoff:
        """What has run its time by this dossier's clock, that of its publication."""
        return retention.current().cutoff(clock.legal_day(self.time))


def open_dossier(tx: Connection, uscc: str, classes: Iterable[int], as_of: int = LATEST) -> Dossier:
    """Open an enterprise's folios of some classes as of a publication (default: all that is published).

    One statement, so one snapshot: the publication it names is the one it shows. Raises Altered where a folio
    is not what was stored.
    """
    held, laid, wrapped_keys, name, number, time = [], [], [], None, 0, None
    for row in dossier_rows.read(tx, uscc, classes, as_of):
        if row.kind == "folio":
            held.append(row)
        elif row.kind == "overlay":
            laid.append(row)
        elif row.kind == "key":
            wrapped_keys.append((row.key_version, row.suite, row.number, row.ciphertext))
        elif row.kind == "name":
            name = row.text
        else:
            number, time = row.publication, row.time
    assert time is not None, "a bureau has publication 0 from its first day"
    opened = {version: _unwrap(uscc, version, *wrapped) for version, *wrapped in wrapped_keys}
    held.sort(key=lambda row: (row.number, row.publication, row.part))
    regions: dict[int, list[Region]] = {}
    for row in held:
        regions.setdefault(row.number, []).extend(_open_folio(opened, uscc, row.number, row))
    laid.sort(key=lambda row: (row.publication, row.text))
    corrections: dict[str, list[Correction]] = {}
    for row in laid:
        record, correction = folios.unpack_correction(open_overlay(opened, uscc, row.number, row.text, row))
        corrections.setdefault(record, []).append(correction)
    return Dossier(uscc, name, number, time, regions, corrections)


def store(tx: Connection, batch: int, part: int, packets: Mapping[tuple[str, int], Packet]) -> int:
    """Encrypt and write the folios of each (USCC, class): records and their rows' marks. Returns the next free part.

    The caller commits. The folios are invisible until the batch is published.
    """
    current = current_keys(tx, {uscc for uscc, _ in packets})
    rows, free = [], part
    for (uscc, number), packet in packets.items():
        key = current[uscc]
        for here, (records, marks) in enumerate(packet.folios(), part):
            free = max(free, here + 1)
            ciphertext = encrypt_folio(key, uscc, number, batch, here, folios.pack(records))
            place = uscc, number, batch, here
            ended = folios.first_end(records)
            rows.append((*place, len(records), None, ended, key.version, key.suite.number, marks.tobytes(), ciphertext))
    if rows:
        bulk.write(tx, folio, FOLIO_COLUMNS, rows)
    return free


def read(tx: Connection, uscc: str, rows: Sequence[Any]) -> list[list[Region]]:
    """Open some of an enterprise's folio rows (for compaction): the regions of each, in the rows' order."""
    opened = held_keys(tx, [uscc]).get(uscc, {})
    return [open_row(opened, row) for row in rows]


def held_keys(tx: Connection, usccs: Iterable[str]) -> dict[str, dict[int, Key]]:
    """All data keys of some enterprises, by USCC and version."""
    opened: dict[str, dict[int, Key]] = {}
    for row in tx.execute(select(data_key).where(bulk.among(tx, data_key.c.uscc, usccs))):
        opened.setdefault(row.uscc, {})[row.version] = unwrapped(row)
    return opened


def open_row(opened: Mapping[int, Key], row: Any) -> list[Region]:
    """The regions of one folio row, `opened` by its enterprise's keys; raises Altered where it does not open."""
    return _open_folio(opened, row.uscc, getattr(row, "class"), row)


def encrypt_folio(key: Key, uscc: str, number: int, batch: int, part: int, packed: bytes) -> bytes:
    """A folio's ciphertext, bound to the place where it will stand."""
    return key.encrypt(packed, _bound_to(key.suite.number, key.version, uscc, number, batch, part))


def decrypt_folio(opened: Mapping[int, Key], uscc: str, number: int, row: Any) -> bytes:
    """A folio as it was packed; raises Altered where it is not what was written there."""
    bound = _bound_to(row.suite, row.key_version, uscc, number, row.batch, row.part)
    return _key_of(opened, row).decrypt(row.ciphertext, bound)


def _open_folio(opened: Mapping[int, Key], uscc: str, number: int, row: Any) -> list[Region]:
    return folios.unpack(decrypt_folio(opened, uscc, number, row), row.publication)


def _key_of(opened: Mapping[int, Key], row: Any) -> Key:
    """The data key that a row names; raises Altered where it is gone or not of the row's suite."""
    if row.key_version not in opened:
        raise Altered("a folio's data key is gone: it was shredded or removed")
    if row.suite != opened[row.key_version].suite.number:
        raise Altered(f"a folio names the cipher suite {row.suite}, which is not its key's")
    return opened[row.key_version]


def current_keys(tx: Connection, usccs: Iterable[str]) -> dict[str, Key]:
    """The newest data key of each enterprise, made where there is none. The caller commits."""
    sought, found = sorted(usccs), {}
    newest_last = select(data_key).where(bulk.among(tx, data_key.c.uscc, sought)).order_by(data_key.c.version)
    for row in tx.execute(newest_last).all():
        found[row.uscc] = unwrapped(row)
    made = {uscc: keys.new_key() for uscc in sought if uscc not in found}
    if made:
        try:
            with tx.begin_nested():
                tx.execute(insert(data_key), [wrapped_row(uscc, key) for uscc, key in made.items()])
        except IntegrityError:  # another batch has just made some of them
            return current_keys(tx, sought)
    return found | made


def encrypt_overlay(key: Key, uscc: str, number: int, laid: str, content: bytes) -> bytes:
    """An overlay's ciphertext, bound to its enterprise, class and id."""
    return key.encrypt(content, _overlay_bound_to(key.suite.number, key.version, uscc, number, laid))


def open_overlay(opened: Mapping[int, Key], uscc: str, number: int, laid: str, row: Any) -> bytes:
    """What an overlay says; raises Altered where it is not what was written there."""
    bound = _overlay_bound_to(row.suite, row.key_version, uscc, number, laid)
    return _key_of(opened, row).decrypt(row.ciphertext, bound)


def class_of(record_id: str) -> int:
    """The class of a record id such as `42.17.C1.01`."""
    return int(record_id.split(".C", 1)[1].split(".", 1)[0])


def wrapped_row(uscc: str, key: Key) -> dict[str, Any]:
    """A data key as it is stored: wrapped by the newest key of its purpose."""
    wrapping, suite = keys.purpose("records"), key.suite.number
    wrapped = wrapping.wrap(key, _key_bound_to(uscc, key.version, suite))
    return {
        "uscc": uscc,
        "version": key.version,
        "suite": suite,
        "wrapped_by": wrapping.version,
        "wrapped": wrapped,
    }


def unwrapped(row: Any) -> Key:
    """The data key that a row of `data_key` holds; raises Altered where it does not open."""
    return _unwrap(row.uscc, row.version, row.suite, row.wrapped_by, row.wrapped)


def _unwrap(uscc: str, version: int, suite: int, wrapped_by: int, wrapped: bytes) -> Key:
    if suite not in ciphers.SUITES:
        raise Altered(f"a data key names the unknown cipher suite {suite}")
    try:
        wrapping = keys.purpose("records", wrapped_by)
    except SettingError as error:
        raise Altered("a data key names a purpose key that there is not") from error
    return wrapping.unwrap(wrapped, _key_bound_to(uscc, version, suite), version, ciphers.SUITES[suite])


def _bound_to(suite: int, key_version: int, uscc: str, number: int, batch: int, part: int) -> bytes:
    return f"folio\0{suite}\0{key_version}\0{number}\0{batch}\0{part}\0{uscc}".encode()


def _overlay_bound_to(suite: int, key_version: int, uscc: str, number: int, laid: str) -> bytes:
    return f"overlay\0{suite}\0{key_version}\0{number}\0{laid}\0{uscc}".encode()


def _key_bound_to(uscc: str, version: int, suite: int) -> bytes:
    told = f"data-key\0{version}\0{uscc}"
    return (told if suite == ciphers.AES_256_GCM.number else f"{told}\0{suite}").encode()
