# SPDX-License-Identifier: Apache-2.0
"""The demo city's departments: their feeds laid down for the operator, their files taken in as anybody's are.

The files are written by a program of its own (`python -m app.city`), a few ahead of the intake: two cores share the
work, and what writes Parquet weighs on no process that serves.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from bureau import intake
from connectors import feeds
from kernel.errors import SettingError

AHEAD_FILES = 8


def lay(folder: Path) -> None:
    """Copy the departments' feeds into the operator's folder, where one of that name is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for feed in sorted(feeds.DEMO.glob("*.toml")):
        if not (folder / feed.name).exists():
            shutil.copyfile(feed, folder / feed.name)


def deliver(enterprises: int, keep: Path | None, home: Path, tell: Callable[[int], None] = lambda rows: None) -> None:
    """Take in a year of deliveries about so many enterprises, file by file in the order of time.

    The files are kept in the folder `keep`; without one each lies under `home` until it is taken in. `tell` hears the
    number of rows done. Raises SettingError where the city's program ends before its work.
    """
    done, load = 0, cache(feeds.load)
    with _folder(keep, home) as folder, _city(enterprises, folder) as city:
        for feed, file in _files(city):
            done += intake.receive(feeds.pull(load(feed), file)).rows
            if keep is None:
                file.unlink()
            tell(done)


@contextmanager
def _folder(keep: Path | None, home: Path) -> Iterator[Path]:
    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="demo-files-", dir=home) as folder:
        yield Path(folder)


@contextmanager
def _city(enterprises: int, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The program that writes the files; it is ended with the block."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BUREAU_")}
    command = [sys.executable, "-P", "-m", "app.city", str(folder), str(enterprises)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(  # noqa: S603  our own program
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _files(city: subprocess.Popen[str]) -> Iterator[tuple[str, Path]]:
    """Feed and file of each delivery, once it is complete; each that is taken asks for one more."""
    asked, told, complaint = city.stdin, city.stdout, city.stderr
    assert asked is not None
    assert told is not None
    assert complaint is not None

    def ask(files: int) -> None:
        with suppress(BrokenPipeError):  # it has given all
            asked.write("\n" * files)
            asked.flush()

    ask(AHEAD_FILES)
    for line in told:
        feed, _, path = line.rstrip("\n").partition("\t")
        yield feed, Path(path)
        ask(1)
    if city.wait():
        why = complaint.read().strip().rpartition("\n")[2]
        raise SettingError(f"the demo city's files could not be written: {why}")
