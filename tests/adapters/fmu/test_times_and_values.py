"""FMUs: time, start values of inputs, tunable parameters, units that nothing states, values that do not fit."""

import json
import zipfile

import numpy as np
import pytest

from cosim import Clock, CosimError, Scenario, ScenarioError, Step
from cosim.adapters.fmu import Fmu, Variable
from cosim.core import InputFileError
from cosim.core.adapter import take_events
from tests.support.fmus import UNITS, build_probe, rewritten
from tests.support.toys import Source

REAL = ("started", "stopped", "first", "product", "clock")
OUTPUTS = {name: Variable(name, "1") for name in REAL}
MODES = """<TypeDefinitions><SimpleType name="Mode"><Enumeration>
<Item name="off" value="1"/><Item name="heating" value="2"/><Item name="cooling" value="4"/>
</Enumeration></SimpleType></TypeDefinitions><LogCategories>"""
AS_MODES = [("<LogCategories>", MODES), ('<Integer start="1"/>', '<Enumeration declaredType="Mode" start="1"/>')]


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    return build_probe(tmp_path_factory.mktemp("probe2"))


@pytest.fixture(scope="module")
def probe3(tmp_path_factory):
    return build_probe(tmp_path_factory.mktemp("probe3"), 3)


@pytest.fixture
def opened():
    adapters = []

    def open_(adapter, clock=None):
        adapter.run_clock = clock
        adapters.append(adapter)
        adapter.open()
        return adapter

    yield open_
    for adapter in adapters:
        adapter.close()


def outputs_of(path):
    return OUTPUTS if path.stem == "Probe2" else {name: OUTPUTS[name] for name in ("first", "product", "clock")}


# Time


@pytest.mark.parametrize("version", ["probe", "probe3"])
def test_fmu_starts_at_the_second_of_the_year_in_standard_time_and_steps_from_there(version, request, opened):
    path = request.getfixturevalue(version)
    clock = Clock("2025-07-01T10:00", hours=1, zone="Europe/Madrid")
    adapter = opened(Fmu(path, inputs={}, outputs=outputs_of(path)), clock)
    begin = (181 * 24 + 9) * 3600.0  # ten o'clock of summer time is nine of standard time
    if path.stem == "Probe2":  # pythonfmu3 0.3.4 does not pass the start time on
        assert adapter.started.value == [begin]
    adapter.advance(Step(600.0, 60.0))
    assert adapter.clock.value == [begin + 660.0]


def test_fmu_is_told_when_the_run_ends_and_that_it_has_no_end(probe, opened):
    fixed = opened(Fmu(probe, inputs={}, outputs=OUTPUTS), Clock("2025-01-02", hours=6))
    assert fixed.stopped.value == [86400.0 + 6 * 3600.0]
    assert opened(Fmu(probe, inputs={}, outputs=OUTPUTS), Clock("2025-01-02")).stopped.value == [-1.0]


@pytest.mark.parametrize("version", ["probe", "probe3"])
def test_start_time_can_be_given(version, request, opened):
    path = request.getfixturevalue(version)
    fmu = Fmu(path, inputs={}, outputs=outputs_of(path), start_time_s=-30.0)
    adapter = opened(fmu, Clock("2025-07-01", hours=1))
    if path.stem == "Probe2":
        assert adapter.started.value == [-30.0]
    adapter.advance(Step(0.0, 60.0))
    assert adapter.clock.value == [30.0]


def test_start_time_that_is_no_number_is_refused(probe):
    with pytest.raises(ScenarioError, match="start_time_s is nan: it must be a finite number of seconds"):
        Fmu(probe, inputs={}, outputs=OUTPUTS, start_time_s=float("nan"))


def test_provenance_and_events_of_a_run_state_the_start_time(probe, tmp_path):
    fmu = Fmu(probe, ["a", "b"], inputs={"signal": Variable("signal", "W")}, outputs=OUTPUTS)
    scenario = Scenario(Clock("2025-01-15", hours=1, zone="Europe/Madrid"), source=Source(), fmu=fmu)
    scenario.connect("source.power", "fmu.signal", via=np.eye(2))
    result = scenario.run(tmp_path / "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["adapters"]["fmu"]["start_time_s"] == 14 * 86400.0
    events = result.events
    (text,) = events[events["kind"] == "FMU time"]["text"]
    assert text == "from 1209600 s, since the beginning of the year in standard time, to 1213200 s"
    assert result.series("fmu.clock").iloc[-1].tolist() == [1213200.0, 1213200.0]


@pytest.mark.parametrize("version", ["probe", "probe3"])
def test_mean_of_a_level_over_communication_steps_is_by_energy(version, request, opened):
    path = request.getfixturevalue(version)
    level, plain = (Variable("clock", unit, kind="mean") for unit in ("dB", "1"))
    fmu = Fmu(path, inputs={}, outputs={"noise": level, "time": plain}, communication_step_s=10.0, start_time_s=0.0)
    adapter = opened(fmu)
    adapter.advance(Step(0.0, 20.0))
    assert adapter.time.value == [15.0]
    assert adapter.noise.value == pytest.approx(10 * np.log10((10**1 + 10**2) / 2))


def test_levels_of_an_fmu_stay_levels_whatever_the_definition_of_their_unit(probe, tmp_path):
    plain = UNITS.replace('<Unit name="zogs"/>', '<Unit name="dB"><BaseUnit factor="1"/></Unit>')
    path = rewritten(probe, tmp_path, [("<LogCategories>", plain), ("<Real/>", '<Real unit="dB"/>')])
    assert Fmu(path, inputs={}, outputs={"x": Variable("started")}).x.unit == "dB"
    with pytest.raises(ScenarioError, match=r"started \[dB\] cannot be converted to 1: these are different quantities"):
        Fmu(path, inputs={}, outputs={"x": Variable("started", "1")})


# Start values and tunable parameters


@pytest.mark.parametrize("version", ["probe", "probe3"])
def test_defaults_of_inputs_hold_when_the_initial_state_is_computed(version, request, opened):
    path = request.getfixturevalue(version)
    inputs = {"signal": Variable("signal", "1", default=[5.0, 7.0])}
    adapter = opened(Fmu(path, ["a", "b"], inputs=inputs, outputs=outputs_of(path)))
    assert adapter.first.value.tolist() == [10.0, 14.0]


@pytest.mark.parametrize("version", ["probe", "probe3"])
def test_tunable_parameter_is_an_input_that_changes_between_steps(version, request, opened):
    path = request.getfixturevalue(version)
    inputs = {"signal": Variable("signal", "1", default=5.0), "gain": Variable("gain", "1", default=3.0)}
    adapter = opened(Fmu(path, inputs=inputs, outputs=outputs_of(path)))
    assert adapter.first.value == [15.0]
    for k, gain in enumerate((4.0, 0.5)):
        adapter.gain.deliver(gain)
        adapter.advance(Step(60.0 * k, 60.0))
        assert adapter.product.value == [5.0 * gain]


def test_start_value_of_an_input_can_be_set_for_an_instance(probe, opened):
    adapter = opened(Fmu(probe, {"a": {"signal": 9.0}}, inputs={}, outputs=OUTPUTS))
    assert adapter.first.value == [18.0]


def test_fixed_parameter_is_no_input(probe):
    with pytest.raises(ScenarioError, match=r"no input 'offset' \(it is a fixed parameter: pass its value in instance"):
        Fmu(probe, inputs={"offset": Variable("offset", "1")}, outputs=OUTPUTS)


def test_value_that_an_input_would_overwrite_at_once_is_refused(probe):
    inputs = {"g": Variable("gain", "1"), "s": Variable("signal", "1", default=1.0)}
    with pytest.raises(ScenarioError) as raised:
        Fmu(probe, {"a": {"gain": 3.0, "signal": 2.0}}, inputs=inputs, outputs=OUTPUTS)
    assert "a: gain is set in instances and overwritten by the input g: give one of them" in str(raised.value)
    assert "a: signal is set in instances and overwritten by the input s" in str(raised.value)


# Units


def test_unit_of_a_variable_without_one_is_stated_and_converted(probe, opened):
    inputs = {"signal": Variable("signal", "degC", default=20.0, fmu_unit="K")}
    adapter = opened(Fmu(probe, inputs=inputs, outputs=OUTPUTS | {"warm": Variable("product", "kW", fmu_unit="W")}))
    assert adapter.first.value == [2 * 293.15]
    assert adapter.warm.value == pytest.approx([2 * 0.29315])
    assert not [e for e in take_events(adapter) if e.kind == "unit assumed" and e.element in ("signal", "warm")]


def test_unit_that_is_only_assumed_is_reported(probe, opened):
    inputs = {"ambient": Variable("signal", "degC", default=20.0)}
    adapter = opened(Fmu(probe, inputs=inputs, outputs={"clock": Variable("clock", "s", fmu_unit="s")}))
    (event,) = [e for e in take_events(adapter) if e.kind == "unit assumed"]
    assert event.element == "ambient"
    assert event.text.startswith("signal of Probe2.fmu declares no unit and is taken to be in degC")


def test_stated_unit_that_contradicts_the_model_description_is_refused(probe, tmp_path):
    changes = [("<LogCategories>", UNITS), ('<Real start="1"/>', '<Real start="1" unit="K"/>')]
    path = rewritten(probe, tmp_path / "kelvin", changes)
    with pytest.raises(ScenarioError, match=r"signal is in K by the model description, fmu_unit says degC: leave"):
        Fmu(path, inputs={"signal": Variable("signal", "degC", fmu_unit="degC")}, outputs=OUTPUTS)
    inputs = {"signal": Variable("signal", "degC", fmu_unit="K")}
    assert Fmu(path, inputs=inputs, outputs=OUTPUTS).signal.unit == "degC"
    with pytest.raises(ScenarioError, match="unknown unit 'zogs'"):
        Fmu(probe, inputs={"signal": Variable("signal", "degC", fmu_unit="zogs")}, outputs=OUTPUTS)


# Whole numbers, enumerations, text


def deliver(adapter, **values):
    for name, value in values.items():
        getattr(adapter, name).deliver(value)
    adapter.advance(Step(0.0, 60.0))


def test_whole_number_beyond_its_type_is_refused_rather_than_wrapped(probe, probe3, opened):
    adapter = opened(Fmu(probe, inputs={"mode": "mode", "door": "door"}, outputs=OUTPUTS))
    with pytest.raises(
        CosimError, match=r"got \[3000000000\] for variables of type Integer: their values lie in -2147"
    ):
        deliver(adapter, mode=3e9, door=0.0)
    with pytest.raises(CosimError, match=r"got \[2\] for variables of type Boolean: their values lie in 0 to 1"):
        deliver(adapter, mode=1.0, door=2.0)
    newer = opened(Fmu(probe3, inputs={"level": "level"}, outputs=outputs_of(probe3)))
    with pytest.raises(CosimError, match=r"got \[-3000000000\] for variables of type Int32"):
        deliver(newer, level=-3e9)
    with pytest.raises(ScenarioError, match=r"a: mode is 3000000000\.0: a Integer lies in"):
        Fmu(probe, {"a": {"mode": 3e9}}, inputs={}, outputs=OUTPUTS)


def test_input_beyond_the_range_of_the_model_is_reported_once(probe, tmp_path, opened):
    path = rewritten(probe, tmp_path, [('<Real start="1"/>', '<Real start="1" min="-5" max="1e3"/>')])
    adapter = opened(Fmu(path, inputs={"signal": Variable("signal", "1")}, outputs=OUTPUTS))
    take_events(adapter)
    for k, value in enumerate([1000.0, 1001.0, -6.0]):
        adapter.signal.deliver(value)
        adapter.advance(Step(60.0 * k, 60.0))
    (event,) = [event for event in take_events(adapter) if event.kind == "beyond the FMU's range"]
    assert (event.element, event.text) == ("signal", "signal got 1001, its model is for -5 to 1000")


def test_enumeration_takes_its_items_only(probe, tmp_path, opened):
    path = rewritten(probe, tmp_path / "modes", AS_MODES)
    adapter = opened(Fmu(path, inputs={"mode": "mode"}, outputs=OUTPUTS))
    deliver(adapter, mode=4.0)
    with pytest.raises(
        CosimError, match=r"mode got \[3\.0\]: mode of Probe2\.fmu is one of 1 \(off\), 2 \(heating\), 4"
    ):
        deliver(adapter, mode=3.0)
    with pytest.raises(ScenarioError, match=r"a: mode is 3: it is one of 1 \(off\)"):
        Fmu(path, {"a": {"mode": 3}}, inputs={}, outputs=OUTPUTS)


def test_item_of_an_enumeration_is_set_by_name(probe, tmp_path, opened):
    path = rewritten(probe, tmp_path / "modes", AS_MODES)
    outputs = {"chosen": Variable("chosen", "1")}
    adapter = opened(Fmu(path, {"a": {"mode": "cooling"}, "b": {}}, inputs={}, outputs=outputs))
    assert adapter.chosen.value.tolist() == [4.0, 1.0]
    with pytest.raises(ScenarioError, match="a: mode is 'freezing'"):
        Fmu(path, {"a": {"mode": "freezing"}}, inputs={}, outputs=outputs)


def test_text_that_cannot_pass_a_port_is_reported(probe, tmp_path, opened):
    changes = [("<LogCategories>", UNITS), ('<Real start="1"/>', '<Real start="1" unit="W"/>')]
    path = rewritten(probe, tmp_path / "text", changes)
    adapter = opened(Fmu(path, outputs=OUTPUTS))
    (event,) = [e for e in take_events(adapter) if e.kind == "variable left out"]
    assert (event.element, event.text) == ("note", "note of Probe2.fmu is a String: only numbers pass a port")


# What it is and needs


def test_fmu_that_needs_its_tool_says_which(probe, tmp_path, opened):
    fmu = opened(Fmu(probe, inputs={}, outputs=OUTPUTS))
    texts = [e.text for e in take_events(fmu) if e.kind == "FMU needs its tool"]
    assert texts == ["it only talks to PythonFMU 0.7.0, which must be installed here"]
    with zipfile.ZipFile(probe) as old, zipfile.ZipFile(tmp_path / "broken.fmu", "w") as new:
        for entry in old.infolist():
            new.writestr(entry, b"no library" if entry.filename.startswith("binaries/") else old.read(entry))
    with pytest.raises(
        CosimError, match=r"in its instantiation: Failed .* It needs PythonFMU 0\.7\.0 installed here\."
    ):
        opened(Fmu(tmp_path / "broken.fmu", inputs={}, outputs=OUTPUTS))


def test_library_of_another_name_is_refused_before_the_run(probe, tmp_path):
    with zipfile.ZipFile(probe) as old, zipfile.ZipFile(tmp_path / "renamed.fmu", "w") as new:
        for entry in old.infolist():
            new.writestr(entry.filename.replace("/Probe2.", "/Other."), old.read(entry))
    with pytest.raises(InputFileError, match=r"renamed\.fmu has no library 'Probe2', its model identifier, for \w+64"):
        Fmu(tmp_path / "renamed.fmu", inputs={}, outputs=OUTPUTS)


def test_communication_step_that_is_no_multiple_of_the_internal_one_is_refused_when_it_is_built(probe3, tmp_path):
    changes = [('modelIdentifier="Probe3"', 'modelIdentifier="Probe3" fixedInternalStepSize="40"')]
    path = rewritten(probe3, tmp_path / "fixed", changes)
    with pytest.raises(ScenarioError, match=r"fixed internal step of 40 s: .* whole multiples of it, not 60 s"):
        Fmu(path, inputs={}, outputs=outputs_of(path), communication_step_s=60.0)
    Fmu(path, inputs={}, outputs=outputs_of(path), communication_step_s=80.0)


def test_output_that_is_no_number_names_the_model_variable_and_the_moment(probe, opened):
    adapter = opened(Fmu(probe, ["a", "b"], inputs={"signal": Variable("signal", "1")}, outputs=OUTPUTS))
    with pytest.raises(CosimError, match=r"Probe2.fmu \[b\]: product is \[nan\] after its step from 0 s: the model y"):
        deliver(adapter, signal=[1.0, -1e7])


def test_warning_of_an_fmu_is_an_event_once(probe, opened):
    adapter = opened(Fmu(probe, ["a", "b"], inputs={"door": "door"}, outputs=OUTPUTS))
    for _ in range(3):
        deliver(adapter, door=[0.0, 1.0])
    events = [(e.element, e.text) for e in take_events(adapter) if e.kind == "FMU warning"]
    assert events == [("b", "the door is open")]
