"""Changes inside the areas of policies, along their border, and elsewhere."""

import math

import pytest
from typer.testing import CliRunner

from cosim import CosimError, Layer, compare
from cosim.cli.app import app
from cosim.results.areas import by_area
from tests.support.districts import district

AREA = {"1": [(-100.0, -100.0), (300.0, -100.0), (300.0, 70.0), (-100.0, 70.0)]}
"""Streets 40 m apart: two inside, one within 25 m of the outline, three elsewhere."""


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    folder = tmp_path_factory.mktemp("areas")
    base, plan = [], []
    for seed in (0, 1, 2):
        plain = district(seed=seed)
        plain.layers.append(Layer("Short", "source.power", "line", {"e0": [(0.0, 0.0)]}, "W"))
        base.append(plain.run(folder / f"base-{seed}"))
        changed = district(seed=seed, draw=9 + seed)
        changed.layers += [Layer.outline("zone", AREA), Layer.outline("the same again", AREA)]
        plan.append(changed.run(folder / f"plan-{seed}"))
    return base, plan


def test_places_add_up_to_the_whole_and_streets_are_told_apart(groups):
    found = by_area(compare(*groups, names=["base", "plan"])).changes["plan"]
    power = {c.indicator: c for c in found if c.indicator.endswith("Power </script><b>")}
    assert [name.partition(":")[0] for name in power] == ["zone, inside", "zone, border", "zone, elsewhere"]
    rows = [["e0", "e1"], ["e2"], ["e3", "e4", "e5"]]
    for change, labels in zip(power.values(), rows, strict=True):
        means = [[run.series("source.power")[labels].mean().sum() / 1000 for run in runs] for runs in groups]
        assert change.base == pytest.approx(sum(means[0]) / 3, rel=1e-5)
        assert change.difference.n == 3
        assert change.difference.mean == pytest.approx((sum(means[1]) - sum(means[0])) / 3, rel=1e-4)


def test_line_of_one_point_lies_where_it_is(groups):
    found = by_area(compare(*groups, names=["base", "plan"])).changes["plan"]
    assert [c.indicator for c in found if c.indicator.endswith("Short")] == ["zone, inside: Short"]


def test_layer_in_degrees_is_left_out_and_told(groups):
    afar = Layer("Afar", "source.power", "point", {"e0": [(2.16, 41.39)]}, "W", coordinates="degrees")
    found = by_area(compare(*groups, names=["base", "plan"]), [afar])
    assert found.changes["plan"] == []
    assert "Afar: its map is in degrees, areas are in metres" in found.cautions["plan"]


def test_runs_without_an_area_are_refused(groups):
    base = groups[0]
    with pytest.raises(CosimError, match="no policy of these runs has drawn an area: compare plans with Superblocks"):
        by_area(compare(base, base, names=["base", "again"]))


def test_compare_prints_the_places(groups):
    folders = [str(runs[0].folder) for runs in groups]
    answer = CliRunner().invoke(app, ["compare", *folders, "--by-area"])
    assert answer.exit_code == 0
    assert "zone, border: Count" in answer.output
    assert not math.isnan(by_area(compare(*groups)).changes["plan-0"][0].base)
