# SPDX-License-Identifier: Apache-2.0
"""A bureau and its witnesses, each a process of its own: two of three must cosign what is shown to anyone."""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.witnesses import Asker
from audit import log, merkle, notes, publishing, receipts, trust, witness, witness_store
from audit.notes import Checkpoint
from kernel import db, signing
from tests.audit.test_sealing import append
from tests.conftest import House
from tests.journeys import service
from tests.journeys.cast import Cast, ask, token
from tests.journeys.service import Reply, Service, free_port, wait_until
from tests.journeys.witnesses import back_up, witnessing

ORIGIN, PUBLIC_URL = "bureau.example/log", "https://bureau.example"
NAMES = "regulator", "association", "university"


@dataclass
class Bench:
    """The witnesses of a house's log, none of them running yet, and the policy that asks for two of them."""

    house: House
    folder: Path
    log_key: str
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in NAMES})

    @property
    def policy(self) -> Path:
        return self.folder / "policy"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **self.house.environment,
            "BUREAU_PUBLIC_URL": PUBLIC_URL,
            "BUREAU_WITNESS_POLICY": str(self.policy),
        }

    def running(self, name: str) -> contextlib.AbstractContextManager[Service]:
        return witnessing(self.file(name), f"{name}.example", [self.log_key], port=self.ports[name])

    def all_running(self, stack: contextlib.ExitStack) -> dict[str, Service]:
        """All three, started together."""
        with ThreadPoolExecutor() as threads:
            return dict(
                zip(NAMES, threads.map(lambda name: stack.enter_context(self.running(name)), NAMES), strict=True)
            )

    def file(self, name: str) -> Path:
        return self.folder / f"{name}.db"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return service.run(self.environment, *arguments)

    def write_policy(self, quorum: int, file: Path | None = None) -> Path:
        keys = {name: witness_store.Store(self.file(name)).key for name in NAMES}
        lines = [f"witness {name} {keys[name]} http://127.0.0.1:{self.ports[name]}/" for name in NAMES]
        lines = [f"log {self.log_key}", *lines, f"group some {quorum} {' '.join(NAMES)}", "quorum some"]
        (file or self.policy).write_text("\n".join(lines) + "\n")
        return file or self.policy


@pytest.fixture
def bench(open_house: House, tmp_path: Path) -> Bench:
    with db.reading() as reading:
        (key,) = log.keys(reading, ORIGIN)
    made = Bench(open_house, tmp_path, str(key))
    for name in NAMES:
        witness_store.create(made.file(name), f"{name}.example")
    made.write_policy(2)
    return made


@pytest.fixture
def witnesses(bench: Bench) -> Iterator[dict[str, Service]]:
    with contextlib.ExitStack() as stack:
        yield bench.all_running(stack)


def fetch(served: Service, bearer: str, answer: Reply) -> Reply:
    return served.call("GET", answer.json["receipt"], Authorization=f"Bearer {bearer}")


def test_with_one_witness_dead_a_receipt_satisfies_the_policy_and_with_two_it_is_not_given(
    bench: Bench, cast: Cast, tmp_path: Path
) -> None:
    file, body = tmp_path / "answer.tlog-proof", tmp_path / "answer.json"
    with bench.running("regulator"), contextlib.ExitStack() as second:
        association = second.enter_context(bench.running("association"))
        with service.served(bench.environment, tmp_path / "service.log") as served:
            bearer = token(served, cast.bank)
            answer = ask(served, bearer, cast.enterprise.uscc)
            assert wait_until(lambda: fetch(served, bearer, answer).status == 200, 15)
            file.write_bytes(fetch(served, bearer, answer).body)
            body.write_bytes(answer.body)

            service.kill(association)
            late = ask(served, bearer, cast.enterprise.uscc)
            assert late.status == 200, "sealing and answering go on"
            time.sleep(3)
            pending = fetch(served, bearer, late)
            assert (pending.status, pending.headers["retry-after"]) == (202, "1")
            assert fetch(served, bearer, answer).body == file.read_bytes()
            shown = served.call("GET", "/log/checkpoint").body.decode()
            assert (
                shown == (bench.house.own / "log" / "checkpoint").read_text() == file.read_text().partition("\n\n")[2]
            )

            with bench.running("association"):
                assert wait_until(lambda: fetch(served, bearer, late).status == 200, 40)
    offline = service.run({}, "verify", str(file), "--body", str(body), "--policy", str(bench.policy), "--json")
    assert (offline.returncode, offline.stderr) == (0, "")
    three = service.run({}, "verify", str(file), "--policy", str(bench.write_policy(3, tmp_path / "three")))
    assert (three.returncode, "cosigned by regulator, association: the policy" in three.stdout) == (1, True)
    assert bench.run("verify", "--json").returncode == 0


def test_a_forked_log_is_refused_by_the_witness(bench: Bench, witnesses: dict[str, Service]) -> None:
    append(5)
    assert bench.run("seal").returncode == 0
    # The bureau itself, with its own key, would show another history.
    key = notes.parse_key(bench.log_key)
    for size, proof in ((5, []), (6, [merkle.leaf_hash(b"another")]), (6, [])):
        text = Checkpoint(ORIGIN, size, merkle.leaf_hash(b"another root")).text
        note = notes.assemble(text, [notes.sign(text, key, signing.signer("log").sign_raw)])
        for running in witnesses.values():
            refused = running.call("POST", "/add-checkpoint", witness.compose(5, proof, note))
            assert refused.status == 422
            assert "—".encode() not in refused.body


def test_a_restored_backup_is_noticed_through_the_witnesses_alone(
    bench: Bench, witnesses: dict[str, Service], tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    append(5)
    assert bench.run("seal").returncode == 0
    backup = back_up(bench.house, tmp_path, pytestconfig)
    append(3)
    assert bench.run("seal").returncode == 0
    shutil.rmtree(bench.house.own / "log")  # restored with the database, or lost with it
    environment = bench.environment | {"BUREAU_DATABASE_URL": backup}
    for command in (["seal"], ["serve", "--port", str(free_port())]):
        refused = service.run(environment, *command)
        assert refused.returncode == 2
        assert "cosigned 8 entries and the database has 5: it was restored from a backup" in refused.stderr
    assert not (bench.house.own / "log" / "checkpoint").exists(), "nothing was signed or published"


def test_where_no_one_outside_of_the_database_speaks_nothing_is_served(bench: Bench) -> None:
    append(5)
    refused = bench.run("serve", "--port", str(free_port()))
    assert refused.returncode == 2
    assert "no quorum of witnesses answers" in refused.stderr
    with contextlib.ExitStack() as stack:
        for name in NAMES[:2]:
            stack.enter_context(bench.running(name))
        assert bench.run("seal").returncode == 0
    append(1)
    assert bench.run("seal").returncode == 0, "the published log speaks for it"
    published = publishing.read(bench.house.own / "log")
    assert published
    assert published.checkpoint.size == 5, "but what no quorum cosigned is not shown"


def test_witnesses_killed_at_random_neither_fork_nor_stop_the_log(bench: Bench, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        running = bench.all_running(stack)
        with service.served(bench.environment, tmp_path / "service.log"):
            for name in NAMES:
                append(1)
                service.kill(running[name])
                append(1)
                running[name] = stack.enter_context(bench.running(name))
        (entry,) = append(1)
        assert bench.run("seal").returncode == 0
        policy = trust.read(bench.policy)
        trust.use(policy)
        try:
            with db.reading() as reading:
                receipt, head = receipts.make(reading, entry), log.head(reading)
            assert receipt
            assert head
            assert receipts.check(receipt, [], policy=policy).checkpoint.size == head.size
        finally:
            trust.use(trust.NO_QUORUM)
        with contextlib.closing(Asker(policy)) as ask_all:
            told = list(ask_all([(each, witness.compose(0, [], head.note)) for each in policy.witnesses]))
        assert {reply for _, reply in told} == {(409, b"%d\n" % head.size)}
    assert "log-broken" not in (tmp_path / "service.log").read_text()
    assert bench.run("verify", "--json").returncode == 0
