"""Plans run ahead from the state of a live run."""

import json

import paho.mqtt.client as mqtt
import pytest

from cosim import Result, compare
from cosim.core import CosimError
from cosim.live.build import live_scenario
from cosim.live.plans import attach_plans, read_plans
from tests.cosim.live.test_feeds import TEXT, live, written
from tests.support.broker import Broker, needs_broker
from tests.support.live_twin import build
from tests.support.paths import ROOT

PLANS = """
ahead: 50min
plans:
  cooler: {set: {houses.setpoint: 18}, about: everyone at 18 degrees}
  one: {set: {houses.setpoint: {b: 25}}}
"""


def plans(folder, text=PLANS):
    path = folder / "plans.yaml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def ahead(tmp_path_factory):
    """The folder of a live run of two hours that looked ahead after an hour, with the command's output."""
    folder = tmp_path_factory.mktemp("ahead")
    done = live(folder, written(folder), "--every", "1h", "--plans", str(plans(folder)), "--no-report")
    assert done.exit_code == 0, done.output
    return folder / "run", done.output


def rows(run):
    return [json.loads(line) for line in (run / "forecasts" / "forecasts.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_going_on_as_now_is_what_happens_if_nothing_arrives(ahead):
    run, _ = ahead
    found, whole = Result.open(run / "forecasts/20250115T010000/base"), Result.open(run)
    start, end = "2025-01-15T00:00:00Z", "2025-01-15T00:50:00Z"
    for port in ("houses.heat", "street.total", "meter.energy", "measured.weather_temperature"):
        later = whole.series(port)
        later = later[(later.index > start) & (later.index <= end)]
        assert found.series(port).equals(later)
    assert found.provenance["simulated_s"] == 3000
    assert found.provenance["forked_at_s"] == 3600
    assert all(row["residual"] < 1e-9 for row in found.provenance["ledger"])


@pytest.mark.slow
def test_plans_act_from_now_on_and_are_comparable(ahead):
    run, output = ahead
    assert "3 forecasts done" in output
    base, cooler, one = rows(run)
    assert [row["plan"] for row in (base, cooler, one)] == ["base", "cooler", "one"]
    assert (cooler["at"], cooler["until"]) == ("2025-01-15T01:00:00+01:00", "2025-01-15T01:50:00+01:00")
    heat = [row["indicators"]["heat"]["value"] for row in (base, cooler, one)]
    hours = 50 / 60
    assert heat[1] - heat[0] == pytest.approx(-3 * 0.1 * 2 * hours, rel=1e-4)  # three houses, 100 W/K, 2 K
    assert heat[2] - heat[0] == pytest.approx(0.1 * 5 * hours, rel=1e-4)
    assert cooler["indicators"]["heat"]["base"] == heat[0]
    assert cooler["replayed"] == ["meter"]
    compared = compare(*(Result.open(row["folder"]) for row in (base, cooler)))
    ((change,),) = compared.changes.values()
    assert change.difference.mean == pytest.approx(heat[1] - heat[0])


@pytest.mark.slow
def test_the_live_run_itself_is_not_changed_by_looking_ahead(ahead, tmp_path):
    run, _ = ahead
    path = written(tmp_path)
    alone = live_scenario(str(ROOT / "tests/support/live_twin.py"), [], [], seed=0, feeds=path)
    assert alone.run(tmp_path / "alone").series("houses.heat").equals(Result.open(run).series("houses.heat"))


@needs_broker
@pytest.mark.slow
def test_indicators_of_forecasts_are_published(tmp_path):
    with Broker(tmp_path / "broker") as broker:
        text = TEXT + f"broker: {{port: {broker.port}}}\n"
        path = written(tmp_path, text)
        done = live(
            tmp_path, path, "--every", "1h", "--plans", str(plans(tmp_path)), "--no-report", "--publish", "houses.heat"
        )
        assert done.exit_code == 0, done.output
        received = {}
        listener = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        listener.on_message = lambda _c, _d, message: received.update({message.topic: json.loads(message.payload)})
        listener.connect("127.0.0.1", broker.port)
        listener.subscribe("cosim/forecast/#", 1)
        while len(received) < 3 and listener.loop(1.0) == 0:
            pass
        listener.disconnect()
    assert set(received) == {"cosim/forecast/base", "cosim/forecast/cooler", "cosim/forecast/one"}
    assert received["cosim/forecast/cooler"] == rows(tmp_path / "run")[1]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            ("houses.setpoint: 18", "houses.setpoin: 18"),
            "sets houses.setpoin: unknown input, did you mean houses.setpoint",
        ),
        (("houses.setpoint: 18", "houses.outdoor_temperature: 18"), "which receives weather.temperature"),
        (("{b: 25}", "{x: 25}"), "plans set houses.setpoint of 'x': unknown element"),
        (("ahead: 50min", "ahead: 0"), "ahead: input should be greater than 0"),
        (("ahead: 50min", ""), "ahead: field required"),
        (("cooler:", "base:"), "plans.base: the name of going on as now"),
        (("cooler:", "../x:"), "plans.../x"),
        (("set: {houses.setpoint: 18}, ", ""), "plans.cooler.set: field required"),
    ],
)
def test_wrong_plans_are_one_clear_error(tmp_path, change, text):
    with pytest.raises(CosimError) as caught:
        attach_plans(build(), read_plans(plans(tmp_path, PLANS.replace(*change))))
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--every", "1h"), "--every and --plans go together"),
        (("--every", "1h", "--plans", "{plans}", "--checkpoint-every", "1h"), "omit --checkpoint-every"),
        (("--every", "90s", "--plans", "{plans}"), "checkpoint_every is '90s': it must be a whole multiple of 60 s"),
    ],
)
def test_wrong_options_are_refused(tmp_path, options, text):
    path = str(plans(tmp_path))
    done = live(tmp_path, written(tmp_path), *(option.replace("{plans}", path) for option in options))
    assert done.exit_code == 1
    assert text in " ".join(done.output.split())
