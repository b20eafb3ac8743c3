# SPDX-License-Identifier: Apache-2.0
"""`bureau serve` as a process: how it starts, what it says when it cannot, how it ends with its children."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from app import serve
from kernel.errors import SettingError
from tests.conftest import House
from tests.journeys import service
from tests.journeys.service import Service, wait_until

STOPS_WITHIN_S = 8  # some tenths of a second on a machine at rest
GONE_WITHIN_S = 15
ONE_ENGINE = pytest.mark.parametrize("open_house", ["sqlite"], indirect=True)


@pytest.mark.parametrize(
    ("open_house", "number"),
    [("sqlite", signal.SIGTERM), ("postgresql", signal.SIGTERM), ("sqlite", signal.SIGINT)],
    indirect=["open_house"],
)
def test_a_signal_ends_it_and_all_it_started_within_seconds(
    open_house: House, tmp_path: Path, number: signal.Signals
) -> None:
    with service.served(open_house.environment, tmp_path / "log") as running:
        assert len(running.processes()) == 8  # itself, granian with two workers, and four helpers
        assert running.call("GET", "/healthz").json == {"status": "alive"}
        started = time.monotonic()
        running.process.send_signal(number)
        assert running.process.wait(GONE_WITHIN_S) == 0
        assert time.monotonic() - started < STOPS_WITHIN_S
        assert wait_until(lambda: not running.processes(), 1)
    assert (tmp_path / "log").read_text() == ""


@ONE_ENGINE
def test_callers_who_never_finish_do_not_keep_it_alive(open_house: House, tmp_path: Path) -> None:
    header = b"Host: bureau\r\nContent-Type: application/json\r\nContent-Length: 99\r\n"
    halves = (
        b"GET /healthz HTTP/1.1\r\nHost: bureau\r\n",
        b"POST /v1/sessions HTTP/1.1\r\n" + header + b"\r\n{",
    )
    with service.served(open_house.environment, tmp_path / "log") as running:
        callers = [connected(running) for _ in halves]
        for caller, half in zip(callers, halves, strict=True):
            caller.sendall(half)
        time.sleep(0.2)
        running.process.terminate()
        assert running.process.wait(GONE_WITHIN_S) == 0
        assert wait_until(lambda: not running.processes(), 1)
        for caller in callers:
            caller.close()


@ONE_ENGINE
def test_its_children_notice_when_it_is_killed(open_house: House, tmp_path: Path) -> None:
    with service.served(open_house.environment, tmp_path / "log") as running:
        running.process.kill()
        running.process.wait()
        assert wait_until(lambda: not running.processes(), GONE_WITHIN_S)


@ONE_ENGINE
def test_its_children_notice_even_with_a_caller_who_never_finishes(open_house: House, tmp_path: Path) -> None:
    with service.served(open_house.environment, tmp_path / "log") as running, connected(running) as caller:
        caller.sendall(b"GET /healthz HTTP/1.1\r\nHost: bureau\r\n")
        time.sleep(0.2)
        running.process.kill()
        running.process.wait()
        assert wait_until(lambda: not running.processes(), GONE_WITHIN_S)


@ONE_ENGINE
def test_a_housekeeping_process_that_dies_is_started_again(open_house: House, tmp_path: Path) -> None:
    with service.served(open_house.environment, tmp_path / "log") as running:
        (first,) = housekeepers(running)
        os.kill(first, signal.SIGKILL)
        assert wait_until(lambda: len(housekeepers(running)) == 1 and housekeepers(running) != [first], 10)


@ONE_ENGINE
def test_where_the_http_process_dies_the_service_ends_and_says_so(open_house: House, tmp_path: Path) -> None:
    with service.served(open_house.environment, tmp_path / "log") as running:
        (http,) = [
            number for number in running.processes() if b"app.http" in command_of(number) and not is_worker(number)
        ]
        os.kill(http, signal.SIGKILL)
        assert running.process.wait(GONE_WITHIN_S) != 0
        assert wait_until(lambda: not running.processes(), 1)


@ONE_ENGINE
def test_the_issuer_is_where_it_binds(open_house: House, tmp_path: Path) -> None:
    with service.served(open_house.environment, tmp_path / "log", workers=1) as running:
        metadata = running.call("GET", "/.well-known/oauth-authorization-server").json
        assert metadata["issuer"] == running.base
        assert metadata["token_endpoint"] == f"{running.base}/oauth/token"


@ONE_ENGINE
def test_a_port_in_use_is_said_in_one_line(open_house: House, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        refused = service.run(open_house.environment, "serve", "--port", taken)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert (
        refused.stderr == f"bureau: cannot listen on 127.0.0.1:{taken}: Address already in use; choose another --port\n"
    )


@ONE_ENGINE
def test_two_bureaus_never_share_a_port(open_house: House, tmp_path: Path) -> None:
    with service.served(open_house.environment, tmp_path / "log", workers=1) as running:
        refused = service.run(open_house.environment, "serve", "--port", str(running.port))
    assert refused.returncode == 2
    assert "Address already in use" in refused.stderr


@pytest.mark.parametrize("host", ["nowhere.example", "203.0.113.7", "x y", "2001:db8::7"])
def test_an_address_that_is_not_ours_is_named(host: str) -> None:
    with pytest.raises(SettingError, match=f"cannot listen on {host}:8000: .*choose another"):
        serve.require_free(host, 8000)


@ONE_ENGINE
@pytest.mark.parametrize(
    ("variable", "value"),
    [("BUREAU_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none"), ("BUREAU_ROOT_KEY", "no/such/key")],
)
def test_a_bad_setting_is_named_in_one_line(open_house: House, variable: str, value: str) -> None:
    refused = service.run({**open_house.environment, variable: value}, "serve")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("bureau: ")
    assert len(refused.stderr.splitlines()) == 1
    assert variable in refused.stderr


def connected(running: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port))


def housekeepers(running: Service) -> list[int]:
    return [number for number in running.processes() if command_of(number).endswith(b"\0worker\0")]


def is_worker(number: int) -> bool:
    """Whether a process was forked from one with the same command line: granian's workers are."""
    parent = int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])
    return command_of(number) == command_of(parent)


def command_of(number: int) -> bytes:
    return Path(f"/proc/{number}/cmdline").read_bytes()
