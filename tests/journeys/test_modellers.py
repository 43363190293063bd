"""Test that the tutorial for modellers runs as printed, and that its statements on policies hold."""

import re
import shlex

import numpy as np
import pytest
from typer.testing import CliRunner

from cosim import CosimError
from cosim.cli.app import app
from tests.support.paths import ROOT

TEXT = (ROOT / "docs" / "modellers.md").read_text(encoding="utf-8")
for printed, shorter in (("begin_hour=16, hours=6", "begin_hour=17, hours=5"), ("range(3)", "range(2)")):
    assert printed in TEXT
    TEXT = TEXT.replace(printed, shorter)
TEXT = TEXT.replace("begin_hour=16 --set hours=6", "begin_hour=17 --set hours=5")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.S)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_tutorial_runs_and_its_claims_hold(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    *parts, file = blocks("python")
    for part in parts:
        exec(compile(part, "modellers.md", "exec"), names)
    shown = capsys.readouterr().out
    assert "plan against base" in shown
    assert "60 % electric against 20 % electric" in shown
    # the setback saves, and is partly paid back
    assert names["saved"] > 0
    assert names["rebound"] > 0
    peak, shifted = (run.indicators["peak of buildings"].value for run in (names["without"], names["with_setback"]))
    assert shifted > 1.5 * peak
    gas = [k for k, kind in enumerate(names["mild"].model.stock.heating) if kind == "gas_boiler"]
    labels = [names["mild"].model.stock.ids[k] for k in gas]
    runs = (names["without"], names["with_setback"])
    before, after = (run.series("buildings.electric_power", labels) for run in runs)
    np.testing.assert_array_equal(before.to_numpy(), after.to_numpy())
    with pytest.raises(CosimError, match="less than or equal to 4"):
        names["EveningSetback"](kelvin=5)
    (tmp_path / "evening.py").write_text(file)
    for line in (line for block in blocks("sh") for line in block.splitlines()):
        words = shlex.split(line.split("#")[0])[1:]
        if words[0] in ("view", "study"):  # waits for a browser, takes long
            continue
        words = [word if word != "10" else "2" for word in words]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, (line, done.output)
        if words[0] == "compare":
            assert "inconclusive" in done.output  # of two pairs
