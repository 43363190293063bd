"""Feeds described in YAML, wired into a scenario."""

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cosim.adapters.feed import Feed, Measured
from cosim.adapters.feed.measured import StandIn
from cosim.adapters.feed.payload import FedPort
from cosim.adapters.feed.specification import SCHEMA, Feeds, Rule, schema
from cosim.cli.app import app
from cosim.core import Clock, CosimError, Input, ScenarioError, Step
from cosim.live.plans import PlanInputs
from cosim.live.wiring import attach, read_feeds
from cosim.registry.builder import build_again
from cosim.testing import Rig, parametrize_with_checks
from tests.support.live_twin import Houses, build
from tests.support.paths import ROOT

yaml, jsonschema = pytest.importorskip("yaml"), pytest.importorskip("jsonschema")

TEXT = """
pace: {by: data, patience: 1s}
streams:
- file: air.jsonl
  grows: false
  time: at
  values: [{port: weather.temperature, path: t, unit: K, label: outdoor, range: [230, 330]}]
ports:
  weather.temperature: {hold: 10min, default: model}
"""


def written(folder, text=TEXT, minutes=range(60), temperature=lambda minute: 280 + minute / 10):
    rows = [{"at": f"2025-01-15T00:{m:02d}:00", "t": temperature(m)} for m in minutes]
    (folder / "air.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / "feeds.yaml"
    path.write_text(text)
    return path


def live(folder, path, *options):
    return CliRunner().invoke(
        app,
        ["live", str(ROOT / "tests/support/live_twin.py"), "--feed", str(path), "--out", str(folder / "run"), *options],
    )


def refused(folder, text):
    path = written(folder, text)
    with pytest.raises(CosimError) as caught:
        attach(build(), read_feeds(path))
    return str(caught.value)


def test_measured_temperature_replaces_the_weather_year_and_the_model_returns_when_it_is_too_old(tmp_path):
    scenario, alone = build(), build().run(tmp_path / "alone")
    attach(scenario, read_feeds(written(tmp_path)))
    result = scenario.run(tmp_path / "run", double=True)
    heat, air = result.series("houses.heat")["a"].to_numpy(), np.repeat(280 + np.arange(60) / 10 - 273.15, 1)
    np.testing.assert_allclose(heat[:60], 100 * (20 - air))
    np.testing.assert_allclose(heat[60:69], 100 * (20 - air[-1]))
    np.testing.assert_allclose(heat[69:], alone.series("houses.heat")["a"].to_numpy()[69:], rtol=1e-5)
    assert {"missing"} == set(result.events.query("adapter == 'feed'").kind)
    counts = result.series("feed.counts").iloc[-1]
    assert counts["air.jsonl|used"] == 60
    assert counts["weather.temperature|repeated"] == 10
    assert counts["weather.temperature|missing"] == 51


def test_the_ledger_and_the_report_hold_as_for_any_run(tmp_path):
    scenario = build()
    attach(scenario, read_feeds(written(tmp_path)))
    result = scenario.run(tmp_path / "run")
    assert all(row["residual"] < 1e-9 for row in result.provenance["ledger"])
    done = CliRunner().invoke(app, ["report", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output


def test_a_run_on_a_file_is_resumed_to_the_same_bytes(tmp_path):
    path, whole = written(tmp_path), build()
    attach(whole, read_feeds(path))
    whole.run(tmp_path / "whole", double=True)
    broken = build()
    attach(broken, read_feeds(path))
    houses = broken.adapters["houses"]
    advance, houses.advance = houses.advance, lambda step: 1 / 0 if step.start_s > 4000 else advance(step)
    with pytest.raises(CosimError, match="ZeroDivisionError"):
        broken.run(tmp_path / "broken", double=True, checkpoint_every="10min")
    again = build()
    attach(again, read_feeds(path))
    result = again.resume(tmp_path / "broken")
    for port in ("houses.heat", "feed.counts", "measured.weather_temperature"):
        name = port.partition("/")[0]
        for part in sorted((tmp_path / "whole" / "series" / name).glob("*.parquet")):
            assert part.read_bytes() == (result.folder / "series" / name / part.name).read_bytes()


def test_an_input_is_fed_and_has_its_default_before_and_after(tmp_path):
    text = TEXT.replace("weather.temperature", "houses.setpoint").replace("default: model", "default: 15")
    text = text.replace("label: outdoor", "label: b")
    scenario = build()
    attach(scenario, read_feeds(written(tmp_path, text, range(10, 20), lambda minute: 295.15)))
    result = scenario.run(tmp_path / "run", double=True)
    share = result.series("houses.heat") / 100 + result.series("weather.temperature").to_numpy()
    assert share["a"].to_numpy() == pytest.approx(15)
    assert share["b"].to_numpy() == pytest.approx([15.0] * 10 + [22.0] * 19 + [15.0] * 91)


def test_the_pace_is_that_of_the_computers_clock(tmp_path):
    path = written(tmp_path)
    scenario = build(hours=0.1)
    attach(scenario, read_feeds(path))
    quick = scenario.run(tmp_path / "quick").provenance["wall_s"]["feed"]
    done = live(tmp_path, path, "--set", "hours=0.1", "--speed", "360", "--no-report")
    assert done.exit_code == 0, done.output
    slow = json.loads((tmp_path / "run" / "run.json").read_text())["wall_s"]
    assert quick < 0.5 < 0.8 < slow["feed"] < 3  # 360 s of the run at 360 times their pace


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            ("weather.temperature", "weather.temperatur"),
            "ports names weather.temperatur: unknown port, did you mean weather.temperature",
        ),
        (("unit: K", "unit: W"), "gives t in W, but weather.temperature is in degC"),
        (("unit: K", "unit: floops"), "streams[0].values[0].unit: unknown unit 'floops'"),
        (("label: outdoor", "label: indoor"), "names the element 'indoor', which weather.temperature does not have"),
        (
            ("weather.temperature", "houses.outdoor_temperature"),
            "which receives weather.temperature: name that output in its place",
        ),
        (("hold: 10min", "hold: soon"), "ports.weather.temperature.hold: 'soon' is not a duration"),
        (("hold: 10min, ", ""), "ports.weather.temperature.hold: field required"),
        (("range: [230, 330]", "range: [330, 230]"), "values[0].range: the first must be below the second"),
        (("by: data", "by: magic"), "pace.by: input should be 'data', 'elapsed' or 'civil'"),
        (("grows: false", "grow: false"), "streams[0].grow: unknown key"),
        (("file: air.jsonl", "topic: a/#/b"), "streams[0].topic: not a topic filter"),
        (("file: air.jsonl", "topic: a/b"), "topics need a broker"),
        (("time: at", "time: arrival"), "every stream is timed by arrival"),
        (("- file: air.jsonl", "- file: none.jsonl"), ""),
    ],
)
def test_wrong_descriptions_are_one_clear_error(tmp_path, change, text):
    if not text:
        path = written(tmp_path, TEXT.replace(*change))
        done = live(tmp_path, path)
        assert done.exit_code == 1
        assert "the file does not exist" in done.output
        return
    assert text in refused(tmp_path, TEXT.replace(*change))


def test_a_tag_that_would_run_code_is_refused_and_nothing_runs(tmp_path):
    mark = tmp_path / "mark"
    path = written(tmp_path, f"streams: !!python/object/apply:os.system ['touch {mark}']\n")
    done = live(tmp_path, path)
    assert done.exit_code == 1
    assert "is not YAML" in done.output
    assert "Traceback" not in done.output
    assert not mark.exists()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("speed", ["fast", "0", "-1", "nan"])
def test_a_wrong_speed_is_refused(tmp_path, speed):
    done = live(tmp_path, written(tmp_path), "--speed", speed)
    assert done.exit_code == 1
    assert "--speed is" in done.output


def test_a_password_is_never_sent_unencrypted_to_another_machine(tmp_path):
    text = TEXT + "broker: {host: broker.example.org, username: a, password_env: B}\n"
    assert "a password for broker.example.org would be sent unencrypted: add tls" in refused(tmp_path, text)


def test_the_shipped_schema_is_that_of_the_models():
    assert SCHEMA.read_text(encoding="utf-8") == schema()


def test_the_schema_accepts_what_is_accepted_and_refuses_unknown_keys():
    validator = jsonschema.Draft202012Validator(json.loads(schema()))
    validator.validate(yaml.safe_load(TEXT))
    assert not validator.is_valid(yaml.safe_load(TEXT.replace("grows", "grow")))
    assert not validator.is_valid(yaml.safe_load(TEXT.replace("by: data", "by: magic")))


def stand_in(labels, **rule):
    about = FedPort("W", ("a", "b", "c"))
    return StandIn(about, labels, Rule.model_validate({"hold": 60, "default": "model", **rule}))


def corrected(adapter, model, measured, known):
    adapter.h_p_model.deliver(model)
    adapter.h_p_measured.deliver(measured)
    adapter.h_p_known.deliver(known)
    adapter.advance(Step(0, 60))
    return adapter.h_p.value.tolist()


def test_the_load_of_a_feeder_scales_its_buildings_and_leaves_others():
    adapter = Measured({"h.p": stand_in(("f1",), apply="total", groups={"f1": ["a", "b*"]})})
    assert corrected(adapter, [100, 300, 50], [800], [1]) == [200, 600, 50]
    assert adapter.factor.value.tolist() == [2.0]
    assert corrected(adapter, [100, 300, 50], [800], [0]) == [100, 300, 50]
    assert corrected(adapter, [1, 3, 50], [800], [1]) == [5, 15, 50]  # no factor beyond the rule's


def test_the_measured_sun_scales_all_surfaces():
    adapter = Measured({"h.p": stand_in(("a", "b", "c"), apply="ratio")})
    assert corrected(adapter, [400, 300, 50], [200, 0, 0], [1, 0, 0]) == [200, 150, 25]
    assert corrected(adapter, [0.5, 0.3, 0], [200, 0, 0], [1, 0, 0]) == [0.5, 0.3, 0]  # dawn


def test_a_group_names_elements_that_exist_once():
    with pytest.raises(CosimError, match=r"groups.f1 names 'x\*', which no element of h.p matches"):
        Measured({"h.p": stand_in(("f1",), apply="total", groups={"f1": ["x*"]})})
    with pytest.raises(CosimError, match="'a' is in f1 and f2: an element has one group"):
        Measured({"h.p": stand_in(("f1", "f2"), apply="total", groups={"f1": ["a"], "f2": ["a"]})})


def test_sun_and_what_follows_it_are_wired_by_the_description(tmp_path):
    text = (
        TEXT.replace("weather.temperature", "weather.irradiance")
        .replace("unit: K", "unit: W/m**2")
        .replace("outdoor", "horizontal")
    )
    text = text.replace("default: model", "default: model, apply: ratio, also: [weather.pv_yield]").replace(
        "230, 330", "0, 1500"
    )
    scenario = build()
    attach(scenario, read_feeds(written(tmp_path, text)))
    scenario.check()
    assert {c.name for c in scenario.connections} >= {
        "weather.irradiance → measured.weather_irradiance_model",
        "weather.pv_yield → measured.weather_pv_yield_model",
        "feed.weather_irradiance → measured.weather_irradiance_measured",
    }


def test_problems_of_a_description_are_told_together(tmp_path):
    text = TEXT + "  weather.nothing: {hold: 1h, default: 0}\n"
    text = text.replace("values: [", "values: [{port: weather.nothing, path: x, unit: K, label: y}, ").replace(
        "hold: 10min", "hold: x"
    )
    path = written(tmp_path, text)
    with pytest.raises(ScenarioError, match="hold"):
        read_feeds(path)


def feed_rig():
    folder = Path(tempfile.mkdtemp(prefix="cosim-feed-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    clock = Clock("2025-01-15", hours=2, zone="Europe/Madrid")
    described = read_feeds(written(folder))
    return Feed(clock, described, {"weather.temperature": FedPort("degC", ("outdoor",))})


def measured_rig():
    return Measured({"h.p": stand_in(("f1",), apply="total", groups={"f1": ["a", "b"]})})


def plan_rig():
    return PlanInputs({"h.setpoint": Input("degC", ["a", "b"], default=20.0)})


@parametrize_with_checks([Rig(feed_rig), Rig(measured_rig), Rig(plan_rig)])
def test_feed_and_measured_keep_the_contract(check):
    check()


def test_feeds_model_round_trips():
    content = yaml.safe_load(TEXT)
    assert Feeds.model_validate(
        Feeds.model_validate(content).model_dump(mode="json", exclude_unset=True)
    ) == Feeds.model_validate(content)


def test_the_measured_load_of_a_feeder_reaches_what_its_houses_supply(tmp_path):
    text = TEXT.replace("weather.temperature", "houses.heat").replace("unit: K", "unit: kW").replace("outdoor", "f1")
    text = text.replace("default: model", "default: model, apply: total, groups: {f1: [a, b]}").replace("230", "0")
    scenario = build()
    attach(scenario, read_feeds(written(tmp_path, text, temperature=lambda minute: 6.0)))
    result = scenario.run(tmp_path / "run", double=True)
    model, found = result.series("houses.heat"), result.series("measured.houses_heat")
    total = result.series("street.total")["street"].to_numpy()
    assert found[["a", "b"]].sum(axis=1).to_numpy()[:69] == pytest.approx(6000.0)
    assert (found["c"] == model["c"]).all()
    assert total == pytest.approx(found.sum(axis=1).to_numpy())
    assert found[69:].equals(model[69:])
    factor = result.series("measured.factor")["houses.heat|f1"].to_numpy()
    assert factor[:69] == pytest.approx(6000.0 / model[["a", "b"]].sum(axis=1).to_numpy()[:69])


@pytest.mark.slow
def test_a_wait_for_the_clock_is_interrupted_at_once(tmp_path):
    path = written(tmp_path)
    command = [sys.executable, "-c", "from cosim.cli.app import main; main()", "live"]
    command += [str(ROOT / "tests/support/live_twin.py"), "--feed", str(path), "--speed", "1", "--out", "run"]
    run = subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "run" / "run.json").is_file():
        assert run.poll() is None
        time.sleep(0.05)
    time.sleep(1.0)
    run.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, text = run.communicate(timeout=120)
    assert time.monotonic() - began < 10
    assert run.returncode == 130
    assert "interrupted; everything recorded so far is readable in run" in text
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"


def test_an_adapter_that_paces_the_run_has_no_inputs():
    class Pacer(Houses):
        paces = True

    scenario = build()
    scenario.add(pacer=Pacer())
    scenario.connect("weather.temperature", "pacer.outdoor_temperature")
    with pytest.raises(ScenarioError, match="pacer paces the run and has inputs"):
        scenario.check()


def test_a_live_run_is_known_again_by_its_folder_and_not_repeated_with_other_seeds(tmp_path):
    path = written(tmp_path)
    assert live(tmp_path, path, "--no-report").exit_code == 0
    shown = CliRunner().invoke(app, ["show", str(tmp_path / "run")])
    assert shown.exit_code == 0, shown.output
    assert "feed" in shown.output
    resumed = CliRunner().invoke(app, ["resume", str(tmp_path / "run")])
    assert "is finished" in resumed.output
    record = json.loads((tmp_path / "run" / "run.json").read_text())["builder"]
    with pytest.raises(CosimError, match="a live run cannot be built or repeated here"):
        build_again(record, seed=1)
