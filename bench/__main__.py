# SPDX-License-Identifier: Apache-2.0
"""`make bench`: everything side by side, in one run, on a PostgreSQL of its own.

Prints the machine, then one table, and writes bench/latest.json: {measure: ratio}. Nothing here fails because
a machine is slow; a goal that is not met is said in the table.
"""

import importlib.metadata
import json
import os
import platform
import shutil
import signal
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench import house as houses
from bench import intake, measures, screening
from bench.house import House
from bench.measures import MEASURES
from bench.results import Pace, Result

LATEST = Path(__file__).with_name("latest.json")
ENTERPRISES, RECORDS, SECONDS, ROUNDS = 600, 500, 4.0, 5
QUICK_ENTERPRISES, QUICK_RECORDS, QUICK_PACE = 20, 100, Pace(1.0, 1)
APART = "intake", "screening"
NAMED = ("flask", "sqlalchemy", "psycopg", "granian", "gunicorn", "marshmallow", "orjson", "numpy", "duckdb", "polars")


@click.command()
@click.option("--only", type=click.Choice([*MEASURES, *APART]), multiple=True, help="This alone (repeatable).")
@click.option("--intake-enterprises", default=400, show_default=True, help="How many are loaded to measure intake.")
@click.option("--seconds", default=SECONDS, show_default=True, help="How long a round lasts.")
@click.option("--rounds", default=ROUNDS, show_default=True, help="How often the sides take turns.")
@click.option("--enterprises", default=ENTERPRISES, show_default=True)
@click.option("--records", default=RECORDS, show_default=True, help="About so many records an enterprise.")
@click.option("--quick", is_flag=True, help="A tiny run, to see that it runs: its figures mean nothing.")
def main(
    only: tuple[str, ...],
    intake_enterprises: int,
    seconds: float,
    rounds: int,
    enterprises: int,
    records: int,
    quick: bool,
) -> None:
    """Measure the bureau against its peers and its limits."""
    pace = QUICK_PACE if quick else Pace(seconds, rounds)
    if quick:
        enterprises, records = QUICK_ENTERPRISES, QUICK_RECORDS
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that every server ends with the run
    out = Console(width=max(100, shutil.get_terminal_size().columns))
    house = houses.build(enterprises, records)
    try:
        for fact in facts(house):
            out.print(fact, highlight=False)
        results: list[Result] = []
        for name in only or (*MEASURES, *APART):
            print(f"measuring: {name}", file=sys.stderr)
            if name == "intake":
                results += intake.run(house, 20 if quick else intake_enterprises, records)
            elif name == "screening":
                results += screening.run(house, pace, quick=quick)
            else:
                results += MEASURES[name](house, pace)
    finally:
        house.server.stop()
        shutil.rmtree(house.home)
    out.print(table(results))
    for result in results:
        if result.note:
            out.print(f"{result.measure}: {result.note}", highlight=False)
    if quick:
        print("a --quick run is not kept", file=sys.stderr)
        return
    LATEST.write_text(json.dumps({each.measure: round(each.ratio, 3) for each in results}, indent=1) + "\n")


def facts(house: House) -> list[str]:
    """The machine and what runs on it, for whoever compares two runs."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in NAMED)
    each, load = house.records / len(house.usccs), os.getloadavg()[0]
    return [
        f"{os.cpu_count()} cores ({_cpu()}), {_memory_gib():.0f} GiB, load {load:.2f}, {platform.system()}",
        f"Python {platform.python_version()}, {measures.server_version(house)} with fsync",
        versions,
        f"{len(house.usccs):,} enterprises × {each:.0f} records, ready in {house.loaded_in_s:.0f} s",
    ]


def table(results: list[Result]) -> Table:
    shown = Table("measure", "ours", "peer", "ratio", "goal", "met?", title="make bench")
    for each in results:
        met = "[green]yes" if each.goal.is_met(each.ratio) else "[red]no"
        shown.add_row(each.measure, each.ours, each.peer, f"{each.ratio:.2f}", str(each.goal), met)
    return shown


def _cpu() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


if __name__ == "__main__":
    main()
