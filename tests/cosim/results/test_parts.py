"""Series in memory and in their Parquet parts: the same values, whichever is read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cosim import Adapter, Clock, CosimError, Output, Result, Scenario
from cosim.results.parts import KeptParts, Part, parts_of, read_part

LABELS = ("b", "ä", "a")


class Source(Adapter):
    """Publishes numbers that differ by label and step, with gaps."""

    def __init__(self) -> None:
        self.power = Output("W", LABELS, "mean", may_be_missing=True)
        self.noise = Output("dB", LABELS, "mean")

    def advance(self, step) -> None:
        k = step.start_s / 60
        self.power.value = [k / 3, -k, np.nan if k % 7 == 0 else 0.1]
        self.noise.value = [50 + k % 9, 60.0, 40.0]


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    scenario = Scenario(Clock("2025-01-15", hours=2.5), source=Source())
    return scenario.run(tmp_path_factory.mktemp("parts") / "run")


@pytest.mark.parametrize("port", ["source.power", "source.noise"])
def test_a_run_that_has_just_ended_says_what_its_files_say(held, port):
    opened = Result.open(held.folder)
    assert len(parts_of(held.folder / "series" / port)) == 3
    for question in (
        lambda r: r.series(port),
        lambda r: r.series(port, ["ä"], start="2025-01-15T00:30", end="2025-01-15T01:30"),
        lambda r: r.total(port).to_frame(),
        lambda r: r.spread(port),
        lambda r: r.means(port, 600.0),
    ):
        pd.testing.assert_frame_equal(question(held), question(opened), check_exact=True)
        pd.testing.assert_frame_equal(question(opened), question(Result.open(held.folder)), check_exact=True)
    assert list(held.series(port).columns) == ["a", "b", "ä"]


def test_a_run_in_memory_needs_no_files(held, monkeypatch):
    monkeypatch.setattr("cosim.results.parts.read_part", None)
    assert held.total("source.noise").notna().all()
    with pytest.raises(TypeError):
        Result.open(held.folder).total("source.noise")


def test_integral_leaves_nothing_out(held):
    k = np.arange(150, dtype=np.float32)
    assert held.integral("source.power")["b"] == pytest.approx(60 * float((k / 3).sum()), rel=1e-6)
    assert np.isnan(held.integral("source.power")["a"])


def test_an_output_without_room_is_left_out_as_a_whole():
    part = Part(np.array(["a"], object), np.arange(4), np.zeros((1, 4)))
    kept = KeptParts(3 * part.values.nbytes)
    for port in ("long", "short", "long", "long"):
        kept.add(port, part)
    assert kept.get("long") is None
    assert kept.get("short") == [part]
    assert kept.room == 2 * part.values.nbytes
    kept.discard(["short"])
    assert kept.get("short") is None


def test_a_damaged_part_is_named(tmp_path):
    part = tmp_path / "part-0.parquet"
    part.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(CosimError, match=r"part-0\.parquet is damaged or truncated"):
        read_part(part)
