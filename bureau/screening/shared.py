# SPDX-License-Identifier: Apache-2.0
"""Snapshots in memory that all workers of a machine share: decrypted once, mapped by each, gone with the last of them.

One process, the *keeper*, decrypts each version into an anonymous file of the kernel (memfd_create(2)): of mode 0600,
sealed against any change once it is written, under no name in any file system. A worker asks for a version over a
socket in a folder of mode 0700 and is handed the file's descriptor (SCM_RIGHTS), which it maps, to read only. So a
swap costs a worker one system call, and a version that nobody maps any more is freed. Whatever is killed, and however:
the plaintext ends with the processes that had it mapped, and core dumps of them leave it out.

Linux only; elsewhere each worker opens snapshots for itself (`versions.Own`).
"""

import fcntl
import mmap
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import orjson
from sqlalchemy import Connection

from bureau import publications
from bureau.screening import columns
from bureau.screening.columns import Snapshot
from bureau.screening.versions import KEPT, Head, heads, open_version

IS_POSSIBLE = hasattr(os, "memfd_create")
ANSWER_WITHIN_S = 2.0
MOST_ASKED_BYTES = 256
WAITING = 64  # callers
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE if IS_POSSIBLE else 0
_YES, _NO = b"1", b"0"


class Keeper:
    """Keeps the versions open that are current, and hands them out on a socket."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        self._lock = threading.Lock()
        self._held: dict[tuple[int, datetime], tuple[int, int]] = {}  # → the file's descriptor, the edition
        self._socket = _listening(path)
        threading.Thread(target=self._serve, daemon=True).start()

    def refresh(self, reading: Connection) -> int:
        """Open what is new, or older than the newest shredding, and let go of what is over. Returns how many opened."""
        kept, shred, made = heads(reading), publications.newest_shred(reading), 0
        for head in kept:
            held = self._held.get((head.version, head.time))
            if held is None or held[1] < shred:
                file, edition = _opened(reading, head)
                self._keep((head.version, head.time), (file, edition))
                made += 1
        for place in set(self._held) - {(head.version, head.time) for head in kept}:
            self._keep(place, None)
        return made

    def close(self) -> None:
        """Hand out no more."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for place in list(self._held):
            self._keep(place, None)

    def _keep(self, place: tuple[int, datetime], made: tuple[int, int] | None) -> None:
        with self._lock:
            old = self._held.pop(place, None)
            if made is not None:
                self._held[place] = made
        if old is not None:
            os.close(old[0])

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._socket.accept()
            except OSError:
                return  # closed
            with caller, suppress(OSError, ValueError, KeyError):
                caller.settimeout(ANSWER_WITHIN_S)
                if _user_of(caller) == os.getuid():
                    self._answer(caller, orjson.loads(caller.recv(MOST_ASKED_BYTES)))

    def _answer(self, caller: socket.socket, asked: dict[str, object]) -> None:
        place = int(str(asked["version"])), datetime.fromisoformat(str(asked["time"]))
        with self._lock:  # so that the file is not closed before it is on its way
            held = self._held.get(place)
            if held is not None and held[1] >= int(str(asked["beyond"])):
                socket.send_fds(caller, [_YES], [held[0]])
                return
        caller.sendall(_NO)


class Borrowed:
    """A source of snapshots (`versions.Source`): those of the keeper on a socket, mapped once each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._held: dict[tuple[int, datetime], Snapshot] = {}

    def __call__(self, reading: Connection, head: Head, beyond: int) -> Snapshot | None:
        place = head.version, head.time
        held = self._held.get(place)
        if held is not None and held.edition >= beyond:
            return held
        with self._lock:
            held = self._held.get(place)
            if held is not None and held.edition >= beyond:
                return held
            fresh = _borrowed(self._path, head, beyond)
            if fresh is not None:
                self._held[place] = fresh
                for old in sorted(self._held)[:-KEPT]:
                    del self._held[old]
            return fresh


def _opened(reading: Connection, head: Head) -> tuple[int, int]:
    """A version in a sealed anonymous file. Returns its descriptor and its edition."""
    file = os.memfd_create("screening", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    memory: list[mmap.mmap] = []

    def allocate(size: int) -> memoryview:
        os.ftruncate(file, size)
        memory.append(mmap.mmap(file, size))
        memory[0].madvise(mmap.MADV_DONTDUMP)
        return memoryview(memory[0])

    try:
        os.fchmod(file, 0o600)
        open_version(reading, head, allocate)
        memory.pop().close()  # a file that is mapped to be written cannot be sealed
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
        return file, _mapped(file).edition
    except BaseException:
        os.close(file)
        raise


def _mapped(file: int) -> Snapshot:
    memory = mmap.mmap(file, os.fstat(file).st_size, prot=mmap.PROT_READ)
    memory.madvise(mmap.MADV_DONTDUMP)
    return columns.opened(memoryview(memory))


def _borrowed(path: Path, head: Head, beyond: int) -> Snapshot | None:
    """A version from the keeper; None where it has none such, or does not answer."""
    asked = {"version": head.version, "time": head.time.isoformat(), "beyond": beyond}
    with suppress(OSError), socket.socket(socket.AF_UNIX) as own, _reached(path) as name:
        own.settimeout(ANSWER_WITHIN_S)
        own.connect(name)
        own.sendall(orjson.dumps(asked))
        told, files, _, _ = socket.recv_fds(own, len(_YES), 1)
        if told == _YES and files:
            try:
                return _mapped(files[0])
            finally:
                os.close(files[0])
    return None


def _listening(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX)
    with _reached(path) as name:
        made.bind(name)
    made.listen(WAITING)
    return made


@contextmanager
def _reached(path: Path) -> Iterator[str]:
    """A name of the socket that is short enough, however deep its folder lies (sun_path holds 107 bytes)."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _user_of(caller: socket.socket) -> int:
    """Who is at the other end of the socket (SO_PEERCRED: process, user, group)."""
    credentials = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])
