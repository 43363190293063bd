"""Adapters in a worker at another address: over TLS, with a token, with the same results, and with errors in words."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cosim import Clock, CosimError, Remote, RunError, Scenario
from cosim.engine.remote import make_credentials, parse_address, read_token, start_worker
from tests.support.paths import ROOT
from tests.support.remote_adapters import Doubler, Sender


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    make_credentials(folder)
    return folder


@pytest.fixture
def worker(keys: Path) -> Iterator[subprocess.Popen[str]]:
    options = [f"--{name}={keys / f'worker.{ending}'}" for name, ending in
               (("certificate", "pem"), ("key", "key"), ("token", "token"))]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "cosim", "worker", "--listen=127.0.0.1:0", *options],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
    )  # fmt: skip
    yield process
    process.terminate()
    process.communicate(timeout=90)


def remote(process: subprocess.Popen[str], keys: Path) -> Remote:
    assert process.stdout is not None
    address = process.stdout.readline().removeprefix("listening on ").strip()
    return Remote(address, keys / "worker.pem", keys / "worker.token")


def scenario(**options: object) -> Scenario:
    made = Scenario(Clock("2025-01-15", hours=1), sender=Sender(), doubler=Doubler(**options))
    made.connect("sender.power", "doubler.power")
    return made


def test_a_remote_adapter_publishes_the_same_bytes_and_the_run_says_where_it_was(worker, keys, tmp_path):
    here = scenario().run(tmp_path / "here")
    there = scenario()
    there.place(doubler=(at := remote(worker, keys)))
    found = there.run(tmp_path / "there")
    assert found.series("doubler.twice").equals(here.series("doubler.twice"))
    assert found.provenance["placements"]["doubler"] == f"remote at {at.address}"
    assert (tmp_path / "there" / "adapters" / "doubler" / "note.txt").read_text() != str(os.getpid())


def test_one_worker_serves_several_runs_at_once_each_with_its_own_process(worker, keys, tmp_path):
    both = Scenario(Clock("2025-01-15", hours=1), sender=Sender(), a=Doubler(), b=Doubler())
    for name in "ab":
        both.connect("sender.power", f"{name}.power")
    at = remote(worker, keys)
    both.place(a=at, b=at)
    both.run(tmp_path / "run")
    notes = {(tmp_path / "run" / "adapters" / name / "note.txt").read_text() for name in "ab"}
    assert len(notes) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fails": "raise"}, "doubler failed at .*: ValueError: no such thing"),
        ({"fails": "kill"}, "its process on .* was killed by SIGKILL; its last output: about to end"),
        ({"fails": "sleep"}, "took longer than 1 s: its worker was ended"),
    ],
)
def test_failures_at_the_other_machine_are_named_and_leave_no_process(worker, keys, tmp_path, options, words):
    failing = scenario(**options)
    failing.place(doubler=remote(worker, keys))
    with pytest.raises(RunError, match=words):
        failing.run(tmp_path / "run", timeout_s={"doubler": 1.0})
    pid = int((tmp_path / "run" / "adapters" / "doubler" / "note.txt").read_text())
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            break
        time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists()


def test_a_worker_that_is_killed_ends_the_run_with_its_address(worker, keys, tmp_path):
    at = remote(worker, keys)
    slow = scenario(fails="sleep", kills=worker.pid)
    slow.place(doubler=at)
    with pytest.raises(RunError, match=f"lost its connection to {re.escape(at.address)}"):
        slow.run(tmp_path / "run")


def refused(at: Remote, tmp_path: Path) -> str:
    made = scenario()
    made.place(doubler=at)
    with pytest.raises(CosimError) as caught:
        made.run(tmp_path / "run")
    return str(caught.value)


def test_wrong_tokens_certificates_and_addresses_are_refused_in_words(worker, keys, tmp_path):
    at = remote(worker, keys)
    other = tmp_path / "other"
    make_credentials(other)
    assert "refuses: the token is wrong" in refused(
        Remote(at.address, at.certificate, other / "worker.token"), tmp_path
    )
    text = refused(Remote(at.address, other / "worker.pem", at.token), tmp_path / "b")
    assert "has another certificate than" in text
    text = refused(Remote("127.0.0.1:1", at.certificate, at.token), tmp_path / "c")
    assert "no worker answers at 127.0.0.1:1: Connection refused; start one by cosim worker" in text
    assert "cannot be read: No such file" in refused(
        Remote(at.address, at.certificate, tmp_path / "no"), tmp_path / "d"
    )
    assert "cannot be read" in refused(Remote(at.address, tmp_path / "no", at.token), tmp_path / "e")
    assert "write as in '127.0.0.1:4000'" in refused(Remote("somewhere", at.certificate, at.token), tmp_path / "f")


def test_what_is_no_run_is_hung_up_on_and_the_worker_goes_on(worker, keys, tmp_path):
    at = remote(worker, keys)
    for said in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 10_000):
        with socket.create_connection(parse_address(at.address), 5) as plain:
            plain.sendall(said)
            plain.settimeout(15)
            try:
                while plain.recv(1000):
                    pass
            except ConnectionError:
                pass
    made = scenario()
    made.place(doubler=at)
    made.run(tmp_path / "run")


def test_tokens_that_others_can_read_or_guess_are_refused(tmp_path):
    token = tmp_path / "token"
    token.write_text("a" * 40)
    token.chmod(0o644)
    with pytest.raises(CosimError, match=r"others can read the token .*: protect it with chmod 600"):
        read_token(token)
    token.chmod(0o600)
    assert read_token(token) == "a" * 40
    token.write_text("short")
    with pytest.raises(CosimError, match="has 5 characters: give it 32 random ones or more"):
        read_token(token)


def test_credentials_are_private_and_never_replaced(keys):
    assert {path.name: path.stat().st_mode & 0o077 for path in keys.iterdir()} == dict.fromkeys(
        ("worker.pem", "worker.key", "worker.token"), 0
    )
    with pytest.raises(CosimError, match="exists: remove it"):
        make_credentials(keys)


@pytest.mark.slow
def test_a_worker_started_by_dask_runs_an_adapter_and_ends_with_dask(keys, tmp_path):
    distributed = pytest.importorskip("distributed")
    made = scenario()
    one = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**one) as cluster, distributed.Client(cluster) as client:
        address = client.submit(start_worker, str(keys), pure=False).result(60)
        made.place(doubler=Remote(address, keys / "worker.pem", keys / "worker.token"))
        made.run(tmp_path / "run")
    for _ in range(100):
        with socket.socket() as plain:
            if plain.connect_ex(parse_address(address)):
                return
        time.sleep(0.1)
    pytest.fail("the worker has outlived Dask")


def test_the_command_says_what_is_missing(tmp_path, keys):
    command = [sys.executable, "-m", "cosim", "worker", "--listen", "127.0.0.1:0"]
    lacking = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert lacking.returncode == 1
    assert "the certificate worker.pem does not exist: write one with cosim worker --make FOLDER" in lacking.stderr
