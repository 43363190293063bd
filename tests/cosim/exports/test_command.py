"""``cosim export``: what it prints, and its answers to mistakes in one line each."""

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from cosim import CosimError
from cosim.cli.app import app
from cosim.exports.export import export
from cosim.exports.run import Run
from cosim.results.files import write_json
from tests.support.town import town


def cosim(*arguments):
    done = CliRunner().invoke(app, ["export", *map(str, arguments)])
    return done.exit_code, done.output


def edited(run, folder, **changes):
    shutil.copytree(run.folder, folder)
    write_json(folder / "run.json", json.loads((folder / "run.json").read_text()) | changes)
    return folder


def test_an_export_says_where_it_is_how_large_and_what_it_lacks(run, tmp_path):
    code, output = cosim(run.folder, "--to", "geojson", "--out", tmp_path / "out")
    assert code == 0
    first, *notes = output.splitlines()
    assert first.startswith(f"{tmp_path / 'out'}: 6 files, 0.0 MB, ")
    assert notes
    assert all(note.startswith("note: ") for note in notes)


def test_by_default_the_folder_is_named_after_the_run_and_the_format(run, tmp_path):
    folder = shutil.copytree(run.folder, tmp_path / "mine")
    assert export(folder, "dcat", url="https://data.example.org/run").folder == tmp_path / "mine-dcat"
    text = (tmp_path / "mine-dcat/dcat.jsonld").read_text()
    assert "https://data.example.org/run/series/traffic.flow/" in text
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def bad(run, tmp_path):
    nowhere = "no.crs"
    return {
        "no run": ([tmp_path, "--to", "csv"], f"{tmp_path} holds no run: it has no run.json"),
        "unknown": (
            [run.folder, "--to", "netcdf"],
            "unknown format 'netcdf', did you mean cf-netcdf?; available: cf-netcdf",
        ),
        "exists": ([run.folder, "--to", "csv", "--out", tmp_path], f"{tmp_path} exists: remove it, or pass --out"),
        "licence": (
            [run.folder, "--to", "csv", "--licence", "https://spdx.org/licenses/MIT", "--out", tmp_path / nowhere],
            "a database made from them keeps: omit --licence",
        ),
        "url": (
            [run.folder, "--to", "dcat", "--url", "ftp://x", "--out", tmp_path / nowhere],
            "--url is 'ftp://x': give the address",
        ),
        "every": ([run.folder, "--to", "ngsi-ld", "--every", "soon"], "'soon' is not a duration"),
        "windows": (
            [run.folder, "--to", "ngsi-ld", "--every", "90 s", "--out", tmp_path / nowhere],
            "has a row every 60 s, but the window is 90 s",
        ),
        "broker": ([run.folder, "--to", "csv", "--broker", "http://x"], "--broker sends entities: pass --to ngsi-ld"),
        "header": ([run.folder, "--to", "csv", "--header", "a=b"], "--header needs --broker"),
        "malformed header": (
            [run.folder, "--to", "ngsi-ld", "--broker", "http://x", "--header", "token"],
            "--header is 'token': write NAME=VALUE",
        ),
        "address": ([run.folder, "--to", "ngsi-ld", "--broker", "x:1"], "the broker is 'x:1': give its address"),
    }


def test_mistakes_get_one_line_and_leave_nothing(run, tmp_path):
    for name, (arguments, text) in bad(run, tmp_path).items():
        code, output = cosim(*arguments)
        assert code == 1, name
        assert text in output, name
        assert output.startswith("error: "), name
        assert len(output.splitlines()) == 1, name
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_run_is_refused(run, tmp_path):
    folder = edited(run, tmp_path / "killed", status="interrupted")
    code, output = cosim(folder, "--to", "csv")
    assert code == 1
    assert f"is interrupted, not finished: finish it with 'cosim resume {folder}'" in output


def test_a_run_without_a_projection_has_no_geojson_but_csv(tmp_path):
    result = town(crs="").run(tmp_path / "run")
    with pytest.raises(CosimError, match="has no place in degrees: its scenario has no layers, or no crs"):
        export(result.folder, "geojson")
    with pytest.raises(CosimError, match=r"no output of the run in .* makes an entity: .*its elements have no place"):
        export(result.folder, "ngsi-ld", every_s=180.0)
    done = export(result.folder, "csv")
    assert any(line.startswith("places: ") for line in done.left_out)
    assert "no place in degrees" in "".join(export(result.folder, "dcat").left_out)


def test_an_unknown_projection_is_named(run, tmp_path):
    with pytest.raises(CosimError, match="coordinate reference system is 'EPSG:nothing': PROJ cannot read it"):
        Run(edited(run, tmp_path / "run", crs="EPSG:nothing"))


def test_runs_of_earlier_versions_are_exported_too(run, tmp_path):
    folder = edited(run, tmp_path / "old")
    content = json.loads((folder / "run.json").read_text())
    del content["crs"], content["sources"]
    write_json(folder / "run.json", content)
    assert "no licence is stated" in export(folder, "csv").left_out[0]


def test_a_missing_package_of_the_extra_is_named(run, monkeypatch):
    monkeypatch.setattr("cosim.exports.export.find_spec", lambda name: None)
    with pytest.raises(CosimError, match=r"cf-netcdf needs netCDF4: pip install 'cosim-city\[exports\]'"):
        export(run.folder, "cf-netcdf")


def test_levels_are_averaged_by_energy(run):
    summary = Run(run.folder).port("environment.noise").summary(Run(run.folder).start)
    expected = 10 * np.log10(np.mean(10 ** (np.arange(60, 66) / 10)))
    assert summary.loc["s1|left", "mean"] == pytest.approx(expected, abs=1e-4)
