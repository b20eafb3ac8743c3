# SPDX-License-Identifier: Apache-2.0
"""Names of processes by which another one can tell that they have ended, so that nobody waits for the dead.

A name is `pid.start.place`: its number, the clock tick at which it started, and a digest of the boot and the pid
namespace in which that number is its own. Only who stands in the same place can judge; of any other process, and on
systems without /proc, nothing is known, and it counts as alive.
"""

import hashlib
import os
from pathlib import Path

ENDED = frozenset("ZXx")  # /proc/pid/stat, field 3: dead, and perhaps not yet waited for
_PROC = Path("/proc")


def own_name() -> str:
    """The name of this process (at most 40 characters); a forked child has another one."""
    pid = os.getpid()
    return f"{pid}.{_start_of(pid) or 'unknown'}.{_place()}"


def has_ended(name: str) -> bool:
    """Whether the process of that name has certainly ended."""
    pid, _, rest = name.partition(".")
    start, _, place = rest.partition(".")
    if not (pid.isdecimal() and start.isdecimal() and place) or place != _place():
        return False
    return _start_of(int(pid)) != start


def _start_of(pid: int) -> str | None:
    """The tick of its start since the boot, None where it has ended."""
    try:
        told = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *fields = told.rpartition(")")[2].split()  # the command before it may hold anything
    return None if state in ENDED else fields[18]


def _place() -> str:
    """Empty where it cannot be told."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = (_PROC / "self/ns/pid").readlink()
    except OSError:
        return ""
    return hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:16]
