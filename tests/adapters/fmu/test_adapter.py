"""FMUs of FMI 2 and 3 as adapters: results, units, resuming and errors."""

import math
import os
import pickle
import zipfile
from importlib.metadata import entry_points

import fmpy
import numpy as np
import pytest

from cosim import Clock, CosimError, Scenario, ScenarioError, Step
from cosim.adapters.fmu import Fmu, Variable
from cosim.core import InputFileError, UnitError
from cosim.core.adapter import restored_by
from tests.support.fmus import IN_SI, UNITS, build_layers, build_tank, rewritten, serializes
from tests.support.toys import Source


def with_unit(unit):
    """Return the changes that set the unit of the tank's temperature."""
    return [("<LogCategories>", UNITS), ("<Real/>", f'<Real unit="{unit}"/>')]


@pytest.fixture(scope="session")
def bare(tmp_path_factory):
    """The FMI 2 tank as built by pythonfmu, without units."""
    return build_tank(tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="session")
def tank(bare):
    """The FMI 2 tank with units and serializable state."""
    return rewritten(bare, bare.parent / "units", IN_SI + serializes("FMUstate"))


@pytest.fixture(scope="session")
def layers(tmp_path_factory):
    """The FMI 3 tank in layers, with units and arrays."""
    return build_layers(tmp_path_factory.mktemp("layers"))


@pytest.fixture
def opened():
    adapters = []

    def open_(adapter):
        adapters.append(adapter)
        adapter.open()
        return adapter

    yield open_
    for adapter in adapters:
        adapter.close()
        adapter.close()


def advance(adapter, n=1, length_s=60.0, **inputs):
    for k in range(n):
        for name, values in inputs.items():
            getattr(adapter, name).deliver(values)
        adapter.advance(Step(k * length_s, length_s))
    return adapter


# Results


def test_every_instance_follows_its_closed_form_with_its_own_parameters(tank, opened):
    capacities = {"small": 1e6, "large": 3e6}
    tanks = opened(
        Fmu(
            tank,
            {label: {"capacity": c} for label, c in capacities.items()},
            outputs={"temperature": Variable("temperature", "degC")},
        )
    )
    np.testing.assert_allclose(tanks.temperature.value, 20.0, atol=1e-12)
    advance(tanks, 60, heat=[1000.0, 2000.0], ambient=[283.15, 273.15], enabled=[1.0, 1.0])
    for value, capacity, heat, ambient in zip(
        tanks.temperature.value, capacities.values(), (1e3, 2e3), (10.0, 0.0), strict=True
    ):
        final = ambient + heat / 100.0
        assert value == pytest.approx(final + (20.0 - final) * math.exp(-3600.0 * 100.0 / capacity), rel=1e-12)


def test_trajectory_equals_fmpys_own_simulation(tank, opened):
    heat = np.array([[0.0, 500.0, 1500.0, 200.0, 0.0]]).T
    signals = np.array([(60.0 * k, value) for k, (value,) in enumerate(heat)], dtype=[("time", float), ("heat", float)])
    # fmpy interpolates inputs: discrete steps are given as pairs
    stairs = np.repeat(signals, 2)[1:]
    stairs["heat"] = np.repeat(signals["heat"], 2)[:-1]
    theirs = fmpy.simulate_fmu(tank, stop_time=240.0, output_interval=60.0, input=stairs, output=["temperature"])
    ours = opened(Fmu(tank, outputs={"temperature": "temperature"}, inputs={"heat": "heat"}))
    found = [ours.temperature.value[0]]
    for k in range(4):
        ours.heat.deliver(heat[k])
        ours.advance(Step(60.0 * k, 60.0))
        found.append(ours.temperature.value[0])
    np.testing.assert_array_equal(found, theirs["temperature"])


def test_arrays_have_a_label_for_every_element_of_every_instance(layers, opened):
    tanks = Fmu(layers, ["x", "y"], outputs={"temperature": Variable("temperature", "degC"), "total": "total"})
    assert tanks.power.labels == ("x[1]", "x[2]", "x[3]", "y[1]", "y[2]", "y[3]")
    assert tanks.total.labels == ("x", "y")
    advance(opened(tanks), length_s=100.0, power=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    np.testing.assert_allclose(tanks.temperature.value, 20.0 + np.arange(1, 7), rtol=1e-12)  # 100 kJ/K a layer
    assert tanks.total.value.tolist() == [6.0, 15.0]


def test_switches_and_counters_pass_as_whole_numbers(tank, opened):
    tanks = opened(Fmu(tank, ["a", "b"]))
    advance(tanks, 3, heat=1e3, ambient=293.15, enabled=[0.0, 1.0])
    assert tanks.temperature.value[0] == 293.15 < tanks.temperature.value[1]
    assert tanks.steps.value.tolist() == [3.0, 3.0]
    with pytest.raises(CosimError, match=r"\[a\] got \[0\.5\] for variables of type Boolean: pass whole numbers"):
        advance(tanks, heat=1e3, ambient=293.15, enabled=0.5)


def test_communication_steps_divide_the_step_and_a_mean_is_over_them(tank, opened):
    outputs = {"mean": Variable("temperature", kind="mean"), "last": "temperature", "steps": "steps"}
    fine = opened(Fmu(tank, outputs=outputs, communication_step_s=15.0))
    coarse = opened(Fmu(tank, outputs={"temperature": "temperature"}))
    advance(fine, heat=1e3, ambient=293.15, enabled=1.0)
    values = []
    for k in range(4):
        coarse.heat.deliver(1e3), coarse.ambient.deliver(293.15), coarse.enabled.deliver(1.0)
        coarse.advance(Step(15.0 * k, 15.0))
        values.append(coarse.temperature.value[0])
    assert fine.steps.value == [4.0]
    assert fine.last.value == [values[-1]]
    assert fine.mean.value[0] == pytest.approx(np.mean(values), rel=1e-14)


def test_omitted_input_keeps_the_start_value(tank, opened):
    alone = opened(Fmu(tank, inputs={"heat": "heat"}))
    advance(alone, heat=0.0)
    assert alone.temperature.value == [293.15]


def test_runs_are_the_same_in_this_process_and_in_a_worker(tank, tmp_path):
    series = {}
    for placement in ("inline", "process"):
        tanks = Fmu(tank, ["a", "b"], inputs={"heat": "heat"})
        scenario = Scenario(Clock("2025-01-15", hours=1), source=Source(), tank=tanks)
        scenario.connect("source.power", "tank.heat")
        scenario.place(tank=placement)
        series[placement] = scenario.run(tmp_path / placement, double=True).series("tank.temperature").to_numpy()
    assert scenario.adapters["tank"].placement == "process"
    np.testing.assert_array_equal(series["inline"], series["process"])


# Units


def test_units_come_from_the_model_description(tank, layers):
    adapter = Fmu(tank)
    assert (adapter.heat.unit, adapter.ambient.unit, adapter.temperature.unit) == ("W", "K", "K")
    assert (adapter.enabled.unit, adapter.steps.unit) == ("1", "1")
    assert Fmu(layers).power.unit == "kW"
    assert Fmu(layers).temperature.unit == "K**1"  # the name "F" is unknown, the definition is used


@pytest.mark.parametrize(
    ("unit", "asked", "shown", "value"),
    [
        ("K", "degC", "degC", 20.0),
        ("degC", "K", "K", 293.15 + 273.15),
        ("degC", None, "degC", 293.15),
        ("m3/h", None, "m**3*s**-1", 293.15 / 3600),
        ("m3/h", "l/s", "l/s", 293.15 / 3.6),
        ("kW", None, "kg**1*m**2*s**-3", 293.15),  # defined without its factor: the definition takes precedence
        ("%", None, "%", 293.15),
        ("%", "1", "1", 2.9315),
        ("var", None, "var", 293.15),
        ("zogs", "W", "W", 293.15),
    ],
)
def test_units_convert_by_their_definition(unit, asked, shown, value, bare, tmp_path, opened):
    path = rewritten(bare, tmp_path / "unit", with_unit(unit))
    adapter = opened(Fmu(path, inputs={}, outputs={"temperature": Variable("temperature", asked)}))
    assert adapter.temperature.unit == shown
    assert adapter.temperature.value[0] == pytest.approx(value, rel=1e-12)


def test_inputs_convert_as_well(tank, opened):
    adapter = opened(
        Fmu(
            tank,
            inputs={"ambient": Variable("ambient", "degC"), "heat": Variable("heat", "kW")},
            outputs={"temperature": Variable("temperature", "degC")},
        )
    )
    advance(adapter, 1, 1e7, ambient=5.0, heat=0.5)
    assert adapter.temperature.value[0] == pytest.approx(10.0, rel=1e-12)


def test_relative_temperature_converts_without_offset(bare, tmp_path, opened):
    rise = '<SimpleType name="Rise"><Real unit="K" relativeQuantity="true"/></SimpleType>'
    types = f"<TypeDefinitions>{rise}</TypeDefinitions><LogCategories>"
    changes = [("<LogCategories>", UNITS), ("<LogCategories>", types), ("<Real/>", '<Real declaredType="Rise"/>')]
    path = rewritten(bare, tmp_path / "rise", changes)
    adapter = opened(Fmu(path, inputs={}, outputs={"temperature": Variable("temperature", "degC")}))
    assert adapter.temperature.value[0] == pytest.approx(293.15)


@pytest.mark.parametrize(
    ("unit", "asked", "words"),
    [
        ("K", "W", r"temperature \[K\] cannot be converted to W: these are different quantities"),
        ("var", "W", r"temperature \[var\] cannot be converted to W"),
        ("W", "var", r"temperature \[W\] cannot be converted to var"),
        ("K", "fahrengrad", "unknown unit 'fahrengrad'"),
        ("zogs", None, r"temperature has an undefined unit 'zogs' .*unit='…'"),
    ],
)
def test_unit_that_does_not_convert_is_refused(unit, asked, words, bare, tmp_path):
    path = rewritten(bare, tmp_path / "unit", with_unit(unit))
    with pytest.raises(ScenarioError, match=words):
        Fmu(path, inputs={}, outputs={"temperature": Variable("temperature", asked)})


def test_variables_without_a_unit_are_all_named_with_the_remedy(bare):
    with pytest.raises(ScenarioError) as raised:
        Fmu(bare)
    assert len(raised.value.problems) == 3
    assert "heat has no unit in the model description: declare it, Variable('heat', unit='…')" in str(raised.value)
    assert Fmu(bare, inputs={}, outputs={"t": Variable("temperature", "degC")}).t.unit == "degC"  # assumed as declared


def test_offset_of_a_unit_is_not_lost_where_the_factor_is_not_one(layers, opened):
    adapter = opened(Fmu(layers, outputs={"c": Variable("temperature", "degC")}, inputs={}))
    np.testing.assert_allclose(adapter.c.value, 20.0, rtol=1e-12)  # 68 °F


# Resuming


@pytest.mark.parametrize(("model", "port", "each"), [("tank", "heat", 1), ("layers", "power", 3)])
def test_state_is_saved_and_loaded_bit_for_bit(model, port, each, request, tmp_path, opened):
    path = request.getfixturevalue(model)
    if model == "layers":
        path = rewritten(path, tmp_path / "fmu", serializes("FMUState"))
    values = np.repeat([700.0, 900.0], each)

    def build():
        return opened(Fmu(path, ["a", "b"], inputs={port: port}))

    whole = advance(build(), 20, **{port: values})
    half = advance(build(), 10, **{port: values})
    half.save(tmp_path)
    rest = build()
    rest.load(tmp_path)
    for k in range(10, 20):
        getattr(rest, port).deliver(values)
        rest.advance(Step(60.0 * k, 60.0))
    np.testing.assert_array_equal(rest.temperature.value, whole.temperature.value)
    assert (rest.temperature.value != half.temperature.value).all()


def test_fmu_without_serialization_is_replayed_instead(tank, layers):
    assert restored_by(Fmu(tank)) == "state"
    assert restored_by(pickle.loads(pickle.dumps(Fmu(tank)))) == "state"
    assert restored_by(Fmu(layers)) == "replay"


# Refused before unpacking


def test_it_is_registered_as_an_adapter():
    assert entry_points(group="cosim.adapters")["fmu"].load() is Fmu


def test_constructor_unpacks_nothing_and_pickles(tank, monkeypatch):
    monkeypatch.setattr(fmpy, "extract", lambda *_: pytest.fail("unpacked"))
    adapter = pickle.loads(pickle.dumps(Fmu(tank, ["a"])))
    assert adapter.heat.labels == ("a",)
    assert adapter.files == [tank]


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputFileError, match=r"FMU .*none\.fmu does not exist"):
        Fmu(tmp_path / "none.fmu")


def test_file_that_is_not_an_fmu_is_refused(tmp_path):
    (tmp_path / "text.fmu").write_text("no zip archive")
    with pytest.raises(InputFileError, match=r"text\.fmu is not an FMU: pass a zip archive with a modelDescription"):
        Fmu(tmp_path / "text.fmu")
    with zipfile.ZipFile(tmp_path / "empty.fmu", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(InputFileError, match=r"empty\.fmu is not an FMU"):
        Fmu(tmp_path / "empty.fmu")


BOMB = '?>\n<!DOCTYPE bomb [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            [
                ("<CoSimulation", "<ModelExchange"),
                ('canHandleVariableCommunicationStepSize="true"', ""),
                ('canInterpolateInputs="false"', ""),
            ],
            "for model exchange only, without a solver: export it for co-simulation",
        ),
        ([('fmiVersion="2.0"', 'fmiVersion="1.0"')], "FMI 1|cannot be read"),
        ([("</fmiModelDescription>", "")], "model description that cannot be read"),
        ([("?>", BOMB)], "cannot be read: .*DTD|cannot be read: .*Forbidden"),
        ([('variability="discrete"', 'variability="continuous"')], "cannot be read: .*enabled"),
    ],
)
def test_unsupported_model_description_is_refused(changes, words, tank, tmp_path):
    with pytest.raises(InputFileError, match=words):
        Fmu(rewritten(tank, tmp_path / "changed", changes))


@pytest.mark.parametrize("name", ["../outside.txt", "/absolute.txt", "a/../../outside.txt", "..\\outside.txt", "C:/x"])
def test_archive_that_would_leave_its_folder_is_refused(name, tank, tmp_path):
    with pytest.raises(InputFileError, match="outside its folder"):
        Fmu(rewritten(tank, tmp_path / "evil", files=[(name, "gotcha")]))
    assert not list(tmp_path.glob("outside*"))


def test_archive_that_would_fill_the_disk_is_refused(tank, monkeypatch):
    from cosim.adapters.fmu import description as fmu_description

    monkeypatch.setattr(fmu_description, "_LARGEST_GIB", 1e-6)
    with pytest.raises(InputFileError, match="would unpack to"):
        Fmu(tank)


def test_fmu_for_other_platforms_only_is_refused_with_those_it_has(tank, tmp_path):
    with zipfile.ZipFile(tank) as old, zipfile.ZipFile(tmp_path / "other.fmu", "w") as new:
        for entry in old.infolist():
            if not entry.filename.startswith("binaries/linux64") and not entry.filename.startswith("binaries/darwin64"):
                new.writestr(entry, old.read(entry))
    with pytest.raises(InputFileError, match=r"no binary for \w+64, only .*win64"):
        Fmu(tmp_path / "other.fmu")


def test_all_problems_of_ports_and_parameters_are_reported_together(tank):
    with pytest.raises(ScenarioError) as raised:
        Fmu(
            tank,
            {"a": {"capacity": "much", "colour": 1.0}, "b": {"how": 0.5, "temperature": 1.0, "fail_at": math.nan}},
            inputs={"heat": "warmth", "cold": "temperature"},
            outputs={"open": "temperature", "t": Variable("temperature", "W")},
            communication_step_s=-1.0,
        )
    for words in (
        "a: capacity is 'much': could not convert",
        "a: unknown variable 'colour' of Tank2.fmu: parameters are capacity, conductance, fail_at, how",
        "b: how is 0.5: a Integer must be whole",
        "b: temperature is 1.0: it has no start value to set",
        "b: fail_at is nan: it must be finite",
        "communication_step_s is -1: it must be positive",
        "Tank2.fmu has no input 'warmth'; available: heat, ambient, enabled",
        "Tank2.fmu has no input 'temperature' (it is of causality output)",
        "port name 'open' is reserved",
        "these are different quantities",
    ):
        assert words in str(raised.value)
    assert len(raised.value.problems) == 10


def test_variables_that_map_to_the_same_port_are_named(tank, tmp_path):
    path = rewritten(tank, tmp_path / "dots", [('name="heat"', 'name="tank.T"'), ('name="ambient"', 'name="tank_T"')])
    with pytest.raises(ScenarioError, match=r"tank\.T and tank_T map to the same port: name them in inputs="):
        Fmu(path)
    assert Fmu(path, inputs={"a": "tank.T", "b": "tank_T"}).a.unit == "W"


def test_text_cannot_pass_through_a_port(layers, tmp_path):
    changes = [
        (
            '<Float64 name="total" valueReference="3" causality="output" unit="kW"/>',
            '<String name="total" valueReference="3" causality="output"/>',
        )
    ]
    path = rewritten(layers, tmp_path / "text", changes)
    with pytest.raises(ScenarioError, match="total is a String: only numbers"):
        Fmu(path, inputs={}, outputs={"total": "total"})


def test_fmu_that_allows_one_instance_in_a_process_gets_one_label(tank, tmp_path):
    changes = [('canBeInstantiatedOnlyOncePerProcess="false"', 'canBeInstantiatedOnlyOncePerProcess="true"')]
    path = rewritten(tank, tmp_path / "once", changes)
    with pytest.raises(ScenarioError, match="only once per process: use one adapter per label"):
        Fmu(path, ["a", "b"])
    assert Fmu(path, ["a"]).heat.labels == ("a",)


def test_no_instance_and_a_text_for_labels_are_refused(tank):
    with pytest.raises(ScenarioError, match="instances is empty"):
        Fmu(tank, {})
    with pytest.raises(CosimError, match="instances is the text 'house': pass a sequence of labels"):
        Fmu(tank, "house")


# Step lengths


def test_communication_step_must_divide_the_step(tank, opened):
    adapter = opened(Fmu(tank, inputs={}, communication_step_s=25.0))
    with pytest.raises(CosimError, match=r"communication_step_s is 25: it must be an integer fraction of .* 60 s"):
        adapter.advance(Step(0, 60))


def test_fmu_with_a_fixed_step_length_refuses_another(tank, tmp_path, opened):
    changes = [('canHandleVariableCommunicationStepSize="true"', 'canHandleVariableCommunicationStepSize="false"')]
    adapter = opened(Fmu(rewritten(tank, tmp_path / "fixed", changes), inputs={}))
    adapter.advance(Step(0, 60))
    with pytest.raises(CosimError, match="cannot change the length of its communication steps from 60 to 30 s"):
        adapter.advance(Step(60, 30))


def test_fixed_internal_step_must_divide_the_communication_step(layers, tmp_path, opened):
    changes = [('modelIdentifier="Layers3"', 'modelIdentifier="Layers3" fixedInternalStepSize="40"')]
    path = rewritten(layers, tmp_path / "fixed", changes)
    adapter = opened(Fmu(path, inputs={}))
    with pytest.raises(CosimError, match=r"fixed internal step of 40 s: .* whole multiples of it, not 60 s"):
        adapter.advance(Step(0, 60))
    adapter.advance(Step(0, 120))


# Failures during the run


@pytest.mark.parametrize(
    ("model", "how", "words"),
    [
        ("tank", 0, r"failed in its step from 60 to 120 s: .*\(fatal\).* Its log: .*the tank has boiled over"),
        ("tank", 1, r"failed in its step from 60 to 120 s: .*\(discard\).* Its log: no more steps"),
        ("layers", 0, r"failed in its step from 60 to 120 s: .* Its log: .*a layer has frozen"),
        ("layers", 1, r"asks to end the simulation in its step from 60 to 120 s"),
    ],
)
def test_failed_step_is_reported_with_the_fmus_own_log(model, how, words, request, opened):
    adapter = opened(Fmu(request.getfixturevalue(model), {"a": {}, "b": {"fail_at": 60.0, "how": how}}, inputs={}))
    adapter.advance(Step(0, 60))
    with pytest.raises(CosimError, match=rf"^{adapter.path.name} \[b\] {words}") as raised:
        adapter.advance(Step(60, 60))
    assert "\n" not in str(raised.value)


def test_crash_of_an_fmu_ends_only_the_run(tank, tmp_path):
    fmu = Fmu(tank, {"a": {"fail_at": 120.0, "how": 2}}, inputs={}, start_time_s=0.0)
    with pytest.raises(CosimError, match=r"tank failed at .* 00:02:00: its worker process was killed by SIGSEGV"):
        Scenario(Clock("2025-01-15", hours=1), tank=fmu).run(tmp_path / "run")


def test_binary_that_does_not_load_is_reported_without_side_effects(tank, tmp_path, opened):
    with zipfile.ZipFile(tank) as old, zipfile.ZipFile(tmp_path / "broken.fmu", "w") as new:
        for entry in old.infolist():
            new.writestr(entry, b"no library" if entry.filename.startswith("binaries/") else old.read(entry))
    before = os.getcwd()
    with pytest.raises(CosimError, match=r"\[fmu\] failed in its instantiation: Failed to load shared library"):
        opened(Fmu(tmp_path / "broken.fmu"))
    assert os.getcwd() == before


def test_no_file_of_an_fmu_is_left_on_disk(tank, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    adapter = Fmu(tank, inputs={})
    adapter.open()
    assert len(os.listdir(tmp_path)) == 1
    adapter.close()
    assert os.listdir(tmp_path) == []
    adapter.close()


def test_missing_package_is_named_with_its_remedy(tank, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fmpy", None)
    with pytest.raises(CosimError, match=r"pip install 'cosim-city\[fmu\]'"):
        Fmu(tank)


def test_unit_errors_are_unit_errors(bare, tmp_path):
    from cosim.adapters.fmu import description as fmu_description

    path = rewritten(bare, tmp_path / "unit", with_unit("K"))
    description = fmu_description.read(path)
    variable = fmu_description.find(description, "temperature", "output", path)
    with pytest.raises(UnitError):
        fmu_description.meaning(description, variable, "W", path)
