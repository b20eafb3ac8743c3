# SPDX-License-Identifier: Apache-2.0
"""Building the screening index with several processes: each takes sheets, one after the other, and commits them."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial

from app import config, serve
from app.logs import set_up
from app.opening import open_bureau
from bureau.screening import index


def build(tell: Callable[[int], None], processes: int | None = None) -> int:
    """Compute every indicator of every enterprise (see `index.build`), with as many processes as there are cores."""
    count = processes or os.cpu_count() or 1
    return index.build(tell, partial(_spread, count) if count > 1 else index.fill_here)


def _spread(processes: int, build: int, parts: Sequence[int]) -> Iterator[int]:
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(parts) or 1), fresh, initializer=_begin) as pool:
        try:
            for done in as_completed([pool.submit(index.fill, build, part) for part in parts]):
                yield done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """Open the bureau in a process of its own, which ends with the one that started it, however that ends."""
    serve.end_with_parent()
    settings = config.read()
    set_up(settings.log_level)
    open_bureau(settings)
