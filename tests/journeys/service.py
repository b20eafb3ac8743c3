# SPDX-License-Identifier: Apache-2.0
"""`bureau serve` as processes of its own, reached over HTTP only, and gone at the end whatever happened.

Every process of a service carries a mark in its environment, so that those which were left behind by a kill
are found too, whoever their parent is now (Linux: /proc).
"""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

READY_WITHIN_S = 120
STOP_WITHIN_S = 15
BUREAU = str(Path(sys.executable).with_name("bureau"))
_MARK = "BUREAU_TEST_MARK"


class Reply(NamedTuple):
    """What came back: status, headers (names in small letters), the body's exact bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def problem(self) -> str:
        """The last part of the problem's type: the rule or reason."""
        assert self.headers["content-type"] == "application/problem+json", self
        assert self.json["status"] == self.status, self
        return str(self.json["type"].rpartition("/")[2])


@dataclass(frozen=True)
class Service:
    """A bureau that is being served: `process` is `bureau serve` itself, the parent of all others."""

    process: subprocess.Popen[bytes]
    port: int
    workers: int
    mark: str
    log: Path

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, method: str, path: str, body: Any = None, within_s: float = 30, **headers: str) -> Reply:
        """One request on its own connection. A dict is sent as JSON; `_` in a header's name means `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=within_s)
        with contextlib.closing(connection):
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            if isinstance(body, dict):
                body = orjson.dumps(body)
                sent.setdefault("Content-Type", "application/json")
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def processes(self) -> list[int]:
        """The ids of all processes of this service that live."""
        return marked(self.mark)

    def listeners(self) -> list[int]:
        """The ids of the worker processes that take connections, once they do."""
        found = sockets_listening(self.port)
        return [number for number in self.processes() if found & sockets_of(number)]


@contextlib.contextmanager
def served(
    environment: Mapping[str, str], log: Path, *, port: int | None = None, workers: int = 2
) -> Iterator[Service]:
    """A service that is ready; it is stopped at the end, and must then have left no process behind."""
    with started(environment, log, port=port, workers=workers) as service:
        wait_until_ready(service)
        yield service
        if service.process.poll() is None:
            service.process.terminate()
            service.process.wait(STOP_WITHIN_S)
            assert wait_until(lambda: not service.processes(), 2), "the service left processes behind"


@contextlib.contextmanager
def started(
    environment: Mapping[str, str], log: Path, *, port: int | None = None, workers: int = 2
) -> Iterator[Service]:
    """A service that was just started, ready or not; at the end all of its processes are killed."""
    mark, port = uuid.uuid4().hex, port or free_port()
    with log.open("ab") as told:
        process = subprocess.Popen(
            [BUREAU, "serve", "--port", str(port), "--workers", str(workers)],
            env=clean_environment() | dict(environment) | {_MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=told,
        )
    service = Service(process, port, workers, mark, log)
    try:
        yield service
    finally:
        kill(service)


def kill(service: Service) -> None:
    """kill -9 of every process of a service, at once; none is left when this returns."""

    def gone() -> bool:
        for number in service.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        return not service.processes()

    service.process.kill()
    assert wait_until(gone, STOP_WITHIN_S)
    service.process.wait()


def wait_until_ready(service: Service) -> None:
    """Wait until all workers listen and one is ready; fails with the service's own words if it ends."""

    def ready() -> bool:
        assert service.process.poll() is None, service.log.read_text()
        if len(service.listeners()) != service.workers:
            return False
        with contextlib.suppress(OSError, http.client.HTTPException):
            return service.call("GET", "/readyz", within_s=5).status == 200
        return False

    assert wait_until(ready, READY_WITHIN_S), service.log.read_text()


def wait_until(true: Any, within_s: float) -> bool:
    """Ask again and again; False where it does not come true in time."""
    give_up = time.monotonic() + within_s
    while not true():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.05)
    return True


def run(environment: Mapping[str, str], *arguments: str, within_s: float = 60) -> subprocess.CompletedProcess[str]:
    """A `bureau` command as a process of its own."""
    env = clean_environment() | dict(environment)
    return subprocess.run([BUREAU, *arguments], env=env, capture_output=True, text=True, timeout=within_s, check=False)


def clean_environment() -> dict[str, str]:
    """This process's environment without what would set a bureau up."""
    return {name: value for name, value in os.environ.items() if not name.startswith("BUREAU_")}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def marked(mark: str) -> list[int]:
    """The ids of the living processes with this mark in their environment."""
    sought = f"{_MARK}={mark}".encode()
    return [number for number in _all_processes() if sought in _proc(number, "environ").split(b"\0")]


def memory(processes: Iterable[int], field: str = "VmRSS") -> int:
    """Bytes of memory that some processes hold together (`VmHWM`: the most they ever held)."""
    lines = (line for number in processes for line in _proc(number, "status").splitlines())
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:".encode()))


def sockets_listening(port: int) -> set[str]:
    """The inodes of the TCP sockets that listen on a port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[9] for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port}


def sockets_of(process: int) -> set[str]:
    """The inodes of the sockets that a process has open."""
    links = set()
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(OSError):
                links.add(str(link.readlink()))
    return {link.removeprefix("socket:[").rstrip("]") for link in links if link.startswith("socket:[")}


def _all_processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _proc(number: int, file: str) -> bytes:
    """A file of a process under /proc; nothing where it is gone or a zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{number}/{file}").read_bytes()
    return b""
