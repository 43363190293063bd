"""Ports, units, the clock and keyed random numbers."""

import datetime as dt
import pickle

import numpy as np
import pytest

from cosim import Adapter, Clock, CosimError, Input, Output
from cosim.core import units
from cosim.core.random import generator, uniform
from tests.support.toys import Source


def test_port_value_is_float64_and_read_only():
    port = Output("W", ["a", "b"], "mean")
    port.value = [1, 2]
    assert port.value.dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        port.value[0] = 3.0


def test_one_number_fills_a_port():
    port = Output("W", ["a", "b"], "mean")
    port.value = 3
    assert port.value.tolist() == [3.0, 3.0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_value_is_refused_with_the_elements_label(bad):
    port = Output("W", ["north", "south"], "mean")
    with pytest.raises(CosimError, match=r"port\['south'\] is -?(nan|inf): every element must be a finite number"):
        port.value = [1.0, bad]


def test_only_nan_may_stand_for_missing():
    port = Output("W", ["a"], "mean", may_be_missing=True)
    port.value = [np.nan]
    with pytest.raises(CosimError, match="only NaN may stand for a missing value"):
        port.value = [np.inf]


def test_wrong_shape_is_refused_by_the_name_of_the_port():
    source = Source(labels=[f"bus {i}" for i in range(15)])
    with pytest.raises(CosimError, match=r"^power expects shape \(15,\), got \(2,\)$"):
        source.power.value = [1.0, 2.0]


def test_duplicate_label_is_refused():
    with pytest.raises(CosimError, match="duplicate label 'a'"):
        Input("W", ["a", "b", "a"])


def test_text_for_labels_is_refused():
    with pytest.raises(CosimError, match="pass a sequence of labels"):
        Input("W", "bus")


def test_kind_is_mean_or_end():
    with pytest.raises(CosimError, match="write 'mean'"):
        Output("W", ["a"], "average")


def test_port_without_elements_is_allowed():
    port = Output("W", [], "mean")
    port.value = []
    assert port.value.shape == (0,)


def test_reset_input_is_back_at_its_default():
    port = Input("W", ["a"], default=1.0)
    port.deliver(7.0)
    port.reset()
    assert port.value is port.default


@pytest.mark.parametrize("unit", ["var", "EUR/J", "vehicle", "person/s", "pu", "1", "degC", "W/m**2", "kg/s"])
def test_registry_knows_the_units_of_a_city(unit):
    units.parse(unit)


@pytest.mark.parametrize(
    ("a", "b", "factor"),
    [
        ("kW", "W", 1e3),
        ("kWh", "J", 3.6e6),
        ("pu", "1", 1.0),
        ("km/h", "m/s", 1 / 3.6),
        ("percent", "1", 0.01),
        ("EUR/kWh", "EUR/J", 1 / 3.6e6),
        ("kvar", "var", 1e3),
        ("degC", "degC", 1.0),
        ("vehicle/hour", "vehicle/s", 1 / 3600),
    ],
)
def test_compatible_units_convert_by_a_factor(a, b, factor):
    assert units.factor(a, b) == pytest.approx(factor, rel=1e-14)


@pytest.mark.parametrize(
    ("a", "b"),
    [("W", "var"), ("W", "VA"), ("degC", "K"), ("K", "degC"), ("vehicle", "person"), ("vehicle", "1"), ("W", "J")],
)
def test_incompatible_units_are_refused(a, b):
    with pytest.raises(CosimError):
        units.factor(a, b)


def test_adapter_is_picklable_and_knows_its_labels_before_it_is_opened():
    again = pickle.loads(pickle.dumps(Source(("x", "y"))))
    assert again.power.labels == ("x", "y")
    assert again.power.name == "power"


def test_adapter_without_advance_names_the_missing_method():
    with pytest.raises(NotImplementedError, match=r"Adapter has no advance\(step\): every adapter must implement it"):
        Adapter().advance(None)


def test_clock_counts_through_daylight_saving():
    spring = Clock("2025-03-30", end="2025-03-31", step_s=900, zone="Europe/Rome")
    autumn = Clock("2025-10-26", end="2025-10-27", step_s=900, zone="Europe/Rome")
    assert (spring.n_steps, autumn.n_steps) == (92, 100)
    assert spring.utc(0) == dt.datetime(2025, 3, 29, 23, tzinfo=dt.UTC)
    assert autumn.civil(3600 * 3).hour == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"start": "15/01/2025"}, "write a date such as"),
        ({"start": "2025-01-15", "zone": "Mars/Olympus"}, "time zone 'Mars/Olympus' is unknown"),
        ({"start": "2025-01-15", "hours": 1, "step_s": 0}, "must be positive"),
        ({"start": "2025-01-15", "hours": 1, "step_s": float("nan")}, "step is nan: it must be a finite number"),
        ({"start": "2025-01-15", "hours": 1, "step_s": "60"}, "step is '60': it must be a finite number"),
        ({"start": "2025-01-15", "hours": 1, "step_s": 1e-9}, "0.001 s or longer"),
        ({"start": "2025-01-15", "hours": 1, "step_s": 7}, "whole number of exchange steps"),
        ({"start": "2025-01-15", "hours": float("nan")}, "hours of the clock is nan: it must be a finite number"),
        ({"start": "2025-01-15", "hours": "1"}, "hours of the clock is '1': it must be a finite number"),
        ({"start": "2025-01-15", "hours": True}, "hours of the clock is True: it must be a finite number"),
        ({"start": "2025-01-15", "hours": 1e12}, "it must end by the year 2261"),
        ({"start": None}, "start of the clock is None: write a date such as"),
        ({"start": "1600-01-01"}, "start of the clock is 1600-01-01T00:00:00: the year must be 1678 to 2261"),
        ({"start": "2025-01-15", "end": "9999-12-31"}, "end of the clock is 9999-12-31T00:00:00: the year must be"),
        ({"start": "2025-01-15", "zone": None}, "time zone None is unknown"),
        ({"start": "2025-01-15", "zone": "Europe"}, "time zone 'Europe' is unknown"),
        ({"start": "2025-01-15", "end": "2025-01-14"}, "positive whole number"),
        ({"start": "2025-01-15", "hours": 1, "end": "2025-01-16"}, "give one of them"),
    ],
)
def test_clock_refuses_arguments_that_define_no_run(arguments, words):
    with pytest.raises(CosimError, match=words):
        Clock(**arguments)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Input("W", None), "labels is None: pass a sequence of labels, one per element"),
        (lambda: Input("W", "bus"), "labels is 'bus': pass a sequence of labels, one per element"),
        (lambda: Input("W", ["a"], default="x"), r"expects numbers, shape \(1,\), got 'x'"),
        (lambda: Input("W", ["a"], default={"a": 1.0}), r"expects numbers, shape \(1,\), got {'a': 1.0}"),
    ],
)
def test_port_error_shows_the_argument_and_what_is_accepted(build, words):
    with pytest.raises(CosimError, match=words):
        build()


def test_random_draw_of_one_element_does_not_depend_on_the_others():
    some, all_ = uniform(3, "ev", ["a", "c"]), uniform(3, "ev", ["a", "b", "c"])
    assert some.tolist() == all_[[0, 2]].tolist()
    assert generator(3, "trips", "a").random() == generator(3, "trips", "a").random()


def test_seed_purpose_and_label_each_change_the_draw():
    draws = {uniform(s, p, [e])[0] for s in (0, 1) for p in ("x", "y") for e in ("a", "b")}
    assert len(draws) == 8


def test_uniform_draws_are_uniform():
    draws = uniform(0, "test", range(20000))
    # Kolmogorov–Smirnov at the 0.1 % level
    gap = np.abs(np.sort(draws) - (np.arange(20000) + 0.5) / 20000).max()
    assert gap < 1.95 / np.sqrt(20000)
