"""Adapters and scenarios as federates: bit-equal with the run that has them inside, with real brokers."""

import subprocess
import sys
from typing import Any

import helics
import pytest

from cosim import Clock, CosimError, Scenario, as_helics
from cosim.adapters.helics import HelicsFederation, Publication, Subscription
from cosim.adapters.helics.broker import start_broker
from tests.support.paths import ROOT
from tests.support.toys import Echo, Source

FEDERATES = [sys.executable, str(ROOT / "tests/support/helics_federates.py")]
L = ("a", "b")
anyhow: Any = as_helics
CLOCK = Clock("2025-01-15", hours=0.1)


def test_a_scenario_is_bit_equal_with_a_federate_in_place_of_an_adapter(tmp_path):
    inside = Scenario(CLOCK, source=Source(), echo=Echo())
    inside.connect("source.power", "echo.load")
    inside.connect("echo.received", "source.feedback", delay=1, initial=0.0)
    federation = HelicsFederation(
        inputs={"load": Publication("cosim/load", "W", L)},
        outputs={
            "received": Subscription("ours/received", "W", L, "mean"),
            "seen": Subscription("ours/seen", "1", L, "end"),
        },
        programs=[[*FEDERATES, "ours", "{broker}", "Echo", "6", "cosim/load"]],
        timeout_s=90.0,
    )
    outside = Scenario(CLOCK, source=Source(), echo=federation)
    outside.connect("source.power", "echo.load")
    outside.connect("echo.received", "source.feedback", delay=1, initial=0.0)
    one, two = inside.run(tmp_path / "inside", double=True), outside.run(tmp_path / "outside", double=True)
    assert outside.placement("echo") == "process"
    for port in ("source.power", "source.count", "echo.received", "echo.seen"):
        assert one.series(port).equals(two.series(port)), port


def test_a_scenario_joins_a_federation_of_plain_helics(tmp_path):
    broker, address = start_broker("zmq", 2)
    other = subprocess.Popen([*FEDERATES, "plain", address, "ok", "6"])
    try:
        scenario = Scenario(CLOCK, source=Source(), echo=Echo())
        scenario.connect("source.power", "echo.load")
        federate = as_helics(
            scenario,
            publish={"cosim/load": "source.power"},
            subscribe={"source.feedback": "plain/double"},
            initial={"source.feedback": 5.0},
        )
        result = federate.run(address, tmp_path / "run", timeout_s=90.0, double=True)
        assert other.wait(90) == 0
    finally:
        other.kill()
        other.wait()
        helics.helicsBrokerDisconnect(broker)
    assert (result.series("federation.from_0").to_numpy() == 2.0 * result.series("source.power").to_numpy()).all()
    assert [*scenario.adapters] == ["source", "echo"]  # the scenario itself is as it was


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: anyhow("grid"), "as_helics got 'grid': pass an adapter or a scenario"),
        (lambda: as_helics(Echo()), "load has no default: name a publication for it in subscribe="),
        (lambda: as_helics(Source(), subscribe={"lod": "k"}), "lod is not an input; available: feedback"),
        (lambda: anyhow(Source(), publish={"k": "power"}), "publish= is for scenarios"),
        (lambda: as_helics(scenario()), "as_helics exchanges nothing"),
        (
            lambda: as_helics(scenario(), publish={"k": "source.pow"}),
            "unknown port 'source.pow'; available: source.power",
        ),
        (
            lambda: as_helics(scenario(), subscribe={"source.feedback": "k"}),
            "source.feedback has no value for the first step",
        ),
        (
            lambda: as_helics(scenario(), publish={"k": "source.power"}, initial={"source.feedback": 0.0}),
            "initial names 'source.feedback', for which subscribe has no publication",
        ),
        (
            lambda: as_helics(Source()).run("tcp://127.0.0.1:9", step_s=60, until_s=90),
            "a whole number of steps of 60 s",
        ),
        (lambda: as_helics(Source()).run("tcp://127.0.0.1:9", step_s=0, until_s=90), "they must be positive"),
        (lambda: as_helics(Source()).run("tcp://192.0.2.1:9", step_s=60, until_s=60), "is on another machine"),
        (lambda: as_helics(Source()).run("tcp://127.0.0.1:9", step_s=60, until_s=60), "no HELICS broker answers at"),
    ],
)
def test_mistakes_are_refused_before_a_federation_is_joined(make, text):
    with pytest.raises(CosimError) as error:
        make()
    assert text in str(error.value)


def scenario():
    return Scenario(CLOCK, source=Source())
