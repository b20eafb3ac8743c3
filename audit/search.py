# SPDX-License-Identifier: Apache-2.0
"""Finding entries: any filters together, newest first, in pages that do not move while entries arrive.

Each filter has an index whose rows of one value stand in the order of the entries, so a page reads about as many
rows as it shows, whether the filter lets half of all entries through, a few, or none. Filters on what kind of thing
an entry tells of (type, outcome, rule, purpose, product) share one: the values that there are, some hundreds, are
found first, and the newest of each that fits are merged; so are the combinations of classes. One filter leads, the
most telling; the others look at the rows that it leads to, for at most SECONDS.

Time is the order itself: ids begin with the millisecond (RFC 9562), made at most SKEW before the entry.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Select,
    String,
    Subquery,
    bindparam,
    func,
    literal,
    literal_column,
    select,
    text,
    tuple_,
    type_coerce,
    union_all,
)
from sqlalchemy.exc import DBAPIError

from audit.merkle import leaf_hash
from audit.models import IS_OTHER, IS_SHOWN, log_head, unsealed
from audit.models import entry as entries
from audit.models import leaf as leaves
from audit.trail import FACETS
from kernel import ids
from kernel.errors import Invalid

SECONDS = 5
SKEW = timedelta(minutes=1)
CLASSES = range(1, 8)
ABOVE_ALL = "g"  # sorts above every id, which begins with a hexadecimal digit
_CANCELLED = "57014"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page goes on: behind the entry `before`, in the log as it was when the first page was read.

    Then it had `size` leaves, and nothing older than `floor` (the first 12 digits of an id) waited to be sealed: so
    what is older and no leaf of that log came later and is not shown. What was waiting then is.
    """

    size: int
    floor: str
    before: str = ABOVE_ALL

    def __str__(self) -> str:
        return f"{self.size} {self.floor} {self.before}"


def place_now(tx: Connection) -> Place:
    """The first page's place."""
    size = tx.scalar(select(log_head.c.size)) or 0
    oldest = tx.scalar(select(func.min(unsealed.c.entry)))
    return Place(size, _digits(oldest or ABOVE_ALL))


def place_of(cursor: str) -> Place:
    """The place that a cursor tells; raises Invalid where it is none of this list."""
    size, _, rest = cursor.partition(" ")
    floor, _, before = rest.partition(" ")
    if not (size.isascii() and size.isdigit() and len(size) < 16 and floor and before):
        raise Invalid("the cursor is not one that this list gave", errors={"cursor": ["unknown"]})
    return Place(int(size), floor, before)


def search(tx: Connection, asked: Mapping[str, Any], place: Place, limit: int) -> tuple[list[Any], Place | None]:
    """Rows of entries with their `leaf` index that fit all that is `asked`, and where to go on; None at the end.

    `asked` may name institution, client, operator, uscc, consent, type, outcome, rule, purpose, product, class,
    since and until (the latter exclusive). A page may hold fewer than `limit`. Raises Invalid (`search-too-broad`)
    after SECONDS.
    """
    with _bounded(tx):
        found = _walk(tx, asked, place.before, limit).subquery()
        page = select(entries, leaves.c.index.label("leaf")).join(found, found.c.id == entries.c.id)
        page = page.outerjoin(leaves, leaves.c.entry == entries.c.id).order_by(entries.c.id.desc())
        rows = list(tx.execute(page))
    shown = [row for row in rows if _was_there(row, place)]
    more = Place(place.size, place.floor, rows[-1].id) if len(rows) == limit else None
    return shown, more


def places(tx: Connection, asked: Mapping[str, Any], before: str, limit: int) -> tuple[list[int], str | None]:
    """The leaves of sealed entries that fit, newest first, and the id to go on before; None at the end.

    Arguments and errors as `search`; looks at `limit` entries.
    """
    with _bounded(tx):
        found = _walk(tx, asked, before, limit).subquery()
        page = select(found.c.id, leaves.c.index.label("leaf")).outerjoin(leaves, leaves.c.entry == found.c.id)
        rows = list(tx.execute(page.order_by(found.c.id.desc())))
    more = rows[-1].id if len(rows) == limit else None
    return [row.leaf for row in rows if row.leaf is not None], more


def onwards(tx: Connection, name: str, value: str, after: str, limit: int) -> list[Any]:
    """Rows of one consent or enterprise (`name`: consent, uscc) in the order of the entries, behind the id `after`."""
    column = entries.c[name]
    place = tuple_(column, entries.c.id) > tuple_(literal(value), literal(after))
    parts = [text(IS_SHOWN), text(IS_OTHER)] if name == "uscc" else [text("true")]
    walks = []
    for part in parts:
        walk = select(entries.c.id).where(place, column <= value, column.is_not(None), part)
        walks.append(walk.order_by(column, entries.c.id).limit(_rows(limit)).subquery())
    merged = union_all(*(select(walk.c.id) for walk in walks)).subquery()
    found = select(merged.c.id).order_by(merged.c.id).limit(_rows(limit)).subquery()
    page = select(entries, leaves.c.index.label("leaf")).join(found, found.c.id == entries.c.id)
    return list(tx.execute(page.outerjoin(leaves, leaves.c.entry == entries.c.id).order_by(entries.c.id)))


def one(tx: Connection, entry_id: str) -> Any:
    """The row of an entry with its `leaf` index; None if there is none."""
    page = select(entries, leaves.c.index.label("leaf")).outerjoin(leaves, leaves.c.entry == entries.c.id)
    return tx.execute(page.where(entries.c.id == entry_id)).one_or_none()


def facets(tx: Connection, asked: Mapping[str, Any]) -> list[str]:
    """The kinds of entries that there are and that fit: one step along the index for each that there is."""
    known = select(func.min(entries.c.facet).label("facet")).cte("known", recursive=True)
    above = select(func.min(entries.c.facet)).where(entries.c.facet > known.c.facet).scalar_subquery()
    known = known.union_all(select(above).where(known.c.facet.is_not(None)))
    wanted = [(place, asked[name]) for place, name in enumerate(FACETS) if asked.get(name) is not None]
    there = tx.scalars(select(known.c.facet).where(known.c.facet.is_not(None)))
    return [one for one in there if all(one.split(" ")[place] == value for place, value in wanted)]


def of_types(tx: Connection, *types: str) -> ColumnElement[bool]:
    """Whether an entry is of one of these types, as the index of kinds finds it; by `type` the whole trail is read."""
    return entries.c.facet.in_([one for one in facets(tx, {}) if one.split(" ", 1)[0] in types])


def documents(tx: Connection, *types: str) -> Iterator[dict[str, Any]]:
    """The documents of all entries of some types, but for those whose bytes are not what was hashed.

    Of such an edit the check of the trail tells, and what it left is nothing that this bureau said.
    """
    page = select(entries.c.bytes, entries.c.leaf_hash).where(of_types(tx, *types), entries.c.bytes.is_not(None))
    for row in tx.execute(page):
        if leaf_hash(row.bytes) == row.leaf_hash:
            yield orjson.loads(row.bytes)


@contextmanager
def _bounded(tx: Connection) -> Iterator[None]:
    """On PostgreSQL no statement takes longer than SECONDS, till the transaction ends; raises Invalid then."""
    if tx.dialect.name == "postgresql":
        # To compile a plan takes longer than any page that reads along an index.
        tx.execute(
            select(func.set_config("statement_timeout", f"{SECONDS}s", True), func.set_config("jit", "off", True))
        )
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _CANCELLED:
            raise
        told = f"these filters together take longer than {SECONDS} s: add from and to, or one that lets less through"
        raise Invalid(told, slug="search-too-broad") from error


def _walk(tx: Connection, asked: Mapping[str, Any], before: str, limit: int) -> Select[Any]:
    """The ids of a page: the first filter that is asked for leads, in the order of how little they let through."""
    kinds = facets(tx, asked) if any(asked.get(name) is not None for name in FACETS) else None
    number = asked.get("class")
    masks = None if number is None else [mask for mask in range(1, 1 << len(CLASSES)) if mask >> number - 1 & 1]
    client = asked.get("client")
    equal = {name: asked.get(name) for name in ("consent", "uscc", "operator")}
    equal |= {"actor": f"client:{client}" if client is not None else None, "institution": asked.get("institution")}
    values: dict[str, Sequence[Any] | None] = {name: None if one is None else [one] for name, one in equal.items()}
    values |= {"facet": kinds, "classes": masks}
    led = [name for name, sought in values.items() if sought is not None]
    rest = _within(asked)
    rest += [_one_of(entries.c[name], values[name] or []) for name in led[1:]]
    if not led:
        page = select(entries.c.id).where(entries.c.id < before, *rest)
        return page.order_by(entries.c.id.desc()).limit(_rows(limit))
    leader, sought = led[0], values[led[0]] or []
    # The conditions stand in the statement as in the index: with a parameter no planner would use it.
    parts = [text(IS_SHOWN), text(IS_OTHER)] if leader == "uscc" else [text("true")]
    walks = [_newest(tx, leader, sought, before, [part, *rest], limit) for part in parts]
    merged = union_all(*(select(walk.c.id) for walk in walks)).subquery()
    return select(merged.c.id).order_by(merged.c.id.desc()).limit(_rows(limit))


def _newest(
    tx: Connection, leader: str, sought: Sequence[Any], before: str, rest: Sequence[Any], limit: int
) -> Subquery:
    """The newest ids of some values of a column, along its index."""
    column = entries.c[leader]
    if len(sought) == 1 or tx.dialect.name != "postgresql":
        # A range and not an equality: else PostgreSQL may walk all entries by id in search of it.
        one = literal(sought[0]) if len(sought) == 1 else None
        if one is not None:
            return _along(column, one, before, rest, limit).subquery()
        some = select(entries.c.id).where(_one_of(column, sought), entries.c.id < before, *rest)
        return some.order_by(entries.c.id.desc()).limit(_rows(limit)).subquery()
    values = bindparam("sought", list(sought), type_=ARRAY(column.type), unique=True)
    each = func.unnest(values).table_valued("value").render_derived(name="each")
    newest = _along(column, type_coerce(each.c.value, column.type), before, rest, limit).lateral()
    return select(newest.c.id).select_from(each.join(newest, text("true"))).subquery()


def _along(column: Any, value: Any, before: str, rest: Sequence[Any], limit: int) -> Select[Any]:
    place = tuple_(column, entries.c.id) < tuple_(value, literal(before, String))
    found = select(entries.c.id).where(place, column >= value, column.is_not(None), *rest)
    return found.order_by(column.desc(), entries.c.id.desc()).limit(_rows(limit))


def _within(asked: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    since, until = asked.get("since"), asked.get("until")
    found: list[ColumnElement[bool]] = []
    if since is not None:
        found += [entries.c.id >= ids.first_at(since - SKEW), entries.c.time >= since]
    if until is not None:
        found += [entries.c.id < ids.first_at(until + timedelta(milliseconds=1)), entries.c.time < until]
    return found


def _rows(limit: int) -> ColumnElement[int]:
    """How many rows, in the statement itself: a planner that does not know takes it for a tenth of the table."""
    return literal_column(str(int(limit)))


def _one_of(column: Any, sought: Sequence[Any]) -> ColumnElement[bool]:
    return column == sought[0] if len(sought) == 1 else column.in_(sought)  # type: ignore[no-any-return]


def _was_there(row: Any, place: Place) -> bool:
    return (row.leaf is not None and row.leaf < place.size) or _digits(row.id) >= place.floor


def _digits(entry_id: str) -> str:
    return entry_id.replace("-", "")[:12]
