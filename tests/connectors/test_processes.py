# SPDX-License-Identifier: Apache-2.0
"""A process is taken for ended only where that is certain."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from connectors import processes

ROOT = Path(__file__).parents[2]
SAY = "from connectors import processes; print(processes.own_name(), flush=True); input()"


def named() -> tuple[subprocess.Popen[str], str]:
    """A process and the name that it gives itself."""
    command = [sys.executable, "-c", SAY]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout
    return process, process.stdout.readline().strip()


def test_a_process_is_alive_until_it_ended_and_ended_before_anyone_waited_for_it() -> None:
    process, name = named()
    with process:
        assert len(name) <= 40
        assert name != processes.own_name()
        assert not processes.has_ended(name)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert processes.has_ended(name), "not yet waited for"
    assert processes.has_ended(name)


def test_a_number_that_another_process_bears_by_now_is_not_the_same_process() -> None:
    pid, start, place = processes.own_name().split(".")
    assert not processes.has_ended(f"{pid}.{start}.{place}")
    assert processes.has_ended(f"{pid}.{int(start) - 1}.{place}")


def test_a_forked_child_has_a_name_of_its_own() -> None:
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, processes.own_name().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100).decode() != processes.own_name()
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("name", ["", "someone-dead", "1.2.", "1..x", "x.1.y", "4194304.5.elsewhere", "1.2.3.4"])
def test_of_a_process_elsewhere_or_without_a_name_nothing_is_known(name: str) -> None:
    assert not processes.has_ended(name)


def test_without_proc_nobody_is_taken_for_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    process, name = named()
    with process:
        process.kill()
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    assert not processes.has_ended(name)
    assert not processes.has_ended(processes.own_name())
