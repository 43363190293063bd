import json

import numpy as np
import pytest

from cosim.adapters.feed.payload import Kind
from cosim.adapters.feed.specification import Rule
from cosim.adapters.feed.values import Arrivals


def arrivals(n=1, **rule):
    return Arrivals(n, Rule.model_validate({"hold": 120, "default": 0.0, **rule}))


def test_a_step_receives_the_mean_each_value_holding_until_the_next():
    found = arrivals()
    found.add(0, 0.0, 10.0)
    found.add(0, 15.0, 20.0)
    found.add(0, 45.0, 0.0)
    assert found.take(0.0, 60.0)[0] == pytest.approx((15 * 10 + 30 * 20) / 60)


def test_last_is_the_newest_value_up_to_the_end():
    found = arrivals(statistic="last")
    for time_s, value in ((10.0, 1.0), (60.0, 2.0), (61.0, 3.0)):
        found.add(0, time_s, value)
    assert found.take(0.0, 60.0)[0] == 2.0


def test_a_value_is_held_up_to_its_age_and_then_missing():
    found = arrivals()
    found.add(0, 30.0, 5.0)
    rows = [found.take(60.0 * k, 60.0 * k + 60) for k in range(4)]
    assert [value.tolist() for value, _ in rows[:2]] == [[5.0], [5.0]]
    assert [held.tolist() for _, held in rows] == [[False], [True], [False], [False]]
    assert np.isnan(rows[2][0]).all()


def test_values_of_past_steps_are_late_and_become_the_last_value_if_asked():
    for late, expected in (("hold", 7.0), ("drop", 5.0)):
        found = arrivals(late=late)
        found.add(0, 10.0, 5.0)
        found.take(0.0, 60.0)
        assert found.add(0, 50.0, 7.0) == Kind.LATE
        assert found.take(60.0, 120.0)[0] == expected


def test_an_old_late_value_never_replaces_a_newer_one():
    found = arrivals()
    found.add(0, 50.0, 5.0)
    found.take(0.0, 60.0)
    assert found.add(0, 10.0, 7.0) == Kind.LATE
    assert found.take(60.0, 120.0)[0] == 5.0


def test_values_out_of_order_are_sorted_or_dropped():
    for rule, expected in (("sort", 2.0), ("drop", 3.0)):
        found = arrivals(out_of_order=rule)
        assert found.add(0, 0.0, 3.0) == Kind.USED
        assert found.add(0, 60.0, 9.0) == Kind.USED
        assert found.add(0, 30.0, 1.0) == Kind.OUT_OF_ORDER
        assert found.take(0.0, 60.0)[0] == expected


def test_doubled_values_count_once():
    found = arrivals()
    assert found.add(0, 10.0, 3.0) == Kind.USED
    assert found.add(0, 10.0, 3.0) == Kind.DOUBLED
    assert found.pending == 1


def test_the_newest_value_counts_once_also_after_many_old_ones_that_come_again():
    found = arrivals()
    times = [float(k) for k in range(100)]
    assert {found.add(0, time_s, 1.0) for time_s in times} == {Kind.USED}
    found.take(0.0, 90.0)
    assert Kind.USED not in {found.add(0, time_s, 1.0) for time_s in times}


def test_state_goes_on_from_json():
    found, other = arrivals(2), arrivals(2)
    for element, time_s, value in ((0, 10.0, 1.0), (0, 70.0, 2.0), (1, 100.0, 3.0)):
        found.add(element, time_s, value)
    found.take(0.0, 60.0)
    other.load(json.loads(json.dumps(found.save())))
    assert other.pending == found.pending == 2
    for step in ((60.0, 120.0), (120.0, 180.0), (180.0, 240.0)):
        np.testing.assert_array_equal(found.take(*step), other.take(*step))
    assert other.add(0, 10.0, 1.0) == Kind.DOUBLED
