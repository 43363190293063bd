"""The local server of reports: its answers, its restriction to this machine, and how it ends."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest

from cosim import CosimError, compare
from cosim.report.server import HOST, ReportServer, Viewer
from tests.support.districts import district


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return district().run(folder / "base"), district(draw=9).run(folder / "plan")


@pytest.fixture(scope="module")
def server(runs):
    with ReportServer(compare(*runs)) as server:
        thread = threading.Thread(target=server.serve)
        thread.start()
        yield server
        server.close()
        thread.join()


def ask(server, path, host=None):
    connection = http.client.HTTPConnection(HOST, int(server.address.split(":")[2].strip("/")), timeout=60)
    try:
        connection.request("GET", path, headers={"Host": host} if host else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_frame_is_the_recorded_row(server, runs):
    status, content = ask(server, "/frame/0/0/1/77")
    assert status == 200
    np.testing.assert_allclose(np.frombuffer(content, "<f4"), runs[1].series("source.power").iloc[77] / 1000, rtol=1e-6)


def test_course_and_total_are_thinned_means(server, runs):
    course = json.loads(ask(server, "/course/0/0/0/2")[1])
    assert course["every"] == 60
    np.testing.assert_allclose(course["values"], runs[0].series("source.power")["e2"] / 1000, rtol=1e-4)
    total = json.loads(ask(server, "/total/0/2/0")[1])
    assert total["mean"] == total["low"] == total["high"] == list(range(1, 181))


def test_mean_is_that_of_all_recorded_rows(server, runs):
    mean = np.frombuffer(ask(server, "/mean/0/0/1/0/24")[1], "<f4")
    np.testing.assert_allclose(mean, runs[1].series("source.power").mean() / 1000, rtol=1e-6)


def test_peak_is_the_highest_mean_over_the_frames_of_a_report(server, runs):
    peak = np.frombuffer(ask(server, "/peak/0/0/1")[1], "<f4")
    means = runs[1].series("source.power").to_numpy(dtype=float).reshape(90, 2, 6).mean(axis=1)
    np.testing.assert_allclose(peak, means.max(axis=0) / 1000, rtol=1e-6)


def test_every_seed_can_be_viewed(runs, tmp_path):
    groups = [[one, district(seed=1, draw=draw).run(tmp_path / str(draw))] for one, draw in zip(runs, (4, 5))]
    viewer = Viewer(compare(*groups))
    page = viewer.page.decode()
    cases = json.loads(page.partition('id="content">')[2].partition("</script>")[0])["cases"]
    assert [case["name"] for case in cases] == ["seed 0", "seed 1"]
    for seed in (0, 1):
        shown = np.frombuffer(viewer.answer(f"/frame/{seed}/0/1/77")[1], "<f4")
        np.testing.assert_allclose(shown, groups[1][seed].series("source.power").iloc[77] / 1000, rtol=1e-6)
    assert cases[0]["layers"][0]["scale"] == cases[1]["layers"][0]["scale"]


def test_page_may_only_contact_its_own_server(server):
    page = ask(server, "/")[1].decode()
    assert "connect-src &#39;self&#39;" in page
    assert 'id="block-0"' not in page


@pytest.mark.parametrize(
    "path",
    [
        "/frame/0/0/0/99999",
        "/frame/0/9/0/0",
        "/frame/1/0/0/0",
        "/mean/0/0/7",
        "/peak/0/0/7",
        "/frame/0/0/0",
        "/frame/0/0/0/-1",
        "/x",
        "/shapes/0/a",
        "/../run.json",
        "/course/0/0/0/77",
    ],
)
def test_unknown_path_is_not_found(server, path):
    assert ask(server, path)[0] == 404


def test_foreign_host_name_is_refused(server):
    assert ask(server, "/", host="evil.example")[0] == 403


def test_only_the_loopback_interface_listens(server):
    assert server.address.startswith("http://127.0.0.1:")


def test_port_that_is_taken_is_one_clear_error(runs):
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(CosimError, match=f"port {port} of {HOST} is in use"):
            ReportServer(runs[0], port)


def test_element_that_one_run_does_not_have_has_an_empty_course(runs, tmp_path):
    more = district(labels=("e0", "new")).run(tmp_path / "more")
    viewer = Viewer(compare(runs[0], more))
    new = json.loads(viewer.answer("/shapes/0/0")[1])["labels"].index("new")
    assert json.loads(viewer.answer(f"/course/0/0/0/{new}")[1])["values"] == []
    assert np.isnan(np.frombuffer(viewer.answer("/frame/0/0/0/3")[1], "<f4")[new])


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_command_prints_its_address_and_ends_on_a_signal(runs, ended_by):
    process = subprocess.Popen(
        [
            sys.executable,
            "-u",
            "-c",
            "from cosim.cli.app import main; main()",
            "view",
            str(runs[0].folder),
            "--port",
            "0",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
        # as a shell starts a job in the background, which SIGTERM must end all the same
        preexec_fn=None if ended_by == signal.SIGINT else lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    try:
        assert process.stdout.readline().startswith("open http://127.0.0.1:")
        process.send_signal(ended_by)
        assert process.wait(timeout=60) in (0, 130)
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.communicate()
