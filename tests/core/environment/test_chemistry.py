"""NO, NO2 and O3 in a street against the values of the model's closed solution, and its limits."""

import numpy as np
import pytest

from cosim.core import CosimError
from cosim.core.environment.chemistry import check_background, nitrogen_dioxide, oxidation, photolysis

STREET = {"nox": 100.0, "background_nox": 20.0, "background_no2": 13.0, "background_o3": 30.0}


def found(**changes):
    given = {**STREET, "primary_share": 0.1, "residence_s": 100.0, "radiation": 400.0, "temperature": 288.0} | changes
    return [float(x) for x in nitrogen_dioxide(**given)]


def test_day_and_night_have_the_published_values():
    assert float(oxidation(288.0)) == pytest.approx(3.75309e-4, abs=5.1e-10)
    assert float(photolysis(400.0)) == pytest.approx(3.740248e-3, abs=5.1e-10)
    assert found() == pytest.approx([37.770576, 13.229424], abs=5e-7)
    assert found(radiation=0.0) == pytest.approx([41.600843, 9.399157], abs=5e-7)


def test_air_that_is_exchanged_at_once_is_only_mixed():
    assert found(residence_s=0.0) == pytest.approx([21.0, 30.0])
    assert found(residence_s=1e-6) == pytest.approx([21.0, 30.0], abs=1e-4)


def test_air_that_stays_is_in_the_photostationary_state():
    no2, o3 = found(residence_s=np.inf)
    assert (100.0 - no2) * o3 * float(oxidation(288.0)) == pytest.approx(float(photolysis(400.0)) * no2)


def test_oxidant_and_nitrogen_are_conserved():
    no2, o3 = found(residence_s=37.0)
    assert no2 + o3 == pytest.approx(0.1 * 80 + 13 + 30)
    assert 0 < no2 < 100


def test_no_light_splits_no_no2():
    assert photolysis([0.0, 1.0]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([-1e-9, 30e-9, 50e-9, 20e-9, 10e-9], "the background of NO2 is -1 µg/m³: it must be from 0 to 5000"),
        ([20e-9, np.nan, 50e-9, 20e-9, 10e-9], "the background of NOx is nan"),
        ([40e-9, 30e-9, 50e-9, 20e-9, 10e-9], "the background of NO2, 40 µg/m³, is above that of NOx, 30"),
        ([20e-9, 30e-9, 50e-9, 20e-9, 25e-9], "the background of PM2.5, 25 µg/m³, is above that of PM10, 20"),
    ],
)
def test_impossible_background_gets_one_clear_error(values, message):
    with pytest.raises(CosimError, match=message):
        check_background(np.array(values))
