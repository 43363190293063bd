"""A federation as an adapter: values, messages, units, steps, and every way in which others fail."""

import sys

import helics
import numpy as np
import pytest

from cosim import Clock, CosimError, RunError, Scenario, ScenarioError
from cosim.adapters.helics import HelicsFederation, Publication, Receiver, Sender, Subscription
from cosim.adapters.helics.broker import start_broker
from cosim.adapters.helics.federate import Federate
from tests.support.paths import ROOT
from tests.support.toys import Source

FEDERATES = [sys.executable, str(ROOT / "tests/support/helics_federates.py")]
L = ("a", "b")


def federation(behaviour="ok", steps=4, **changes):
    links = {
        "inputs": {"load": Publication("cosim/load", "W", L), "ask": Sender("cosim/questions", "plain/box", "W", L)},
        "outputs": {
            "double": Subscription("plain/double", "W", L, "mean"),
            "single": Subscription("", "degC", {"x": "plain/single"}, "end"),
            "answer": Receiver("cosim/answers", "W", L, "mean", initial=0.0),
        },
        "programs": [[*FEDERATES, "plain", "{broker}", behaviour, str(steps)]],
        "timeout_s": 10.0,
    }
    return HelicsFederation(**links | changes)


def scenario(adapter, hours=4 / 60):
    made = Scenario(Clock("2025-01-15", hours=hours), source=Source(), fed=adapter)
    made.place(fed="inline")
    for port in adapter.inputs:
        made.connect("source.power", f"fed.{port}")
    if "double" in adapter.outputs:
        made.connect("fed.double", "source.feedback", delay=1, initial=0.0)
    return made


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return scenario(federation()).run(tmp_path_factory.mktemp("run") / "run", double=True)


def test_a_plain_federate_answers_within_the_same_step(result):
    sent = result.series("source.power").to_numpy()
    assert (result.series("fed.double").to_numpy() == 2.0 * sent).all()


def test_states_are_there_before_the_first_step_and_one_label_each(result):
    assert result.series("fed.single")["x"].tolist() == [20.0, 21.0, 22.0, 23.0, 24.0]


def test_messages_go_to_an_endpoint_and_come_back(result):
    sent = result.series("source.power").to_numpy()
    assert (result.series("fed.answer").to_numpy() == sent + 1).all()


def test_provenance_names_the_version_of_helics(result):
    assert result.provenance["versions"]["helics"] == helics.helicsGetVersion().partition(" ")[0]


def test_values_of_a_finer_federate_are_averaged_over_the_step(tmp_path):
    series = scenario(federation("fine"), 2 / 60).run(tmp_path / "run").series("fed.double")
    assert series["a"].tolist() == [2 * (20 + 40 + 60) / 3, 2 * (80 + 100 + 120) / 3]


def test_units_are_converted_or_the_assumption_is_reported(tmp_path):
    run = scenario(federation("kilowatt"), 2 / 60).run(tmp_path / "kilowatt", double=True)
    np.testing.assert_allclose(run.series("fed.double"), 2000.0 * run.series("source.power"), rtol=1e-15)
    events = scenario(federation("no unit"), 2 / 60).run(tmp_path / "none").events
    [event] = events[events["kind"] == "unit assumed"].to_dict("records")
    assert event["element"] == "double"
    assert "no unit and is taken to be in W" in event["text"]


FAILURES = [
    ("raise", "the federate .* ended with exit code 1; its last output: ValueError: the transformer burnt"),
    ("global error", "failed while it waited for time 120 s after 60 s: .*the grid is gone"),
    # the broker may hear of it some milliseconds after the step was granted: then the next one ends the run
    ("leave", "the federate plain has left the federation before 1[28]0 s: let it run as long as the scenario"),
    ("not a number", r"double\['a'\] received nan from the federation at 60 s: not finite"),
    ("malformed", r"answer received the message b'\[1, ' at 60 s: it must be a JSON array of 2 numbers"),
    ("late", "single: nothing was published for it while the federation initialized: pass initial= to its Sub"),
]


@pytest.mark.parametrize(
    ("behaviour", "text"),
    [
        ("die", r"at 2025-01-15 00:01:00: the federate .* was killed by SIGKILL"),
        ("wrong length", "double expects 2 values of 'plain/double', got 3 at 60 s"),
        ("volt", "double: V and W are different quantities"),
        *(pytest.param(*failure, marks=pytest.mark.slow) for failure in FAILURES),
    ],
)
def test_what_goes_wrong_in_the_federation_is_named(tmp_path, behaviour, text):
    with pytest.raises(RunError, match=text):
        scenario(federation(behaviour)).run(tmp_path / "run")


def test_a_wait_for_nobody_is_ended_though_helics_grants_nothing(tmp_path, monkeypatch):
    completed, publish, published = helics.helicsFederateIsAsyncOperationCompleted, Federate.publish, []

    def count(federate, values):
        published.append(federate.now_s)
        publish(federate, values)

    monkeypatch.setattr(Federate, "publish", count)
    monkeypatch.setattr(
        helics, "helicsFederateIsAsyncOperationCompleted", lambda federate: len(published) < 3 and completed(federate)
    )
    with pytest.raises(RunError, match="the federate plain has left the federation before 120 s"):
        scenario(federation("leave", timeout_s=1000.0)).run(tmp_path / "run")


@pytest.mark.slow
def test_a_federate_that_hangs_is_given_up_after_the_timeout(tmp_path, monkeypatch):
    monkeypatch.setattr("cosim.adapters.helics.adapter._STOP_S", 0.1)
    with pytest.raises(
        RunError, match=r"waited 15 s for time 120 s after 60 s: another federate has died, hangs or never"
    ):  # its program has as long to start
        scenario(federation("hang", timeout_s=15.0)).run(tmp_path / "run")


def test_keys_and_endpoints_that_nobody_has_are_named_together(tmp_path):
    wrong = federation(
        inputs={"load": Publication("cosim/load", "W", L), "ask": Sender("cosim/q", "plain/bux", "W", L)},
        outputs={"double": Subscription("plain/dubble", "W", L, "mean", initial=0.0)},
    )
    with pytest.raises(RunError) as error:
        scenario(wrong).run(tmp_path / "run")
    text = str(error.value)
    assert (
        "double: no publication 'plain/dubble' in the federation; available: cosim/load, plain/double, plain/single"
        in text
    )
    assert "ask: no endpoint 'plain/bux' in the federation; available: cosim/q, plain/box" in text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"broker": "tcp://192.0.2.1:23404"}, "is on another machine, and HELICS has neither password nor encryption"),
        ({"broker": "23404"}, "broker is '23404': write its address, as in 'tcp://127.0.0.1:23404'"),
        ({"programs": []}, "broker and programs are empty"),
        ({"programs": [[]]}, "programs has an empty command"),
        ({"timeout_s": 0}, "timeout_s is 0: it must be a positive number of seconds"),
        ({"inputs": {}, "outputs": {}}, "inputs and outputs are empty"),
        ({"outputs": {"load": Subscription("k", "W", L, "mean")}}, "port name 'load' is reserved"),
        ({"outputs": {"x": Publication("k", "W", L)}}, "x is Publication(.*: pass a Subscription or a Receiver"),
    ],
)
def test_mistakes_in_the_arguments_are_refused_before_anything_starts(changes, text):
    with pytest.raises(ScenarioError, match=text.replace("(", r"\(")):
        federation(**changes)


def test_a_broker_or_program_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RunError, match=r"no HELICS broker answers at tcp://127\.0\.0\.1:9: start it first"):
        scenario(federation(broker="tcp://127.0.0.1:9", programs=[])).run(tmp_path / "a")
    with pytest.raises(RunError, match="cannot start /no/such/program: No such file or directory"):
        scenario(federation(programs=["/no/such/program"])).run(tmp_path / "b")


def test_without_helics_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "helics", None)
    with pytest.raises(CosimError, match=r"federations of HELICS need helics: pip install 'cosim-city\[helics\]'"):
        federation().versions()


def test_a_federate_that_is_collected_late_leaves_later_ones_alone(tmp_path, monkeypatch):
    kept = []
    close, publish = Federate.close, Federate.publish

    def keep(federate):
        close(federate)
        kept.append(federate)

    def forget(federate, values):
        kept.clear()
        publish(federate, values)

    monkeypatch.setattr(Federate, "close", keep)
    scenario(federation()).run(tmp_path / "first")
    monkeypatch.setattr(Federate, "close", close)
    monkeypatch.setattr(Federate, "publish", forget)
    scenario(federation()).run(tmp_path / "second")


def test_two_brokers_have_two_addresses_on_loopback():
    (one, first), (two, second) = start_broker("zmq", 1), start_broker("zmq", 1)
    assert first != second
    # a broker's neighbours are its federates' ports, which a system would give to others from 32768 on
    assert all(20_000 <= int(address.removeprefix("tcp://127.0.0.1:")) < 32_768 - 6 for address in (first, second))
    for broker in (one, two):
        helics.helicsBrokerDisconnect(broker)
    with pytest.raises(CosimError, match="no HELICS broker of the type 'pigeon' starts"):
        start_broker("pigeon", 1)
