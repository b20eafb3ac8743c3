# SPDX-License-Identifier: Apache-2.0
"""All that a dossier is made of, read by one statement, hence of one snapshot: the vault opens what comes of it."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    LargeBinary,
    Select,
    bindparam,
    cast,
    func,
    literal_column,
    null,
    select,
    union_all,
)

from bureau.models import batch, data_key, directory, folio, overlay, publication
from kernel.prepared import Prepared

LATEST = 2**31 - 1

_USCC: Any = bindparam("uscc")
_AS_OF: Any = bindparam("as_of", type_=Integer)
_MASK = bindparam("mask", type_=Integer)  # bit n asks for class n: one plan whatever is asked
_NUMBER: Any = literal_column("0")
_SHAPE = {
    "number": _NUMBER,
    "batch": _NUMBER,
    "part": _NUMBER,
    "publication": _NUMBER,
    "key_version": _NUMBER,
    "suite": _NUMBER,
    "ciphertext": cast(null(), LargeBinary),
    "text": cast(null(), directory.c.name.type),
    "time": cast(null(), publication.c.time.type),
}


def read(tx: Connection, uscc: str, classes: Iterable[int], as_of: int) -> list[Any]:
    """An enterprise's rows as of a publication; what a row is its `kind` says.

    `publication` (one: the one that is shown), `name` (at most one), `key` (its data keys, wrapped), `folio` and
    `overlay` (of these classes, encrypted). A column that a kind does not have is 0 or None.
    """
    return _ALL.all(tx, {"uscc": uscc, "mask": sum(1 << number for number in classes), "as_of": as_of})


def _of_kind(kind: str, **columns: ColumnElement[Any]) -> Select[Any]:
    named = (columns.get(name, absent).label(name) for name, absent in _SHAPE.items())
    return select(literal_column(f"'{kind}'").label("kind"), *named)


def _shown() -> Select[Any]:
    latest = select(func.max(publication.c.number)).where(publication.c.number <= _AS_OF).scalar_subquery()
    point = _of_kind("publication", publication=publication.c.number, time=publication.c.time)
    return point.where(publication.c.number == latest)


def _name() -> Select[Any]:
    names = _of_kind("name", text=directory.c.name).select_from(directory.join(batch, batch.c.id == directory.c.batch))
    told = names.where(directory.c.uscc == _USCC, batch.c.publication <= _AS_OF)
    return select(told.order_by(batch.c.publication.desc()).limit(1).subquery())


def _keys() -> Select[Any]:
    return _of_kind(
        "key",
        number=data_key.c.wrapped_by,
        key_version=data_key.c.version,
        suite=data_key.c.suite,
        ciphertext=data_key.c.wrapped,
    ).where(data_key.c.uscc == _USCC)


def _folios() -> Select[Any]:
    held = _of_kind(
        "folio",
        number=folio.c["class"],
        batch=folio.c.batch,
        part=folio.c.part,
        publication=batch.c.publication,
        key_version=folio.c.key_version,
        suite=folio.c.suite,
        ciphertext=folio.c.ciphertext,
    ).select_from(folio.join(batch, batch.c.id == folio.c.batch))
    visible = func.coalesce(folio.c.since, batch.c.publication) <= _AS_OF
    return held.where(folio.c.uscc == _USCC, _is_asked(folio.c["class"]), batch.c.publication.is_not(None), visible)


def _overlays() -> Select[Any]:
    laid = _of_kind(
        "overlay",
        number=overlay.c["class"],
        publication=overlay.c.since,
        key_version=overlay.c.key_version,
        suite=overlay.c.suite,
        ciphertext=overlay.c.ciphertext,
        text=overlay.c.id,
    )
    valid = (overlay.c.since <= _AS_OF) & (func.coalesce(overlay.c.until, LATEST + 1) > _AS_OF)
    return laid.where(overlay.c.uscc == _USCC, _is_asked(overlay.c["class"]), valid)


def _is_asked(number: Any) -> Any:
    return _MASK.bitwise_rshift(number).bitwise_and(1) == 1


_ALL = Prepared(union_all(_shown(), _name(), _keys(), _folios(), _overlays()))
