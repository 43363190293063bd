"""The checks of a scenario before it runs, and the rules of its connections."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from cosim import Adapter, Clock, CosimError, Indicator, Input, Output, Result, Scenario, ScenarioError, compare
from cosim.core.adapter import Event, take_events
from cosim.engine import recorder
from cosim.engine.exchange import Channel
from tests.support.toys import Echo, Ender, Fault, Keeper, Patchy, Source

HOUR = Clock("2025-01-15", hours=1)


def problems(scenario):
    with pytest.raises(ScenarioError) as raised:
        scenario.check()
    return raised.value.problems


def test_unconnected_input_without_default_is_refused():
    assert problems(Scenario(HOUR, echo=Echo())) == [
        "echo.load is not connected: connect an output to it, or give the input a default"
    ]


def test_loop_without_delay_is_spelled_out():
    scenario = Scenario(HOUR, source=Source(), echo=Echo())
    scenario.connect("source.power", "echo.load")
    scenario.connect("echo.received", "source.feedback")
    (text,) = problems(scenario)
    assert text in (
        "source → echo → source is a loop: pass delay=1 on one connection, with initial=",
        "echo → source → echo is a loop: pass delay=1 on one connection, with initial=",
    )


def test_loop_through_itself_is_refused():
    scenario = Scenario(HOUR, source=Source())
    scenario.connect("source.power", "source.feedback")
    assert problems(scenario) == ["source → source is a loop: pass delay=1 on one connection, with initial="]


def test_delay_shorter_than_the_sources_step_does_not_break_a_loop():
    scenario = Scenario(HOUR, steps={"source": 180, "echo": 180}, source=Source(), echo=Echo())
    scenario.connect("source.power", "echo.load")
    scenario.connect("echo.received", "source.feedback", delay=1, initial=0.0)
    (text,) = problems(scenario)
    assert "is a loop: pass delay=3" in text


def test_unit_and_shape_errors_are_raised_together():
    scenario = Scenario(HOUR, source=Source(), echo=Echo(unit="degC"), other=Echo(("a", "b", "c")))
    scenario.connect("source.power", "echo.load")
    scenario.connect("source.power", "other.load")
    scenario.connect("source.power", "other.load", via=np.eye(2))
    scenario.connect("source.nothing", "other.load")
    texts = problems(scenario)
    assert texts[0] == (
        "cannot connect source.power [W] to echo.load [degC]: units differ (W and degC are different quantities)"
    )
    assert "labels differ, only other.load has 'c': pass via=" in texts[1]
    assert "via has shape (2, 2), expected (3, 2) (targets × sources)" in texts[2]
    assert texts[3].startswith("unknown output 'source.nothing'; available: source.power, source.count, ")


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [("W", "var", "different quantities"), ("degC", "K", "offset"), ("EUR", "vehicle", "different quantities")],
)
def test_units_that_do_not_convert_by_a_factor_are_refused(source, target, words):
    scenario = Scenario(HOUR, source=Source(unit=source), echo=Echo(unit=target))
    scenario.connect("source.power", "echo.load")
    assert words in problems(scenario)[0]


def test_unknown_unit_is_refused_with_examples():
    with pytest.raises(CosimError, match="unknown unit 'Watts per fortnite'"):
        Output("Watts per fortnite", ["a"], "mean")


def test_compatible_units_convert_by_a_factor_folded_into_the_mapping(tmp_path):
    scenario = Scenario(HOUR, source=Source(unit="kW"), echo=Echo(unit="W"))
    scenario.connect("source.power", "echo.load", via=sp.eye_array(2))
    result = scenario.run(tmp_path / "run", double=True)
    np.testing.assert_allclose(result.series("echo.received"), result.series("source.power") * 1000, rtol=1e-15)


def test_labels_are_matched_by_name_not_by_order(tmp_path):
    scenario = Scenario(HOUR, source=Source(("a", "b")), echo=Echo(("b", "a")))
    scenario.connect("source.power", "echo.load")
    result = scenario.run(tmp_path / "run", double=True)
    np.testing.assert_array_equal(result.series("echo.received")["a"], result.series("source.power")["a"])


def test_several_connections_into_one_input_add_up_even_from_one_adapter(tmp_path):
    scenario = Scenario(HOUR, one=Source(seed=1), two=Source(seed=2), echo=Echo())
    for output, via in (("one.power", None), ("two.power", None), ("one.power", np.eye(2))):
        scenario.connect(output, "echo.load", via=via)
    result = scenario.run(tmp_path / "run", double=True)
    total = 2 * result.series("one.power") + result.series("two.power")
    np.testing.assert_allclose(result.series("echo.received"), total, rtol=1e-12, atol=1e-9)


def test_two_outputs_of_one_adapter_into_one_input_are_summed(tmp_path):
    class Twin(Adapter):
        def __init__(self):
            self.heat, self.light = Output("W", ["a", "b"], "mean"), Output("W", ["a", "b"], "mean")

        def advance(self, step):
            self.heat.value, self.light.value = [1.0, 2.0], [10.0, 20.0]

    scenario = Scenario(HOUR, twin=Twin(), echo=Echo())
    scenario.connect("twin.heat", "echo.load")
    scenario.connect("twin.light", "echo.load")
    result = scenario.run(tmp_path / "run")
    assert result.series("echo.received").iloc[0].to_list() == [11.0, 22.0]


def test_array_changed_after_publishing_does_not_affect_receivers(tmp_path):
    scenario = Scenario(HOUR, keeper=Keeper(), echo=Echo())
    scenario.connect("keeper.power", "echo.load", delay=2, initial=0.0)
    received = scenario.run(tmp_path / "run", double=True).series("echo.received")["a"].to_numpy()
    np.testing.assert_array_equal(received[2:], np.arange(1, 59) * 60.0)


def test_matrix_that_loses_power_is_refused_and_partial_reports_what_is_dropped(tmp_path):
    via = np.array([[1.0, 0.25], [0.0, 0.25]])
    scenario = Scenario(HOUR, source=Source(), echo=Echo())
    scenario.connect("source.power", "echo.load", via=via)
    assert "the column of 'b' in via sums to 0.5: each must sum to 1" in problems(scenario)[0]
    scenario = Scenario(HOUR, source=Source(), echo=Echo())
    scenario.connect("source.power", "echo.load", via=via, partial=True)
    result = scenario.run(tmp_path / "run", double=True)
    (row,) = result.ledger.to_dict("records")
    assert row["dropped"] == pytest.approx(0.5 * result.integral("source.power")["b"], rel=1e-9)
    assert row["residual"] < 1e-12


def test_matrix_on_an_intensive_quantity_need_not_conserve(tmp_path):
    scenario = Scenario(HOUR, source=Source(unit="degC"), echo=Echo(unit="degC"))
    scenario.connect("source.power", "echo.load", via=np.array([[1.0, 0.0], [1.0, 0.0]]))
    result = scenario.run(tmp_path / "run")
    assert result.ledger.empty


def test_delayed_connection_needs_an_initial_value():
    scenario = Scenario(HOUR, source=Source(), echo=Echo())
    scenario.connect("source.power", "echo.load", delay=1)
    assert "source.power → echo.load is delayed: pass initial=" in problems(scenario)[0]


@pytest.mark.parametrize("delay", [-1, 1.5, True])
def test_delay_that_is_not_a_whole_number_of_steps_is_refused(delay):
    scenario = Scenario(HOUR, source=Source(), echo=Echo())
    scenario.connect("source.power", "echo.load", delay=delay, initial=0.0)
    assert "it must be a number of exchange steps" in problems(scenario)[0]


def test_step_that_is_not_a_multiple_of_the_exchange_step_is_refused():
    scenario = Scenario(HOUR, steps={"source": 90, "ghost": 60}, source=Source())
    texts = problems(scenario)
    assert texts[0] == "the step of source is 90 s: it must be a whole multiple of the exchange step, 60 s"
    assert texts[1] == "steps names 'ghost': unknown adapter"


def test_nothing_runs_until_run_and_the_default_folder_is_named_after_the_scenario(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scenario = Scenario(HOUR, source=Source())
    assert list(tmp_path.iterdir()) == []
    scenario.name = "my_toy"
    first, second = scenario.run(), scenario.run()
    assert first.folder.parent == tmp_path / "runs"
    assert first.folder.name.startswith("my_toy-")
    assert first.folder != second.folder
    assert second.folder.name.startswith("my_toy-")


def test_run_whose_ledger_does_not_balance_is_refused(tmp_path, monkeypatch):
    kept = Channel._count
    monkeypatch.setattr(Channel, "_count", lambda self, values, ticks: kept(self, values, ticks) * (1 + 1e-6))
    scenario = Scenario(HOUR, source=Source(), echo=Echo())
    scenario.connect("source.power", "echo.load")
    with pytest.raises(CosimError, match=r"the ledger of source.power → echo.load does not balance"):
        scenario.run(tmp_path / "run")


def test_folder_that_is_not_empty_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(CosimError, match="is not empty: pass another folder"):
        Scenario(HOUR, source=Source()).run(tmp_path)


def test_missing_element_stops_the_run_unless_the_connection_has_a_substitute(tmp_path):
    def coupled(**rule):
        scenario = Scenario(HOUR, patchy=Patchy([(3, 0), (4, 0), (5, 1)]), echo=Echo())
        scenario.connect("patchy.power", "echo.load", **rule)
        return scenario

    with pytest.raises(CosimError, match=r"patchy failed at 2025-01-15 00:03:00: patchy.power\['a'\] is missing"):
        coupled().run(tmp_path / "stop")
    held = coupled(if_missing="hold").run(tmp_path / "hold", double=True)
    assert held.series("echo.received")["a"].to_list()[2:6] == [180.0, 180.0, 180.0, 360.0]
    recorded = held.series("patchy.power")["a"].to_numpy()
    assert np.isnan(recorded[3:5]).all()
    assert np.isfinite(recorded[5])
    events = held.events.loc[held.events["element"] == "a", ["kind", "adapter"]].to_numpy().tolist()
    assert events == [["missing", "patchy"], ["present", "patchy"]]
    constant = coupled(if_missing=-5.0).run(tmp_path / "constant", double=True)
    assert constant.series("echo.received")["a"].to_list()[2:6] == [180.0, -5.0, -5.0, 360.0]


def test_element_missing_from_the_start_cannot_be_held(tmp_path):
    scenario = Scenario(HOUR, patchy=Patchy([(0, 1)]), echo=Echo())
    scenario.connect("patchy.power", "echo.load", if_missing="hold")
    with pytest.raises(CosimError, match="there is no earlier value to hold"):
        scenario.run(tmp_path / "run")


@pytest.mark.parametrize(("ender_step", "other_step", "expected"), [(60, 60, 7), (60, 300, 5), (300, 60, 35)])
def test_open_ended_run_ends_when_its_adapter_has_finished(ender_step, other_step, expected, tmp_path):
    scenario = Scenario(
        Clock("2025-01-15"), steps={"ender": ender_step, "source": other_step}, ender=Ender(after=7), source=Source()
    )
    result = scenario.run(tmp_path / "run")
    assert result.provenance["simulated_s"] == 7 * ender_step
    minutes = (result.series("source.power").index[-1] - result.series("ender.left").index[0]).total_seconds() / 60
    assert round(minutes + ender_step / 60) == expected
    assert len(result.series("ender.left")) == 7


def test_clock_without_end_needs_an_adapter_that_ends_the_run():
    assert "the clock has no end" in problems(Scenario(Clock("2025-01-15"), source=Source()))[0]


def test_state_without_initial_value_is_named(tmp_path):
    class Late(Adapter):
        def __init__(self):
            self.level = Output("1", ["a", "b"], "end")

        def advance(self, step):
            self.level.value = 1.0

    scenario = Scenario(HOUR, steps={"late": 300}, late=Late(), echo=Echo(unit="1"))
    scenario.connect("late.level", "echo.load")
    with pytest.raises(CosimError, match=r"late.level → echo.load: level has no initial state: assign it in open"):
        scenario.run(tmp_path / "run")


def test_record_chooses_outputs_by_pattern_and_refuses_patterns_without_a_match(tmp_path):
    scenario = Scenario(HOUR, source=Source(), other=Source())
    scenario.record("source.*")
    assert scenario.run(tmp_path / "run").ports == ["source.power", "source.count"]
    scenario.record("sauce.*")
    assert "record: no output matches 'sauce.*'; available: source.power" in problems(scenario)[0]


def test_run_of_very_many_values_is_recorded_less_often_by_default(tmp_path, monkeypatch):
    whole = Scenario(HOUR, steps={"slow": 420}, source=Source(), slow=Source(seed=3)).run(tmp_path / "whole")
    monkeypatch.setattr(recorder, "MOST_VALUES", 4 * 14)  # each step: 4 × 60 + 4 × 9
    scenario = Scenario(HOUR, steps={"slow": 420}, source=Source(), slow=Source(seed=3))
    thin = scenario.run(tmp_path / "thin")
    about = thin.provenance
    assert (about["outputs"]["source.power"]["every_s"], about["outputs"]["slow.power"]["every_s"]) == (600, 840)
    text = (
        "one row every 600 s instead of every step (44 values instead of 276): means over the interval and last "
        "states, so that peaks are those of the rows; scenario.record('*') records every step"
    )
    assert about["recording"]["thinned"] == about["facts"]["recording"] == text
    assert f"recording: {text}" in str(scenario)
    assert thin.integral("source.power").tolist() == pytest.approx(whole.integral("source.power").tolist(), rel=1e-5)
    assert thin.integral("slow.power").tolist() == pytest.approx(whole.integral("slow.power").tolist(), rel=1e-5)
    means = whole.series("source.power").to_numpy(dtype=float).reshape(6, 10, 2).mean(axis=1)
    np.testing.assert_allclose(thin.series("source.power"), means, rtol=1e-5, atol=1e-4)
    assert thin.series("source.count")["a"].tolist() == [0, 10, 20, 30, 40, 50, 60]


def test_thinned_run_resumes_with_the_same_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "MOST_VALUES", 50)
    Scenario(HOUR, source=Source()).run(tmp_path / "whole")
    with pytest.raises(CosimError):
        Scenario(HOUR, source=Fault("raise", at_s=1900)).run(tmp_path / "cut", checkpoint_every=900)
    resumed = Scenario(HOUR, source=Fault("none", at_s=1900)).resume(tmp_path / "cut")
    pd.testing.assert_frame_equal(
        resumed.series("source.power"), Result.open(tmp_path / "whole").series("source.power")
    )


def test_what_a_scenario_says_to_record_is_never_thinned(monkeypatch):
    monkeypatch.setattr(recorder, "MOST_VALUES", 1)
    scenario = Scenario(HOUR, source=Source())
    assert scenario.setup().rules["source.power"].every == 60  # the whole run: it cannot be less
    scenario.record("*")
    assert scenario.setup().rules["source.power"].every == 1
    assert not scenario.setup().thinned


@pytest.mark.parametrize(("most", "every"), [(4 * 1440, 1), (4 * 1440 - 1, 5)])
def test_open_ended_run_is_thinned_as_if_it_lasted_a_day(monkeypatch, most, every):
    monkeypatch.setattr(recorder, "MOST_VALUES", most)
    scenario = Scenario(Clock("2025-01-15"), source=Source())
    assert scenario.setup().rules["source.count"].every == every


def test_input_port_is_read_only():
    port = Input("W", ["a"], default=1.0)
    with pytest.raises(ValueError, match="read-only"):
        port.value[0] = 2.0


def test_assignment_over_a_port_is_refused_with_the_remedy():
    source = Source()
    with pytest.raises(CosimError, match=r"power is a port: assign to power.value"):
        source.power = np.zeros(2)


def test_one_adapter_under_two_names_is_refused():
    source = Source()
    assert problems(Scenario(HOUR, first=source, second=source)) == [
        "first and second are the same object: build an adapter for each"
    ]


@pytest.mark.parametrize("name", ["a.b", "../x", ""])
def test_adapter_names_must_be_valid_in_files_and_ports(name):
    assert f"an adapter is named {name!r}" in problems(Scenario(HOUR, **{name: Source()}, other=Source()))[0]


def feed(scenario, **how):
    scenario.connect("source.power", "echo.load", **how)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda s: s.connect(None, "echo.load"), "unknown output None; available: source.power, source.count"),
        (lambda s: s.connect("source.power", 3), "unknown input 3; available: source.feedback, echo.load"),
        (lambda s: feed(s, via="x"), "via is 'x': pass 'labels' or a matrix of numbers, shape (2, 2)"),
        (lambda s: feed(s, via=pd.DataFrame(np.eye(2))), "via is a DataFrame, whose labels"),
        (lambda s: feed(s, delay=1, initial="x"), "initial is 'x': pass a number, or one"),
        (lambda s: feed(s, initial=3.0), "not delayed, so initial= would never be used"),
        (lambda s: feed(s, if_missing=np.zeros(2)), "if_missing is array([0., 0.]): write"),
        (lambda s: s.schedule(None, {}), "unknown input None"),
        (lambda s: s.record("source.powr"), "no output matches 'source.powr', did you mean source.power?; available"),
        (lambda s: s.record(3), "record: no output matches 3; available: source.power"),
        (lambda s: s.record(["source.power"]), "record: no output matches ['source.power']"),
        (lambda s: feed(s), "source.power → echo.load is connected 2 times and would be counted"),
    ],
)
def test_argument_of_the_wrong_kind_is_one_clear_problem(act, words):
    scenario = Scenario(HOUR, source=Source(), echo=Echo())
    feed(scenario)
    act(scenario)
    (text,) = problems(scenario)
    assert words in text


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Scenario(3, echo=Echo()), "clock of the scenario is 3: write Clock('2025-01-15', hours=24)"),
        (lambda: Scenario(HOUR, indicators=3, echo=Echo()), "indicators of the scenario is 3: pass a function"),
        (lambda: Scenario(HOUR, steps=60, echo=Echo()), "steps of the scenario is 60: write seconds by adapter"),
        (lambda: Scenario(HOUR, steps={"echo": "x"}, echo=Echo()).check(), "the step of echo: 'x' is not a duration"),
        (lambda: Scenario(HOUR, source=Source()).run(3), "out is 3: pass the path of a folder"),
        (lambda: Scenario(HOUR, source=Source()).run(timeout_s="x"), "timeout_s is 'x': it must be a positive"),
    ],
)
def test_scenario_with_invalid_arguments_is_refused(build, words):
    with pytest.raises(CosimError) as raised:
        build()
    assert words in str(raised.value)


def test_adapter_with_a_missing_file_or_an_unknown_placement_is_refused(tmp_path):
    source = Source()
    source.files, source.placement = [tmp_path / "net.json"], "gpu"
    assert problems(Scenario(HOUR, source=source)) == [
        "placement of Source is 'gpu': write 'inline', 'thread', 'process' or a Remote",
        f"source reads {tmp_path / 'net.json'}: the file does not exist",
    ]


def test_event_can_name_its_element_by_number():
    source = Source()
    source.report("overload", 3)
    assert take_events(source) == [Event("overload", "3")]


def test_steps_can_be_written_with_their_unit():
    assert Scenario(HOUR, steps={"echo": "5min"}, echo=Echo()).steps == {"echo": 5}


def test_steps_and_delays_longer_than_the_run_are_refused():
    scenario = Scenario(HOUR, steps={"echo": 7200}, source=Source(), echo=Echo())
    assert problems(scenario)[0] == "the step of echo is 7200 s: it must not be longer than the run"
    scenario = Scenario(HOUR, source=Source(), echo=Echo())
    scenario.connect("source.power", "echo.load", delay=60, initial=0.0)
    assert problems(scenario)[0] == (
        "source.power → echo.load: delay=60 is at least as long as the run, so no value would arrive"
    )


@pytest.mark.parametrize(("after", "minutes"), [(89, 120), (60, 60), (61, 120)])
def test_an_open_run_goes_on_to_its_horizon(tmp_path, after, minutes):
    scenario = Scenario(Clock("2025-01-15", horizon_s=3600), ender=Ender(after), source=Source())
    result = scenario.run(tmp_path / "run")
    assert result.provenance["simulated_s"] == minutes * 60
    assert len(result.series("source.power")) == minutes


def test_open_runs_that_end_at_different_moments_are_compared_over_one_horizon(tmp_path):
    def run(after):
        scenario = Scenario(
            Clock("2025-01-15", horizon_s=3600),
            ender=Ender(after),
            source=Source(),
            indicators=lambda result: {"energy": Indicator(float(result.integral("source.power").sum()), "J")},
        )
        return scenario.run(tmp_path / str(after))

    (change,) = compare(run(89), run(87)).changes["87"]
    assert change.base == change.plan


def test_an_impossible_horizon_is_refused():
    with pytest.raises(CosimError, match="the horizon of the clock is -1 s: it must be positive"):
        Clock("2025-01-15", horizon_s=-1)


def test_a_printed_scenario_names_its_adapters_connections_and_feedback():
    scenario = Scenario(HOUR, source=Source(), echo=Echo(), steps={"echo": "5min"})
    scenario.connect("source.power", "echo.load")
    scenario.connect("echo.received", "source.feedback", delay=5, initial=0.0, because="it is measured")
    scenario.facts["grid"] = "two transformers"
    assert str(scenario).splitlines()[1:] == [
        "grid: two transformers",
        "adapters:",
        "  source: Source, step 60 s, inline",
        "  echo: Echo, step 300 s, inline",
        "connections:",
        "  source.power → echo.load",
        "  echo.received → source.feedback  (300 s later: it is measured)",
        "feedback loops:",
        "  echo → source → echo",
    ]
