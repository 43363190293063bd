"""GeoJSON (RFC 7946) and GeoParquet 1.1: a file per set of elements, with every output's mean, lowest and highest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from cosim.core.errors import CosimError

from .run import Port, Run


@dataclass(frozen=True)
class Elements:
    """Elements of one adapter that share outputs."""

    name: str
    shapes: list[Any]
    """Geometry in degrees, in the order of the table's rows."""
    table: pd.DataFrame
    """A row per label: name, properties, and per output its mean, lowest and highest value."""
    units: dict[str, str]
    """Units of the columns that have one."""


def collect(run: Run, each: Callable[[Port], None] = lambda port: None) -> Iterator[Elements]:
    """Yield every set of elements that have a place; tell the outputs of all others.

    Parameters
    ----------
    run
        The run.
    each
        Called with every output that has elements; one at a time is in memory.

    Raises
    ------
    CosimError
        If no element has a place in degrees.
    """
    if not run.places.located:
        raise CosimError(
            f"the run in {run.folder} has no place in degrees: its scenario has no layers, or no crs for those in "
            "metres; set scenario.crs, or export to csv or cf-netcdf"
        )
    sets: dict[tuple[str, str], list[str]] = {}
    for name in run.ports():
        sets.setdefault((name.partition(".")[0], run.about["outputs"][name]["labels"]), []).append(name)
    taken: list[str] = []
    placeless: list[str] = []
    for (sector, _), names in sets.items():
        found = _elements(run, sector, names, each)
        if found is None:
            placeless += names
            continue
        same = taken.count(found.name)
        taken.append(found.name)
        yield replace(found, name=f"{found.name}-{same + 1}") if same else found
    if placeless:
        run.tell(f"{', '.join(placeless)}: elements without a place, in no file of places; csv has them all")


def _elements(run: Run, sector: str, names: list[str], each: Callable[[Port], None]) -> Elements | None:
    shapes: list[Any] = []
    table, units, kind = pd.DataFrame(), {}, "point"
    for name in names:
        port = run.port(name)
        each(port)
        if not port.shapes:
            continue
        if not shapes:
            labels = [str(label) for label in port.values.columns]
            shapes = [port.shapes[label] for label in labels]
            table = pd.DataFrame({"name": labels}, index=pd.Index(labels, name="label"))
        if port.layer is not None:
            kind = port.layer.shape
            called = run.places.names(port.layer)
            table["name"] = [called.get(label, label) for label in labels]
            for key, values in port.layer.properties.items():
                table[key] = [values.get(label) for label in labels]
        short = name.partition(".")[2]
        for column, values in port.summary(run.start).items():
            table[f"{short}_{column}"] = values.to_numpy()
            units[f"{short}_{column}"] = port.unit
    return Elements(f"{sector}-{len(shapes)}-{kind}s", shapes, table, units) if shapes else None


def write_geojson(run: Run, folder: Path) -> None:
    """Write a FeatureCollection per set of elements; units and attribution are foreign members (RFC 7946, 6.1)."""
    for elements in collect(run):
        rows = elements.table.replace({np.nan: None}).astype(object).where(elements.table.notna(), None)
        features = [
            {
                "type": "Feature",
                "id": label,
                "geometry": json.loads(shapely.to_geojson(shape)),
                "properties": {"label": label} | row,
            }
            for label, shape, row in zip(rows.index, elements.shapes, rows.to_dict("records"), strict=True)
        ]
        content = {
            "type": "FeatureCollection",
            "features": features,
            "bbox": list(map(float, shapely.total_bounds(elements.shapes))),
            "title": run.title,
            "units": elements.units,
            "licence": " ".join(run.licence).strip(),
            "attribution": run.attribution,
        }
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        (folder / f"{elements.name}.geojson").write_text(text, encoding="utf-8")
    run.tell("series over time: GeoJSON holds means, lowest and highest values; export to geoparquet, csv or cf-netcdf")
    run.tell("indicators, events: not in GeoJSON; export to csv or ro-crate")


def write_geoparquet(run: Run, folder: Path) -> None:
    """Write a GeoParquet file per set of elements, and beside it every output's series in plain Parquet.

    The series have the columns label, time (end of the step, UTC) and value, sorted by label; they join the elements by
    label.
    """
    (folder / "series").mkdir()
    for elements in collect(run, lambda port: _write_series(port, folder / "series" / f"{port.name}.parquet")):
        table = pa.Table.from_pandas(elements.table.reset_index(), preserve_index=False)
        for k, field in enumerate(table.schema):
            if unit := elements.units.get(field.name):
                table = table.set_column(k, field.with_metadata({"unit": unit}), table.column(k))
        table = table.append_column("geometry", pa.array(shapely.to_wkb(elements.shapes), pa.binary()))
        kinds = sorted({shape.geom_type for shape in elements.shapes})
        geo = {
            "version": "1.1.0",
            "primary_column": "geometry",
            "columns": {
                "geometry": {
                    "encoding": "WKB",
                    "geometry_types": kinds,
                    "bbox": list(map(float, shapely.total_bounds(elements.shapes))),
                    **({"orientation": "counterclockwise"} if "Polygon" in kinds else {}),
                }
            },
        }
        about = {"title": run.title, "licence": " ".join(run.licence).strip(), "attribution": run.attribution}
        kept = {"geo": json.dumps(geo), "cosim": json.dumps(about, ensure_ascii=False)}
        pq.write_table(table.replace_schema_metadata(kept), folder / f"{elements.name}.parquet", compression="zstd")
    run.tell("indicators, events: not in GeoParquet; export to csv or ro-crate")


def _write_series(port: Port, path: Path) -> None:
    labels, times = port.values.columns, port.values.index
    values = port.values.to_numpy().T.ravel()
    indices = pa.array(np.repeat(np.arange(len(labels), dtype=np.int32), len(times)))
    table = pa.table(
        {
            "label": pa.DictionaryArray.from_arrays(indices, pa.array([str(label) for label in labels])),
            "time": pa.array(np.tile(times.as_unit("ms").asi8, len(labels))).cast(pa.timestamp("ms", "UTC")),
            "value": pa.array(values),
        }
    )
    about = {"port": port.name, "unit": port.unit, "kind": port.kind}
    pq.write_table(table.replace_schema_metadata(about), path, compression="zstd")
