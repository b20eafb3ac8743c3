# SPDX-License-Identifier: Apache-2.0
"""The directory (企业名录): USCC, name and division of each enterprise. Public register data, kept in clear."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Insert, exists, func, select
from sqlalchemy.dialects import postgresql, sqlite

from bureau.models import batch as batches
from bureau.models import directory, folio, open_batch, publication
from kernel import bulk
from kernel import uscc as codes
from kernel.errors import Invalid

Line = tuple[str | None, str | None]  # name, division


def require_plausible(tx: Connection, uscc: str) -> None:
    """Raise Invalid for a code that fails its check digit, unless the directory knows it (some early codes do)."""
    if codes.is_valid(uscc):
        return
    held = select(directory.c.uscc).where(directory.c.uscc == uscc).limit(1)
    if not codes.has_pattern(uscc) or tx.scalar(held) is None:
        raise Invalid(
            f"{uscc} is not a unified social credit code (GB 32100-2015): 18 symbols, the last a check symbol",
            errors={"uscc": ["fails its check symbol"]},
            slug="invalid-uscc",
        )


def note(tx: Connection, batch: int, lines: Mapping[str, Line]) -> None:
    """Write the lines that say something new; they hold from the batch's publication. The caller commits."""
    others = tx.scalar(select(func.count()).select_from(open_batch).where(open_batch.c.batch != batch))
    # Beside another open batch nothing is known to be said already: that one may publish first, and say otherwise.
    known = {} if others else current(tx, lines, batch)
    rows = [
        {"uscc": uscc, "batch": batch, "name": name, "division": division}
        for uscc, (name, division) in lines.items()
        if known.get(uscc) != (name, division)
    ]
    if rows:
        tx.execute(_upsert(tx), rows)


def overtaken(tx: Connection, batch: int, since: datetime) -> list[str]:
    """The enterprises that an open batch has records of class 1 about, and that others named after it was opened.

    What the batch says of them may have been said already then, and so not have been noted.
    """
    since_then = select(batches.c.id).join(publication, publication.c.number == batches.c.publication)
    newer = list(tx.scalars(since_then.where(publication.c.time >= since)))
    if not newer:
        return []
    here = folio.c.uscc == directory.c.uscc, folio.c["class"] == 1, folio.c.batch == batch
    named = select(directory.c.uscc).distinct().where(directory.c.batch.in_(newer), exists().where(*here))
    return list(tx.scalars(named))


def current(tx: Connection, usccs: Iterable[str], batch: int | None = None) -> dict[str, Line]:
    """The published lines of some enterprises, by USCC; those of an open `batch` itself count as the newest."""
    sought, found = sorted(usccs), {}
    published = directory.join(batches, batches.c.id == directory.c.batch)
    columns = directory.c.uscc, directory.c.name, directory.c.division
    shown = batches.c.publication.is_not(None) | (batches.c.id == batch)
    lines = select(*columns).select_from(published).where(bulk.among(tx, directory.c.uscc, sought), shown)
    for row in tx.execute(lines.order_by(batches.c.publication.nulls_last())).all():
        found[row.uscc] = (row.name, row.division)
    return found


def name_of(tx: Connection, uscc: str) -> str | None:
    """An enterprise's published name; None where none is known."""
    return current(tx, [uscc]).get(uscc, (None, None))[0]


def _upsert(tx: Connection) -> Insert:
    dialect: Any = postgresql if tx.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(directory)
    newest = {"name": statement.excluded.name, "division": statement.excluded.division}
    return statement.on_conflict_do_update(index_elements=["uscc", "batch"], set_=newest)  # type: ignore[no-any-return]
