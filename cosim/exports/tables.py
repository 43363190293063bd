"""CSV with metadata on the web (CSVW): a file per output, with indicators, events and places, and ``metadata.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import shapely

from .run import Port, Run

METADATA = "csv-metadata.json"
"""Name under which a CSVW reader looks for the metadata of a folder's tables."""
_TIME = {"base": "dateTimeStamp"}


def write(run: Run, folder: Path) -> None:
    """Write everything the run recorded."""
    tables: list[dict[str, Any]] = []
    for name in run.ports():
        port = run.port(name)
        _write_series(port, folder / f"{name}.csv")
        columns = [
            _column("label", "label of the element", "string"),
            _column("time", "end of the step, UTC", _TIME),
            _column("value", f"{port.title} [{port.unit}]", "double", port.unit),
        ]
        about = f"{port.title}: {'mean over the step' if port.kind == 'mean' else 'state at the end of the step'}"
        tables.append(_table(f"{name}.csv", about, columns, ["label", "time"]))
    tables += [_write_indicators(run, folder), _write_events(run, folder)]
    if run.places.located:
        tables.append(_write_places(run, folder))
    else:
        run.tell("places: the scenario has no layers, or no crs for those in metres")
    address, licence = run.licence
    content = {
        "@context": "http://www.w3.org/ns/csvw",
        "dc:title": run.title,
        "dc:license": {"@id": address} if address else licence,
        "dc:rights": run.attribution,
        "tables": tables,
    }
    (folder / METADATA).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _column(name: str, about: str, kind: str | dict[str, str], unit: str = "") -> dict[str, Any]:
    # the unit is a common property in schema.org's vocabulary, which CSVW knows by its prefix
    return {"name": name, "titles": name, "dc:description": about, "datatype": kind} | (
        {"schema:unitText": unit} if unit else {}
    )


def _table(url: str, about: str, columns: list[dict[str, Any]], key: list[str]) -> dict[str, Any]:
    schema: dict[str, Any] = {"columns": columns}
    return {"url": url, "dc:title": about, "tableSchema": schema | ({"primaryKey": key} if key else {})}


def _write_series(port: Port, path: Path) -> None:
    labels = np.array([str(label) for label in port.values.columns], dtype=object)
    stamps = np.array([time.isoformat().replace("+00:00", "Z") for time in port.values.index], dtype=object)
    schema = pa.schema([("label", pa.string()), ("time", pa.string()), ("value", port.values.to_numpy().dtype.name)])
    with pa_csv.CSVWriter(path, schema) as file:
        for k, label in enumerate(labels):
            values = port.values.iloc[:, k].to_numpy()
            column = pa.array(values, mask=np.isnan(values))
            file.write(pa.table([pa.array([label] * len(stamps)), pa.array(stamps), column], schema=schema))


def _write_indicators(run: Run, folder: Path) -> dict[str, Any]:
    rows = [
        {"name": name, "value": one.value if np.isfinite(one.value) else None, "unit": one.unit, "better": one.better,
         "about": one.about}
        for name, one in run.result.indicators.items()
    ]  # fmt: skip
    kinds = {
        "name": pa.string(),
        "value": pa.float64(),
        "unit": pa.string(),
        "better": pa.string(),
        "about": pa.string(),
    }
    pa_csv.write_csv(pa.Table.from_pylist(rows, pa.schema(kinds)), folder / "indicators.csv")
    columns = [_column(name, name, "double" if name == "value" else "string") for name in kinds]
    return _table("indicators.csv", "numbers by which the run is judged", columns, ["name"])


def _write_events(run: Run, folder: Path) -> dict[str, Any]:
    events = run.result.events
    stamps = [time.isoformat().replace("+00:00", "Z") for time in events["time"]]
    data = {"time": stamps} | {
        name: events[name].astype(str).tolist() for name in ("adapter", "kind", "element", "text")
    }
    pa_csv.write_csv(
        pa.table({name: pa.array(values, pa.string()) for name, values in data.items()}), folder / "events.csv"
    )
    columns = [_column(name, name, _TIME if name == "time" else "string") for name in data]
    return _table("events.csv", "what happened to elements", columns, [])


def _write_places(run: Run, folder: Path) -> dict[str, Any]:
    rows = [
        {"port": layer.port, "label": label, "name": layer.names.get(label), "geometry": shapely.to_wkt(shape, 7)}
        for layer in run.places.located
        for label, shape in run.places.shapes(layer).items()
    ]
    kinds = {name: pa.string() for name in ("port", "label", "name", "geometry")}
    pa_csv.write_csv(pa.Table.from_pylist(rows, pa.schema(kinds)), folder / "places.csv")
    columns = [_column(name, name, "string") for name in kinds]
    columns[-1] |= {"dc:description": "well-known text in degrees (WGS 84), longitude before latitude"}
    return _table("places.csv", "where elements are", columns, ["port", "label"])
