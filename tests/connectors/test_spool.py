# SPDX-License-Identifier: Apache-2.0
"""The spool: private, bounded, gone at the end; and what a killed process left is swept away."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from connectors import spool
from kernel.errors import TooLarge

HOLDER = """
import sys, time
from pathlib import Path
from connectors import spool
spool.use(Path(sys.argv[1]))
with spool.spooled("x.csv", 10) as file:
    file.write(b"secret")
    print(file.done(), flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(spool, "_folder", None)
    spool.use(tmp_path / "spool")
    return tmp_path / "spool"


def test_a_file_is_private_and_gone_at_the_end_whatever_happens(folder: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700
    with pytest.raises(ZeroDivisionError):
        fail_while_spooled(folder)
    assert list(folder.iterdir()) == []


def fail_while_spooled(folder: Path) -> None:
    with spool.spooled("../../etc/pass wd\n", 10) as file:
        file.write(b"0123456789")
        assert file.done().read_bytes() == b"0123456789"
        assert (file.path.parent.parent, file.path.name) == (folder, "_.._etc_pass_wd_")
        assert file.path.parent.stat().st_mode & 0o777 == 0o700
        raise ZeroDivisionError


def test_a_byte_more_than_the_limit_is_too_much(folder: Path) -> None:
    with spool.spooled("x", 10) as file:
        file.write(b"01234")
        with pytest.raises(TooLarge, match=r"x: more than 10 bytes; deliver it in smaller parts"):
            file.write(b"567890")


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_holds_is_not(folder: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(folder)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], text=True)
    assert holder.stdout
    held = Path(holder.stdout.readline().strip())
    assert (spool.sweep(), held.read_bytes()) == (0, b"secret")
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    assert held.exists()
    assert spool.sweep() == 1
    assert list(folder.iterdir()) == []
