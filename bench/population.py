# SPDX-License-Identifier: Apache-2.0
"""Screening a whole city: a real register, invented records for all other datasets, indexed, screened, measured.

    python -m bench.population register.csv.gz [--most N] [--records 50]

The register comes in through its feed; to every enterprise in it the demo city's traits are drawn, of which nothing is
true, and their records come in as deliveries of 500 firms. Then `bureau index` and `bureau serve` are run as an
operator runs them. All on a PostgreSQL of its own, which is gone at the end.
"""

import csv
import gzip
import hashlib
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import click
import numpy as np

from access import clients, institutions, tokens
from app import city, database
from app.city.firms import Firm, firms_of
from app.city.supplies import SUPPLIES
from bench import house as houses
from bench import screened, servers
from bench.firms import masks_of
from bench.house import House, administer
from bench.screening_peers import PAGE, SORT
from bureau import intake
from bureau.records import Batch, Row
from connectors import feeds
from kernel import db, keys, signing, uscc

FEED, NAME = "market-regulation-register", "population"
FIRMS_AT_ONCE, PROCESSES, PAGES = 500, 2, 40
WHERE: dict[str, Any] = {
    "all": [
        {"indicator": "BASIC.AGE_YEARS", "between": [3, 8]},
        {"indicator": "BASIC.CAPITAL", "gte": 100_000_000},
        {"indicator": "TAX.GRADE", "in": ["A", "B"]},
        {"indicator": "RISK.LAWSUITS_24M", "eq": 0},
        {"indicator": "STAFF.INSURED", "gte": 1},
        {"indicator": "ENERGY.POWER_3M", "missing": False},
        {"indicator": "ENERGY.POWER_YOY", "gte": 0},
        {"not": {"indicator": "SCALE.DEBT_RATIO", "gt": 90}},
    ]
}
GENERATED = tuple(supply for supply in SUPPLIES if supply.dataset != "C1.01")


@click.command()
@click.argument("register", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--most", default=1_000_000, show_default=True, help="Enterprises of the register that get records.")
@click.option("--records", default=50, show_default=True, help="About so many records an enterprise.")
def main(register: Path, most: int, records: int) -> None:
    """Load, index, screen; print one JSON document."""
    house = houses.build(20, 100)
    environment = os.environ | house.environment(NAME)
    try:
        _open(house)
        feed = feeds.load(_fitted(register, house.home))
        told = {"register_s": _timed(lambda: intake.receive(feeds.pull(feed, register)))[0]}
        named = list(islice(_named(register), most))
        told["enterprises"] = len(named)
        told["load_s"], told["records"] = _timed(lambda: _load(house, named, records))
        administer(house.server, "VACUUM (ANALYZE)", NAME)
        print(f"loaded: {told}", file=sys.stderr)
        command = [sys.executable, "-P", "-m", "app.cli", "index", "--json"]
        told["index_s"], done = _timed(
            lambda: subprocess.run(command, env=environment, check=True, capture_output=True)
        )
        told |= json.loads(done.stdout) | _screened(house, [code for code, _ in named])
        click.echo(json.dumps(told))
    finally:
        house.server.stop()


def _open(house: House) -> None:
    administer(house.server, f"CREATE DATABASE {NAME}")
    engine = db.open_engine(house.server.url(NAME))
    database.migrate(engine)
    database.begin(engine, keys.read_root(house.root_key))
    _use(house.server.url(NAME), house.root_key)


def _use(url: str, root_key: Path) -> None:
    db.use(db.open_engine(url))
    with db.reading() as reading:
        keys.use(keys.open_purpose_keys(reading, keys.read_root(root_key)))
        signing.open_signers(reading)


def _fitted(register: Path, folder: Path) -> Path:
    """The shipped feed without the columns that this register does not have."""
    with gzip.open(register, "rt", encoding="utf-8", newline="") as file:
        columns = next(csv.reader(file))
    lines = (Path(feeds.__file__).parent / "feeds" / f"{FEED}.toml").read_text().splitlines()
    fitted = folder / f"{FEED}.toml"
    absent = [line for line in lines if line.startswith('"') and line.split('"')[1] not in columns]
    fitted.write_text("\n".join(line for line in lines if line not in absent) + "\n")
    return fitted


def _named(register: Path) -> Iterator[tuple[str, str]]:
    """Code and name of each enterprise that the feed accepts, once."""
    seen: set[str] = set()
    with gzip.open(register, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            code = row["统一社会信用代码"].strip()
            if uscc.is_valid(code) and not code.startswith("92") and code not in seen:
                seen.add(code)
                yield code, row["企业名称"].strip()


def _load(house: House, named: Sequence[tuple[str, str]], records: int) -> int:
    """All deliveries, by several processes. Returns how many records were accepted."""
    groups = [named[at : at + FIRMS_AT_ONCE] for at in range(0, len(named), FIRMS_AT_ONCE)]
    with multiprocessing.get_context("spawn").Pool(PROCESSES, _use, (house.server.url(NAME), house.root_key)) as pool:
        return sum(pool.imap_unordered(partial(_load_some, records), groups))


def _load_some(records: int, named: Sequence[tuple[str, str]]) -> int:
    rows = [row._replace(number=number) for number, row in enumerate(_rows(list(firms_of(named)), records), 1)]
    digest = hashlib.sha256(f"{named[0][0]} {records}".encode()).hexdigest()
    return intake.receive(Batch("bench", "S01", digest, "department", rows)).accepted


def _rows(firms: Sequence[Firm], records: int) -> Iterator[Row]:
    for batch in city.batches(firms, records_each=records, supplies=GENERATED):
        for row in batch.rows:
            assert isinstance(row, Row)
            yield row


def _screened(house: House, codes: Sequence[str]) -> dict[str, Any]:
    """What screening takes over HTTP, where nine in ten let the bank find them."""
    chance = np.random.default_rng(20261125)
    with db.transaction() as tx:
        bank = institutions.add(tx, "演示银行", "bank")
        client_id, _ = clients.add(tx, bank, ("screening:search",), per_second=1_000_000)
        scopes = frozenset({"screening:search"})
        bearer = tokens.issue(tx, scopes, tokens.CLIENT_TOKEN_LIFE, client_id=client_id)[0]
        screened.consent_to(tx, zip(codes, masks_of(len(codes), chance).tolist(), strict=True), bank)
    administer(house.server, "VACUUM (ANALYZE)", NAME)
    with servers.bureau(house.environment(NAME)) as running:
        ask = screened.asking(running.port, bearer, {"where": WHERE, "sort": SORT, "limit": PAGE})
        opened_s, _ = _timed(lambda: screened.patiently(ask))
        first = [_timed(lambda: screened.patiently(ask)) for _ in range(12)]
        took = [_timed(ask)[0] * 1000 for _ in range(PAGES)]
        workers = [servers.memory_mib(each, "RssAnon") for each in servers.workers_of(running.process)]
        shared = [servers.memory_mib(each, "RssShmem") for each in servers.workers_of(running.process)]
    return {
        "opened_and_first_page_s": opened_s,
        "slowest_of_the_next_12_s": max(seconds for seconds, _ in first),
        "total": first[-1][1]["total"],
        "without": first[-1][1]["conditions"],
        "page_p50_ms": statistics.median(took),
        "worker_own_mib": max(workers),
        "worker_shared_mib": max(shared),
    }


def _timed(act: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.monotonic()
    done = act()
    return round(time.monotonic() - begun, 3), done


if __name__ == "__main__":
    main()
