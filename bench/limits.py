# SPDX-License-Identifier: Apache-2.0
"""What the rate limit costs a question: permits taken in this process, on the database that the URL names.

    python -m bench.limits [postgresql://…]

Prints microseconds a request, and how many statements each 1,000 of them cost.
"""

import sys
import tempfile
import time
from pathlib import Path

from access import models
from access.limits import Limiter
from kernel import db

SECONDS = 3.0


def measure(quota: int, *, day: bool) -> tuple[float, float]:
    """(µs a request, statements per 1,000 requests) of a client that asks exactly as fast as it may."""
    limiter = Limiter("day", 86_400, models.day_quota, durable=True) if day else Limiter("client", 1, models.pace)
    statements, packs = 0, limiter._pack

    def counting(subject: str, window: int, asked: int, size: int) -> tuple[int, int]:
        nonlocal statements
        statements += 1
        return packs(subject, window, asked, size)

    limiter._pack = counting  # type: ignore[method-assign]
    spent, requests = 0.0, 0
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        start = time.perf_counter()
        limiter.take("client:bench", quota)
        spent += time.perf_counter() - start
        requests += 1
        while not day and time.perf_counter() < start + 1 / quota:  # not asleep: other requests keep a worker awake
            pass
    return spent / requests * 1e6, statements / requests * 1e3


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{Path(folder) / 'limits.db'}"
        engine = db.open_engine(url)
        for table in (models.pace, models.day_quota):
            table.create(engine, checkfirst=True)
        if engine.dialect.name == "postgresql":
            with engine.begin() as tx:
                tx.exec_driver_sql("ALTER TABLE pace SET UNLOGGED")
        db.use(engine)
        for quota, day in ((100, False), (1_000, False), (1_000_000, True)):
            cost, statements = measure(quota, day=day)
            kind = f"{quota:>9,} {'a day' if day else 'a second':<8}"
            print(f"{engine.dialect.name:<10} {kind}  {cost:6.1f} µs a request, {statements:5.1f} statements a 1,000")
        engine.dispose()


if __name__ == "__main__":
    main()
