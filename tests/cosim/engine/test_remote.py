"""Adapters in a worker at another address: over TLS, with a token, with the same results, and with errors in words."""

from __future__ import annotations

import os
import re
import resource
import socket
import ssl
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cosim import Clock, CosimError, Remote, RunError, Scenario
from cosim.cli.app import app
from cosim.cli.worker import make_credentials
from cosim.engine.remote import identity, parse_address, read_token, start_worker
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
    assert "worker.key is no certificate: copy the worker's own" in refused(
        Remote(at.address, keys / "worker.key", at.token), tmp_path / "f"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"address": "somewhere"}, "'somewhere' is no host and port: write as in '127.0.0.1:4000', with a port of at"),
        ({"address": "127.0.0.1:99999"}, "with a port of at most 65535"),
        ({"address": f"a:{'9' * 5000}"}, "with a port of at most 65535"),
        ({"address": "[::1:4000"}, "is no host and port"),
        ({"address": "node7:0"}, "has port 0: give the one that the worker listens on"),
        ({"certificate": None}, "certificate is None: give the path of the worker's certificate"),
        ({"token": 3}, "token is 3: give the path of the worker's token"),
    ],
)
def test_where_no_worker_can_be_is_refused_before_anything_runs(changes, words):
    with pytest.raises(CosimError, match=re.escape(words)):
        Remote(**{"address": "node7:4000", "certificate": "worker.pem", "token": "worker.token"} | changes)


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
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    for said in (b"[" * 4000 + b"\n", b"no JSON\n"):
        with trusting.wrap_socket(socket.create_connection(parse_address(at.address), 5)) as secure:
            secure.sendall(said)
            assert secure.recv(1000) == b"it does not greet as a run does\n"
    made = scenario()
    made.place(doubler=at)
    made.run(tmp_path / "run")
    worker.terminate()
    told, _ = worker.communicate(timeout=90)
    assert "Traceback" not in told
    assert "was refused: it does not speak TLS as a run does" in told


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process are set on Linux")
def test_a_worker_without_descriptors_says_so_and_serves_when_it_has_some_again(worker, keys, tmp_path):
    at = remote(worker, keys)
    _, most = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (24, most))
    idle = [socket.create_connection(parse_address(at.address), 5) for _ in range(60)]
    assert worker.stdout is not None
    assert "no connection is accepted for now: Too many open files" in worker.stdout.readline()
    for one in idle:
        one.close()
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (most, most))
    made = scenario()
    made.place(doubler=at)
    made.run(tmp_path / "run")


def test_a_worker_whose_key_is_anothers_does_not_start(keys, tmp_path):
    make_credentials(tmp_path / "other")
    (tmp_path / "other" / "worker.pem").write_bytes((keys / "worker.pem").read_bytes())
    with pytest.raises(CosimError, match=r"did not start: .* are not a certificate and its own key without a password"):
        start_worker(tmp_path / "other")


def test_tokens_that_others_can_read_or_guess_are_refused(tmp_path):
    token = tmp_path / "token"
    token.write_text("a" * 40)
    token.chmod(0o644)
    with pytest.raises(CosimError, match=r"others can read the token .*: protect it with chmod 600"):
        read_token(token)
    token.chmod(0o600)
    assert read_token(token) == "a" * 40
    for text in (b"\0" * 64, b"-----BEGIN CERTIFICATE-----\n" * 3, b"\xff" * 40):
        token.write_bytes(text)
        with pytest.raises(CosimError, match="is not one line of text: write one with cosim worker --make FOLDER"):
            read_token(token)
    token.write_text("short")
    with pytest.raises(CosimError, match="has 5 characters: give it 32 random ones or more"):
        read_token(token)


def test_credentials_are_private_and_never_replaced(keys):
    assert {path.name: path.stat().st_mode & 0o077 for path in keys.iterdir()} == dict.fromkeys(
        ("worker.pem", "worker.key", "worker.token"), 0
    )
    with pytest.raises(CosimError, match=r"there already: .*; remove them, or name another folder"):
        make_credentials(keys)


def test_credentials_are_written_together_or_not_at_all(tmp_path):
    (tmp_path / "worker.token").write_text("mine")
    with pytest.raises(CosimError, match=r"there already: .*worker\.token; remove them, or name another folder"):
        make_credentials(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["worker.token"]
    with pytest.raises(CosimError, match=r"cannot write to .* \(Not a directory\): name another folder"):
        make_credentials(tmp_path / "worker.token" / "below")


def test_a_key_that_others_can_read_is_refused(keys, tmp_path):
    key = tmp_path / "worker.key"
    key.write_bytes((keys / "worker.key").read_bytes())
    key.chmod(0o644)
    with pytest.raises(CosimError, match=r"others can read the key .*: protect it with chmod 600"):
        identity(keys / "worker.pem", key)


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


def test_what_making_credentials_does_not_use_is_refused(tmp_path):
    made = CliRunner().invoke(app, ["worker", "--make", str(tmp_path / "keys"), "--listen", "127.0.0.1:4001"])
    assert made.exit_code == 1
    assert "--make writes files and ends: leave --listen out" in made.output
    assert not (tmp_path / "keys").exists()


def test_a_key_with_a_password_is_refused_without_asking_for_it(keys, tmp_path):
    from cryptography.hazmat.primitives import serialization as form

    key = tmp_path / "worker.key"
    private = form.load_pem_private_key((keys / "worker.key").read_bytes(), None)
    hidden = form.BestAvailableEncryption(b"secret")
    key.write_bytes(private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, hidden))
    key.chmod(0o600)
    with pytest.raises(CosimError, match="are not a certificate and its own key without a password: write both with"):
        identity(keys / "worker.pem", key)


def test_an_adapter_of_a_module_that_its_worker_cannot_import_says_where_to_put_it(tmp_path, monkeypatch):
    module = types.ModuleType("notebook_cell")
    module.Doubler = type("Doubler", (Doubler,), {"__module__": module.__name__})
    monkeypatch.setitem(sys.modules, "notebook_cell", module)
    made = Scenario(Clock("2025-01-15", hours=1), sender=Sender(), doubler=module.Doubler())
    made.connect("sender.power", "doubler.power")
    made.place(doubler="process")
    with pytest.raises(CosimError, match="'notebook_cell'; a worker imports the adapter's class: put it in a module"):
        made.run(tmp_path / "run")
