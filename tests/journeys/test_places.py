"""What works on the other twins works on a city that was made from a map: studies, resume, and cities compared."""

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from cosim.core import ScenarioError
from cosim.results.result import Result
from cosim.scenarios.indicators.by_resident import by_resident
from cosim.scenarios.places.make import make_city
from cosim.scenarios.places.sources.options import Options
from tests.cosim.engine.test_checkpoint import bytes_of
from tests.support.maps import town
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow
HELSINKI = (24.94, 60.17)


@pytest.fixture(scope="module")
def cities(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cities")
    for name, drawn in (("berlin", town()), ("helsinki", town(2, centre=HELSINKI))):
        make_city(Options(osm=drawn.write(folder / f"{name}.osm")), folder / name)
    return folder


def start(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", "from cosim.cli.app import main; main()", *map(str, arguments)],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"},
    )


def cosim(folder, *arguments):
    done = start(folder, *arguments)
    text, _ = done.communicate(timeout=600)
    assert done.returncode == 0, text
    return text


def settings(city, hours):
    return ["--set", f"city={city}", "--set", "begin_hour=8", "--set", f"hours={hours}", "--no-report"]


@pytest.fixture(scope="module")
def runs(cities):
    names = {}
    for city in ("berlin", "helsinki"):
        for plan, more in (("base", ()), ("electric", ("--policy", "EvShare:share=1"))):
            names[city, plan] = cities / f"{city}-{plan}"
            cosim(cities, "run", "place", *settings(city, 0.25), *more, "--out", names[city, plan])
    return names


def test_one_policy_in_two_cities_is_compared_by_resident(cities, runs):
    text = cosim(cities, "compare", *runs.values())
    assert "cities by resident" in text
    assert all(name in text for name in ("berlin", "helsinki: EvShare:share=1.0", "kg by resident", "−100.0"))
    found = by_resident([Result.open(folder) for folder in runs.values()])
    row = found[(found["indicator"] == "tailpipe CO2") & (found["city"] == "helsinki")].set_index("plan")
    base = Result.open(runs["helsinki", "base"])
    assert row.loc["", "value"] == base.indicators["tailpipe CO2"].value / base.provenance["parameters"]["residents"]
    assert row.loc["EvShare:share=1.0", "difference"] == -row.loc["", "value"]
    speed = found[(found["indicator"] == "mean speed") & (found["plan"] == "")].set_index("city")
    assert speed.loc["helsinki", "value"] == base.indicators["mean speed"].value


def test_access_of_residents_is_an_indicator(runs):
    found = [Result.open(folder).indicators for folder in runs.values()]
    for indicators in found:
        assert 0 <= indicators["15-minute access, on foot"].value <= indicators["15-minute access, by bicycle"].value


def test_cities_that_cannot_be_compared_are_refused(runs):
    berlin, electric, helsinki, other = (Result.open(folder) for folder in runs.values())
    for given, message in (
        ([berlin, electric], "all runs are of berlin"),
        ([berlin, electric, helsinki], "helsinki has the plans none, berlin has"),
        ([electric, berlin, other, helsinki], "the first run of berlin, .* has policies"),
    ):
        with pytest.raises(ScenarioError, match=message):
            by_resident(given)


def test_study_varies_a_city(cities):
    (cities / "study.yaml").write_text(
        "builder: place\nseeds: 1\nfactors:\n  ev_share: [0.0, 1.0]\n"
        f"  city: {{value: {cities / 'berlin'}}}\n  begin_hour: {{value: 8}}\n  hours: {{value: 0.1}}\n"
        "run: {workers: 1, record: indicators}\n"
    )
    assert "2 done" in cosim(cities, "study", "study.yaml", "--indicators", "tailpipe CO2")
    table = pd.read_csv(cities / "studies" / "study" / "table.csv").set_index("ev_share")
    column = next(name for name in table.columns if name.startswith("tailpipe CO2"))
    assert table.loc[0.0, column] > table.loc[1.0, column] == 0


def test_killed_run_of_a_city_resumes_to_the_same_bytes(cities):
    whole = settings("berlin", 2)
    cosim(cities, "run", "place", *whole, "--out", "whole")
    run = start(cities, "run", "place", *whole, "--out", "killed", "--checkpoint-every", "1h")
    deadline = time.monotonic() + 300
    while not (cities / "killed" / "checkpoints" / "60").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=180)
    assert run.returncode == -signal.SIGKILL
    cosim(cities, "resume", "killed", "--no-report")
    assert bytes_of(cities / "killed") == bytes_of(cities / "whole")
