# SPDX-License-Identifier: Apache-2.0
"""Is the log fast enough to be proved? A year of entries sealed, verified, exported, checked offline, and counted.

    python -m bench.proofs --engine sqlite --leaves 1000000

The entries are honest (`bench.entries`), the log is sealed by `audit.sealing` and published as files. What is timed are
the commands as they are typed (`bureau verify`, `bureau export`, `bureau verify FILE --key`, `bureau rewards`), each a
process from its start to its end, with the most memory that it and its own processes ever took.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
from sqlalchemy import create_engine, text

from app import sealer
from audit import publishing, sealing
from bench import entries, load, servers, standing
from bench.house import House
from bench.results import Goal, Pace, Result
from bench.standing import Bureau
from kernel import db

LEAVES, TENTH = 1_000_000, 10
YEAR = entries.FIRST.year
QUESTIONS_PER_S, LAG_FOR_S = 200, 20.0
SAMPLED_EVERY_S = 0.05
BUREAU = str(Path(sys.executable).with_name("bureau"))
SCRIPT = Path(__file__).parent.parent / "docs" / "rewards.md"


class Ran(NamedTuple):
    """A command: wall and CPU seconds, MiB at its largest, what it printed."""

    seconds: float
    cpu: float
    mib: float
    out: Any

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, {self.cpu:.1f} s of CPU, {self.mib:.0f} MiB"


@click.command()
@click.option("--engine", type=click.Choice(standing.ENGINES), default="postgresql", show_default=True)
@click.option("--leaves", default=LEAVES, show_default=True)
def main(engine: str, leaves: int) -> None:
    """Measure on a bureau of its own."""
    for result in of_log(engine, leaves):
        click.echo(f"{result.measure:14} {result.ours:>16}   goal {result.goal}   {result.note}")


def proofs(_house: House, pace: Pace) -> Iterator[Result]:
    yield from of_log("postgresql", LEAVES if pace.rounds > 1 else LEAVES // 100)


def lag(house: House, pace: Pace) -> Iterator[Result]:
    """From an entry's time to the first signed checkpoint that has it, of all that were written meanwhile."""
    with servers.bureau(house.environment()) as ours:
        seconds = LAG_FOR_S if pace.rounds > 1 else pace.seconds
        asked = load.put(ours.port, house.bearers(), house.usccs, seconds, most_per_second=QUESTIONS_PER_S)
        time.sleep(2 * sealer.EVERY_S)
    engine = create_engine(house.server.url("bureau"))
    with engine.connect() as connection:
        lags = sorted(float(each) for each in connection.execute(_LAGS, {"count": len(asked.latencies)}).scalars())
    engine.dispose()
    p99 = statistics.quantiles(lags, n=100)[-1]
    note = f"{len(lags):,} entries at {asked.rate:.0f} questions/s, p50 {statistics.median(lags):.2f} s"
    yield Result("sealing_lag", f"p99 {p99:.2f} s", "", p99, Goal(most=1), f"{note}, worst {lags[-1]:.2f} s")


def of_log(engine: str, leaves: int) -> Iterator[Result]:
    """What a log of so many leaves takes, on a bureau of its own."""
    with standing.bureau(engine) as bureau, tempfile.TemporaryDirectory() as folder:
        entries.fill(0, leaves // TENTH, leaves)
        _sealed(bureau)
        small = _run(bureau.environment, "verify", "--json")
        entries.fill(leaves // TENTH, leaves, leaves)
        rate = _sealed(bureau)
        yield Result("sealing", f"{rate:,.0f}/s", "", rate, Goal(least=5_000), f"{engine}, in steps of 5,000")
        whole = _run(bureau.environment, "verify", "--json")
        assert (whole.out["ok"], whole.out["size"], whole.out["unsealed"]) == (True, leaves, 0)
        note = f"{whole}; {leaves // TENTH:,} leaves took {small}"
        yield Result("verify", f"{whole.seconds:.1f} s", "", whole.seconds, Goal(most=15), note)
        file = Path(folder) / "log.ndjson"
        written = _run(bureau.environment, "export", "--out", str(file), "--to", str(leaves), "--json")
        key, nowhere = str(bureau.log / "key"), {"BUREAU_HOME": str(Path(folder) / "none")}
        checked = _run(nowhere, "verify", str(file), "--key", key, "--json")
        assert (checked.out["ok"], checked.out["to"]) == (True, leaves)
        note = f"{checked}; to write it took {written}"
        yield Result("verify_export", f"{checked.seconds:.1f} s", "", checked.seconds, Goal(most=15), note)
        stated = _run(bureau.environment, "rewards", str(YEAR), "--json")
        _require_same(stated.out, file)
        yield Result("statement", f"{stated.seconds:.1f} s", "", stated.seconds, Goal(most=10), str(stated))


def _sealed(bureau: Bureau) -> float:
    """Seal and publish all that waits; the entries that were sealed a second."""
    begun = time.monotonic()
    sealed = sealing.seal("bench.example/log")
    took = time.monotonic() - begun
    with db.reading() as reading:
        publishing.publish(reading, bureau.log)
    return sealed.sealed / took


def _run(environment: dict[str, str], *arguments: str) -> Ran:
    """A `bureau` command as a process of its own; raises RuntimeError unless it ends with 0."""
    begun, told, most = time.monotonic(), {**os.environ, **environment}, 0.0
    command = [BUREAU, *arguments]
    with subprocess.Popen(command, env=told, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            most = max(most, servers.tree_mib(process.pid))
            time.sleep(SAMPLED_EVERY_S)
        seconds, used, out = time.monotonic() - begun, ended[2], process.stdout.read()
        process.returncode = os.waitstatus_to_exitcode(ended[1])
    if process.returncode:
        raise RuntimeError(f"bureau {' '.join(arguments)} ended with {process.returncode}: {out.decode()}")
    return Ran(seconds, used.ru_utime + used.ru_stime, most, json.loads(out))


def _require_same(stated: dict[str, Any], file: Path) -> None:
    """The script that docs/rewards.md shows, run over the export, counts what the statement says."""
    (script,) = re.findall(r"```python\n(.*?)```", SCRIPT.read_text(encoding="utf-8"), re.DOTALL)
    script = script.replace('"log.ndjson"', repr(str(file))).replace("2026", str(YEAR))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert [int(word) for word in done.stdout.split()] == [stated["queries"], stated["billable"]], done.stdout


_LAGS = text("""
    SELECT extract(epoch FROM signed.time - entry.time)
      FROM entry JOIN leaf ON leaf.entry = entry.id CROSS JOIN LATERAL
           (SELECT time FROM checkpoint WHERE checkpoint.size > leaf.index ORDER BY checkpoint.size LIMIT 1) AS signed
     WHERE entry.type = 'query.answered' ORDER BY entry.id DESC LIMIT :count
""")


if __name__ == "__main__":
    main()
