"""A city as a folder that any tool reads: JSON, GeoParquet, pandapower JSON and SUMO files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from cosim.adapters.grid.files import read_net as read_grid_file
from cosim.core import CosimError, InputFileError
from cosim.scenarios.grid.build import GridReport, Station, SynthesizedGrid
from cosim.scenarios.mobility.drives import DayPlan
from cosim.scenarios.streets.network import Net, project, unproject

FORMAT = 1
"""Version of the folder's layout."""

CITY, IMPORT, PAGE, NET, BUILDINGS, CHARGERS = (
    "city.json",
    "import.json",
    "import.html",
    "streets.net.xml",
    "buildings.parquet",
    "chargers.parquet",
)
GRID, LAYOUT, DRIVES, WEATHER = "grid.json", "grid.layout.json", "drives.parquet", "weather.epw"
CARS, TYPES, TRANSIT, STOPS, TRAFFIC = (
    "cars.rou.xml",
    "types.add.xml",
    "transit.rou.xml",
    "transit.add.xml",
    "traffic.sumocfg",
)
"""SUMO's files of the drives and of the lines, and the configuration of both."""

_GEOMETRY = "geometry"


def write_json(path: Path, record: Any) -> None:
    """Write JSON in a fixed form."""
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file of a city.

    Raises
    ------
    InputFileError
        If it is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputFileError(f"{path} cannot be read: {error}; make the city again with 'cosim city make'") from error


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_table(path: Path, table: pd.DataFrame, geometry: list[Any] | None = None) -> None:
    """Write a table as Parquet, with shapes in longitude and latitude as GeoParquet 1.1.

    Parameters
    ----------
    path
        The file.
    table
        Its index becomes the first column.
    geometry
        A shape in degrees for each row.
    """
    frame = table.reset_index()
    told = frame.select_dtypes("object").iloc[:1].notna().all(axis=None)  # the first row tells all types
    schema = pa.Schema.from_pandas(frame.iloc[:1] if told else frame, preserve_index=False)
    meta: dict[str, str] = {}
    if geometry is not None:
        schema = schema.append(pa.field(_GEOMETRY, pa.binary()))
        kinds = sorted({shape.geom_type for shape in geometry})
        column = {"encoding": "WKB", "geometry_types": kinds, "edges": "planar"}
        if geometry:
            column["bbox"] = [float(x) for x in shapely.total_bounds(geometry)]
        meta["geo"] = json.dumps({"version": "1.1.0", "primary_column": _GEOMETRY, "columns": {_GEOMETRY: column}})
    # without pandas' own metadata, which names versions of libraries
    schema = schema.with_metadata(meta)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for begin in range(0, max(len(frame), 1), _ROWS):  # a day's routes at once take 70 MB for a town
            part = frame.iloc[begin : begin + _ROWS]
            if geometry is not None:
                part = part.assign(**{_GEOMETRY: shapely.to_wkb(geometry[begin : begin + _ROWS])})
            writer.write_table(
                pa.Table.from_pandas(part, schema=schema, preserve_index=False).replace_schema_metadata(meta)
            )


_ROWS = 8192


def read_table(path: Path, index: str) -> tuple[pd.DataFrame, list[Any]]:
    """Return a table and its shapes in degrees, if it has any.

    Raises
    ------
    InputFileError
        If the file is missing or damaged.
    """
    try:
        content = pq.read_table(path)
        shapes = []
        if _GEOMETRY in content.column_names:
            shapes = list(shapely.from_wkb(content[_GEOMETRY].to_numpy(zero_copy_only=False)))
            content = content.drop_columns([_GEOMETRY])
        return content.to_pandas().set_index(index), shapes
    except (OSError, pa.ArrowException, KeyError, shapely.errors.ShapelyError) as error:
        raise InputFileError(f"{path} cannot be read: {error}; make the city again with 'cosim city make'") from error


def write_buildings(path: Path, table: pd.DataFrame, net: Net) -> None:
    """Write buildings as GeoParquet in degrees."""
    write_table(
        path, table.drop(columns="footprint"), _moved(table["footprint"].to_list(), lambda x, y: unproject(net, x, y))
    )


def read_buildings(folder: Path, net: Net) -> pd.DataFrame:
    """Return the buildings of a city, with ``footprint`` in the network's coordinates. [m]"""
    table, shapes = read_table(folder / BUILDINGS, "building")
    return table.assign(footprint=_moved(shapes, lambda x, y: project(net, x, y)))


def _moved(shapes: list[Any], move: Callable[[Any, Any], Any]) -> list[Any]:
    array = np.array([*shapes, None], dtype=object)[:-1]
    points = shapely.get_coordinates(array)
    return list(shapely.set_coordinates(array.copy(), np.column_stack(move(points[:, 0], points[:, 1]))))


def write_grid(folder: Path, grid: SynthesizedGrid) -> None:
    """Write a grid as pandapower JSON, and its connections, stations and routes beside it."""
    (folder / GRID).write_text(pp.to_json(grid.net), encoding="utf-8")
    layout = {
        "bus_of": grid.bus_of,
        "design_load_w": grid.design_load_w,
        "stations": [dataclasses.asdict(station) for station in grid.stations],
        "lines": {name: np.round(route, 3).tolist() for name, route in grid.lines.items()},
        "report": dataclasses.asdict(grid.report),
    }
    write_json(folder / LAYOUT, layout)


def read_grid(folder: Path) -> SynthesizedGrid:
    """Return the grid of a city."""
    layout = read_json(folder / LAYOUT)
    return SynthesizedGrid(
        read_grid_file(folder / GRID),
        {str(label): int(bus) for label, bus in layout["bus_of"].items()},
        layout["design_load_w"],
        {name: np.array(route, float) for name, route in layout["lines"].items()},
        [Station(**station) for station in layout["stations"]],
        GridReport(**layout["report"]),
    )


def read_drives(folder: Path) -> DayPlan:
    """Return the drives of a city's day."""
    return DayPlan(read_table(folder / DRIVES, "vehicle")[0])


@dataclass(frozen=True)
class CityFolder:
    """A city on disk.

    Attributes
    ----------
    path
        The folder.
    about
        Its ``city.json``.
    """

    path: Path
    about: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> CityFolder:
        """Open a city and check its description.

        Raises
        ------
        InputFileError
            If it is no city, is damaged, or was made by another version of the layout.
        """
        if not (path / CITY).is_file():
            raise InputFileError(
                f"{path} is no city: it has no {CITY}; make one with 'cosim city make FILE --out {path}'"
            )
        about = read_json(path / CITY)
        if problem := schema_problem(about):
            raise InputFileError(f"{path / CITY}: {problem}; make the city again with 'cosim city make'")
        return cls(path, about)

    def problems(self) -> list[str]:
        """Return which files are missing or differ from what was made."""
        found = []
        for name, wanted in sorted(self.about["files"].items()):
            if not (self.path / name).is_file():
                found.append(f"{name} is missing")
            elif digest(self.path / name) != wanted:
                found.append(f"{name} was changed after the city was made")
        return found

    @property
    def attribution(self) -> list[str]:
        """What must be said wherever the city is shown."""
        return list(dict.fromkeys(source["attribution"] for source in self.about["sources"] if source["attribution"]))


def schema_problem(about: Any) -> str:
    """Return what is wrong with a ``city.json`` by its schema; empty if nothing is.

    Examples
    --------
    >>> schema_problem({"format": 99})
    'format is 99: this version reads 1'
    >>> schema_problem({"format": 1, "name": 3})
    'name is 3: it must be a string'
    """
    if not isinstance(about, dict):
        return "it holds no table of names and values"
    if about.get("format") != FORMAT:
        return f"format is {about.get('format')!r}: this version reads {FORMAT}"
    schema = json.loads(resources.files("cosim.scenarios.places").joinpath("city.schema.json").read_text("utf-8"))
    return _problem(about, schema, "")


_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,), "number": (int, float), "integer": (int,), "boolean": (bool,), "array": (list,),
    "object": (dict,),
}  # fmt: skip


def _problem(value: Any, schema: Mapping[str, Any], where: str) -> str:
    """Check the few words of JSON Schema that the city's schema uses."""
    kind = schema.get("type")
    if kind and (not isinstance(value, _KINDS[kind]) or (isinstance(value, bool) and kind != "boolean")):
        article = "an" if kind[0] in "aio" else "a"
        return f"{where or 'it'} is {value!r}: it must be {article} {kind}"
    for name, part in schema.get("properties", {}).items():
        if name in value:
            if found := _problem(value[name], part, f"{where}.{name}".lstrip(".")):
                return found
        elif name in schema.get("required", ()):
            return f"{where}.{name} is missing".lstrip(".")
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        for name in sorted(set(value) - set(schema.get("properties", {}))):
            if found := _problem(value[name], more, f"{where}.{name}".lstrip(".")):
                return found
    for k, one in enumerate(value if kind == "array" else ()):
        if found := _problem(one, schema.get("items", {}), f"{where}[{k}]"):
            return found
    return ""


def check_new(out: Path) -> None:
    """Refuse to write a city over something else.

    Raises
    ------
    CosimError
        If the folder exists and is neither empty nor a city.
    """
    if out.exists() and not (out / CITY).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise CosimError(f"{out} exists and is no city: give another folder with --out, or remove it")
