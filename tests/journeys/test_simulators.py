"""Tests that the code on the page about other simulators works as printed."""

import csv
import re
import shutil

import numpy as np
import pytest

from tests.support.fmus import IN_SI, build_tank, rewritten
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "simulators.md").read_text(encoding="utf-8")
MOSAIK, FMU, PLAIN = re.findall(r"```python\n(.*?)```", PAGE, re.S)


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Run a block of the page in its own folder."""
    monkeypatch.chdir(tmp_path)

    def run(text):
        names: dict = {"__name__": "page"}
        exec(compile(text, "simulators.md", "exec"), names)
        return names

    return run


def hourly(path, column, values):
    rows = [f"2025-06-01 {hour:02d}:00:00,{value}" for hour, value in enumerate(values)]
    path.write_text(f"Time,{column}\n" + "\n".join(rows) + "\n")


def test_mosaik_simulators_run_as_adapters(read, tmp_path, capsys):
    hourly(tmp_path / "sun.csv", "DNI", [max(0, 800 - 8 * (hour - 12) ** 2) for hour in range(24)])
    read(MOSAIK)
    shown = dict(line.rsplit(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line.startswith("roof"))
    assert float(shown["roof 2"]) == pytest.approx(2 * float(shown["roof 1"]))
    assert 5e-4 < float(shown["roof 1"]) < 10 * 0.2 * 800 * 1e-6


def test_fmu_runs_as_an_adapter(read, tmp_path, capsys):
    shutil.copy(rewritten(build_tank(tmp_path / "bare"), tmp_path / "units", IN_SI), tmp_path / "tank.fmu")
    scenario = read(FMU)["scenario"]
    assert "house 2" in capsys.readouterr().out
    result = scenario.run(tmp_path / "again", double=True)
    expected = np.full(2, 20.0)
    for (outdoor,) in result.series("weather.temperature").to_numpy():
        final = outdoor + 500.0 / 100.0
        expected = final + (expected - final) * np.exp(-60.0 * 100.0 / np.array([1e6, 3e6]))
    np.testing.assert_allclose(result.series("tanks.temperature").to_numpy()[-1], expected, rtol=1e-9)


def test_our_adapters_run_in_plain_mosaik(read, tmp_path):
    hourly(tmp_path / "heat.csv", "heat_kw", [1.0, 2.0, 3.0, 4.0, 5.0])
    read(PLAIN)
    with (tmp_path / "results.csv").open() as file:
        rows = [float(row["boilers.b-power"]) for row in csv.DictReader(file)]
    assert rows == [1e3 * kw / 0.99 for kw in (1.0, 2.0, 3.0, 4.0)]
