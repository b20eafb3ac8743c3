# SPDX-License-Identifier: Apache-2.0
"""What is measured, and against what.

Questions are asked by `bench.load` over 16 keep-alive connections, each for all seven classes of a random
enterprise (about 500 records), with token, consent, decryption and durable entry.

    measure        ours                                  peer
    textbook       questions/s of `bureau serve`         questions/s of bench/textbook.py on gunicorn: ORM row
                                                         per record, marshmallow dump, the same document
    pgbench        questions/s of `bureau serve`         the same SQL as one statement, by pgbench: no
                                                         HTTP, decryption or Python (bench/limit.py)
    trail          questions/s with the trail            questions/s without entry, key and commit
                                                         (bench/untrailed.py); same server and settings
    latency        p99 in ms of `bureau serve`           its p50
    monthly        p50 in ms over twelve monthly         p50 in ms once the worker has compacted them
                   deliveries, twelve folios a class
    memory_rest    MiB of the larger of two workers      -
                   after its first questions (VmRSS)
    memory_load    the most that one ever took, with     -
                   16 connections asking (VmHWM)
    tokens         tokens/s of `bureau serve` for         tokens/s of node oidc-provider, one process,
                   clients that sign, durable            in memory (bench/tokens.py)
    storage        bytes a record, compacted: folios,    -
                   data keys, directory, batches, with
                   all indexes
    review         p95 in ms of a page of the trail by   -
                   one filter, the slowest filter, over
                   200,000 entries (bench/review.py
                   measures 10 million)
    sealing_lag    p99 in s from an entry to the first   -
                   signed checkpoint that has it, at 200
                   questions/s
    sealing        entries sealed a second, a million    -
                   waiting
    verify         s of `bureau verify` over a million   -
                   sealed entries (bench/proofs.py)
    verify_export  s of the offline check of an export   -
                   of a million leaves
    statement      s of `bureau rewards` over a million  -
                   entries; docs/rewards.md's script
                   over the export counts the same

The ratio is ours to the peer's, but for the trail the other way round: how many times dearer a question is.
Two sides take turns, A B A B, and each figure is the median of its rounds, so that what else the machine does
falls on both. Ratios are what counts; the absolute figures hold for this machine and this minute.
"""

import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from sqlalchemy import create_engine, text

from bench import limit, load, peer, proofs, servers, tokens
from bench import review as trail_review
from bench.house import AS_DELIVERED, COMPACTED, House, administer
from bench.load import Load
from bench.results import Goal, Pace, Result

REVIEWED_ENTRIES = 200_000
MEASURED_TABLES = ("folio", "data_key", "directory", "batch")  # the first two in partitions


def textbook(house: House, pace: Pace) -> Iterator[Result]:
    rows = peer.fill(house)
    with servers.bureau(house.environment()) as ours, servers.textbook(house.environment()) as other:
        peer.require_same_answers(house, ours.port, other.port)
        fast, slow = _in_turns(pace, _asking(house, ours, pace), _asking(house, other, pace))
    each, size, own = rows / len(house.usccs), fast[-1].body_bytes / 1024, fast[-1].own_cpu
    note = f"{each:.0f} records and {size:.0f} KiB an answer; the load generator took {own:.0%} of a core; "
    note += f"the textbook's p50 is {_median_ms(slow, 0.5):.0f} ms, its p99 {_median_ms(slow, 0.99):.0f} ms"
    yield _rates("textbook", _rate(fast), _rate(slow), Goal(least=20), note)


def pgbench(house: House, pace: Pace) -> Iterator[Result]:
    limit.number_enterprises(house)
    with servers.bureau(house.environment()) as ours:
        asked, sent = _in_turns(pace, _asking(house, ours, pace), lambda: limit.rate(house, pace.seconds))
    yield _rates("pgbench", _rate(asked), statistics.median(sent), Goal(least=0.25))


def trail(house: House, pace: Pace) -> Iterator[Result]:
    with ExitStack() as both:
        modules = "app.wsgi:application", "bench.untrailed:application"
        sides = [both.enter_context(servers.wsgi(each, house.environment())) for each in modules]
        kept, bare = (_rate(each) for each in _in_turns(pace, *(_asking(house, side, pace) for side in sides)))
    yield Result("trail", f"{kept:,.0f}/s", f"{bare:,.0f}/s", bare / kept, Goal(most=1.5))


def latency(house: House, pace: Pace) -> Iterator[Result]:
    with servers.bureau(house.environment()) as ours:
        (rounds,) = _in_turns(pace, _asking(house, ours, pace))
    p50, p99 = _median_ms(rounds, 0.5), _median_ms(rounds, 0.99)
    yield Result("latency", f"p99 {p99:.1f} ms", f"p50 {p50:.1f} ms", p99 / p50, Goal(most=4))


def monthly(house: House, pace: Pace) -> Iterator[Result]:
    with ExitStack() as both:
        names = AS_DELIVERED, COMPACTED
        sides = [both.enter_context(servers.wsgi("app.wsgi:application", house.environment(name))) for name in names]
        asking = (_asking(house, side, pace, name) for side, name in zip(sides, names, strict=True))
        many, few = _in_turns(pace, *asking)
    ours, other = _median_ms(many, 0.5), _median_ms(few, 0.5)
    note = " against ".join(f"{_folios(house, name) / len(house.usccs):.0f}" for name in names)
    yield Result("monthly", f"{ours:.1f} ms", f"{other:.1f} ms", ours / other, Goal(most=2), f"{note} folios a dossier")


def storage(house: House, _pace: Pace) -> Iterator[Result]:
    """The compacted copy without the holes that compaction left; what it takes with them is in the note."""
    with_holes = _bytes(house)
    for name in MEASURED_TABLES:
        administer(house.server, f"VACUUM (FULL, ANALYZE) {name}", COMPACTED)
    size = _bytes(house)
    ciphertext = _number(house, "SELECT sum(octet_length(ciphertext)) FROM folio")
    note = f"{size / 2**20:.1f} MiB for {house.records:,} records; {with_holes / house.records:.1f} bytes"
    note += f" a record before VACUUM FULL, {ciphertext / house.records:.1f} of ciphertext alone"
    yield Result("storage", f"{size / house.records:.1f} bytes", "", size / house.records, Goal(most=80), note)


def memory(house: House, pace: Pace) -> Iterator[Result]:
    with servers.bureau(house.environment()) as ours:
        _asking(house, ours, Pace(0.5, 1))()
        workers = servers.workers_of(ours.process)
        rest = max(servers.memory_mib(each, "VmRSS") for each in workers)
        _in_turns(pace, _asking(house, ours, pace))
        most = max(servers.memory_mib(each, "VmHWM") for each in workers)
    yield Result("memory_rest", f"{rest:.0f} MiB", "", rest, Goal(most=120), f"{len(workers)} workers")
    yield Result("memory_load", f"{most:.0f} MiB", "", most, Goal(most=300))


def review(_house: House, pace: Pace) -> Iterator[Result]:
    with trail_review.standing(REVIEWED_ENTRIES):
        by_filter = trail_review.filters(REVIEWED_ENTRIES, pace.rounds * 4)
    slowest = max(by_filter, key=lambda name: by_filter[name])
    worst = by_filter[slowest]
    yield Result("review", f"p95 {worst:.1f} ms", "", worst, Goal(most=50), f"{slowest} is the slowest filter")


MEASURES: dict[str, Callable[[House, Pace], Iterator[Result]]] = {
    each.__name__: each
    for each in (
        *(textbook, pgbench, trail, latency, monthly, memory, storage, review),
        *(proofs.lag, proofs.proofs, tokens.tokens),
    )
}


def _asking(house: House, side: servers.Running, pace: Pace, name: str = COMPACTED) -> Callable[[], Load]:
    return lambda: load.put(side.port, house.bearers(name), house.usccs, pace.seconds)


def _in_turns(pace: Pace, *sides: Callable[[], Any]) -> list[list[Any]]:
    """Measure each side once a round, in turns; the results by side."""
    rounds = [[side() for side in sides] for _ in range(pace.rounds)]
    return [list(results) for results in zip(*rounds, strict=True)]


def _rate(rounds: list[Load]) -> float:
    return statistics.median(one.rate for one in rounds)


def _median_ms(rounds: list[Load], share: float) -> float:
    return statistics.median(one.milliseconds(share) for one in rounds)


def _rates(measure: str, ours: float, other: float, goal: Goal, note: str = "") -> Result:
    return Result(measure, f"{ours:,.0f}/s", f"{other:,.0f}/s", ours / other, goal, note)


def server_version(house: House) -> str:
    engine = create_engine(house.server.url())
    with engine.connect() as connection:
        version = str(connection.execute(text("SHOW server_version")).scalar_one())
    engine.dispose()
    return f"PostgreSQL {version}"


def _folios(house: House, name: str) -> int:
    return _number(house, "SELECT count(*) FROM folio", name)


def _bytes(house: House) -> int:
    """What the tables take with their partitions, indexes and out-of-line storage."""
    sized = "SELECT pg_total_relation_size('{0}') + coalesce(sum(pg_total_relation_size(inhrelid)), 0) "
    sized += "FROM pg_inherits WHERE inhparent = '{0}'::regclass"
    return sum(_number(house, sized.format(name)) for name in MEASURED_TABLES)


def _number(house: House, query: str, name: str = COMPACTED) -> int:
    engine = create_engine(house.server.url(name))
    with engine.connect() as connection:
        number = int(connection.execute(text(query)).scalar_one())
    engine.dispose()
    return number
