# SPDX-License-Identifier: Apache-2.0
"""What witnesses cost: how long an entry waits to be sealed, and to be shown, while entries come at a steady rate.

    python -m bench.cosigning [SECONDS] [ENTRIES A SECOND]

On a durable PostgreSQL of its own, with a sealer as a process, and with no witness, three witnesses of whom two must
cosign, and three of whom one takes connections and never answers. Sealed: the entry is in a signed checkpoint. Shown: a
quorum cosigned such a checkpoint, so that a receipt can be had.
"""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import create_engine, select, text

from app.config import read
from app.opening import open_bureau
from audit import log, trail, witness_store
from audit.events import Event
from audit.models import leaf
from audit.notes import Verifier
from audit.trail import Entry
from kernel import db
from tests import postgres
from tests.postgres import PostgresServer

ROOT = Path(__file__).resolve().parent.parent
ORIGIN, PUBLIC_URL = "bureau.example/log", "https://bureau.example"
WRITERS = 4
LOOK_EVERY_S = 0.01
WARM_UP_S = 10.0
BUREAU = str(Path(sys.executable).with_name("bureau"))


def main(seconds: float, a_second: float) -> None:
    server = postgres.start_server(durable=True)
    print(f"{a_second:g} entries a second for {seconds:g} s")
    for name, answering, silent in (("no witness", 0, 0), ("3 witnesses", 3, 0), ("2 and a silent one", 2, 1)):
        sealed, shown = measure(server, answering, silent, seconds, a_second)
        print(f"{name:<20} sealed after {summed_up(sealed)}   shown after {summed_up(shown)}", flush=True)
    server.stop()


def measure(
    server: PostgresServer, answering: int, silent: int, seconds: float, a_second: float
) -> tuple[list[float], list[float]]:
    """Seconds from the commit of each entry until it was sealed, and until it was shown."""
    with tempfile.TemporaryDirectory(prefix="bench-") as home, ExitStack() as stack:
        found(server, Path(home))
        open_bureau(read())
        with db.reading() as reading:
            (key,) = log.keys(reading, ORIGIN)
        if answering:
            policy = stack.enter_context(witnesses(Path(home), str(key), answering, silent))
            os.environ["BUREAU_WITNESS_POLICY"] = str(policy)
            open_bureau(read())
        stack.enter_context(running("sealer"))
        time.sleep(WARM_UP_S)
        with appending(a_second) as appended:
            lags = follow(appended, time.monotonic() + seconds)
        os.environ.pop("BUREAU_WITNESS_POLICY", None)
        bound = db.current()
        db.use(None)
        bound.engine.dispose()
    return lags


def follow(appended: dict[str, float], until: float) -> tuple[list[float], list[float]]:
    """Look at the log again and again: how old each entry is when it is first found sealed, and shown."""
    order: list[str] = []
    sealed: list[float] = []
    shown: list[float] = []
    while time.monotonic() < until:
        with db.reading() as reading:
            head, vouched = log.head(reading), log.shown(reading)
            now = time.monotonic()
            new = select(leaf.c.entry).where(leaf.c.index >= len(order)).order_by(leaf.c.index)
            order += reading.scalars(new.limit(max(0, head.size - len(order)))).all() if head else []
        sealed += [now - appended[entry] for entry in order[len(sealed) :] if entry in appended]
        until_here = min(len(order), vouched.size) if vouched else 0
        shown += [now - appended[entry] for entry in order[len(shown) : until_here] if entry in appended]
        time.sleep(LOOK_EVERY_S)
    return sealed, shown


@contextmanager
def appending(a_second: float) -> Iterator[dict[str, float]]:
    """Entries appended at this rate by WRITERS threads, each with when it had committed."""
    appended: dict[str, float] = {}
    stop = threading.Event()

    def append() -> None:
        due = time.monotonic()
        while not stop.wait(max(0, due - time.monotonic())):
            said = Entry(type=Event.PERSON_ADDED, actor="counter", channel="counter")
            appended[said.id] = time.monotonic()  # before it can be sealed; the commit takes some ms more
            with trail.recording(only_the_entry=True) as tx:
                trail.append(tx, said)
            due += WRITERS / a_second

    threads = [threading.Thread(target=append) for _ in range(WRITERS)]
    for each in threads:
        each.start()
    try:
        yield appended
    finally:
        stop.set()
        for each in threads:
            each.join()


def found(server: PostgresServer, home: Path) -> None:
    """An empty bureau in a new database, named by this process's environment."""
    engine = create_engine(server.url(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS cosigning WITH (FORCE)"))
        connection.execute(text("CREATE DATABASE cosigning"))
    engine.dispose()
    os.environ |= {"BUREAU_HOME": str(home), "BUREAU_DATABASE_URL": server.url("cosigning")}
    os.environ |= {"BUREAU_PUBLIC_URL": PUBLIC_URL, "BUREAU_LOG_LEVEL": "error"}
    subprocess.run([BUREAU, "init"], check=True, stderr=subprocess.DEVNULL)


@contextmanager
def witnesses(folder: Path, key: str, answering: int, silent: int) -> Iterator[Path]:
    """Witnesses as processes, and some that only take connections. Gives the policy that asks for two of them."""
    lines, names = [], []
    with ExitStack() as stack:
        for number in range(answering + silent):
            name, port = f"w{number}", free_port()
            witness_store.create(folder / name, f"{name}.example")
            names.append(name)
            witness_key: Verifier = witness_store.Store(folder / name).key
            lines.append(f"witness {name} {witness_key} http://127.0.0.1:{port}")
            if number < answering:
                options = ("--store", str(folder / name), "--log", key, "--port", str(port))
                stack.enter_context(running("witness", *options))
            else:
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
        policy = folder / "policy"
        policy.write_text("\n".join([*lines, f"group two 2 {' '.join(names)}", "quorum two"]) + "\n")
        time.sleep(WARM_UP_S)
        yield policy


@contextmanager
def running(*arguments: str) -> Iterator[None]:
    """A `bureau` command for as long as the block runs."""
    process = subprocess.Popen([BUREAU, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def summed_up(lags: list[float]) -> str:
    ordered = sorted(lags)
    middle, late = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    return f"{middle:.2f} s (p50), {late:.2f} s (p99), {ordered[-1]:.2f} s (most)"


if __name__ == "__main__":
    given = [float(each) for each in sys.argv[1:]]
    main(*given, *(60.0, 200.0)[len(given) :])
