"""CF-NetCDF: a file per output, as a discrete sampling geometry of time series.

CF conventions 1.8, chapter 9 (featureType timeSeries), 7.3 (cell methods) and 5.6 (grid mappings).
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import shapely

from cosim.core.errors import CosimError
from cosim.core.units import is_level, parse

from .run import Port, Run

if TYPE_CHECKING:
    from netCDF4 import Dataset

CONVENTIONS = "CF-1.8"
# UDUNITS has no unit of what is counted and none of money; its volt ampere is what var and VA are.
_COUNTED = ("vehicle", "person", "EUR", "pu")
_SYMBOLS = {
    "meter": "m", "kilogram": "kg", "gram": "g", "second": "s", "minute": "min", "hour": "h", "watt": "W", "joule": "J",
    "kelvin": "K", "degree_Celsius": "degC", "delta_degree_Celsius": "K", "volt": "V", "ampere": "A", "pascal": "Pa",
    "mole": "mol", "candela": "cd", "radian": "rad", "percent": "percent", "var": "V A", "VA": "V A",
}  # fmt: skip


def udunits(unit: str) -> tuple[str, list[str]]:
    """Return a unit as UDUNITS writes it, and the counted things that it leaves out.

    Raises
    ------
    CosimError
        If UDUNITS has no such unit.

    Examples
    --------
    >>> udunits("W/m**2"), udunits("vehicle/s"), udunits("var"), udunits("kWh")
    (('W m-2', []), ('s-1', ['vehicle']), ('V A', []), ('3600000 kg m2 s-2', []))
    """
    if is_level(unit):
        return "1", ["dB"]
    known, scale = parse(unit), ""
    if not {*known._units} <= {*_SYMBOLS, *_COUNTED}:
        root = (1 * known).to_base_units()
        known, scale = root.units, f"{root.magnitude:.12g} "
    counted = [name for name in known._units if name in _COUNTED]
    powers = {name: float(str(power)) for name, power in known._units.items()}
    parts = [(symbol, power) for name, power in powers.items() for symbol in _SYMBOLS.get(name, "").split()]
    if any(power != int(power) for _, power in parts) or not {*known._units} <= {*_SYMBOLS, *_COUNTED}:
        raise CosimError(f"{unit!r} has no equivalent in UDUNITS, which CF-NetCDF requires: export to csv instead")
    ordered = sorted(parts, key=lambda part: part[1] < 0)
    text = " ".join(symbol if power == 1 else f"{symbol}{int(power)}" for symbol, power in ordered)
    return scale + (text or "1"), counted


def write(run: Run, folder: Path) -> None:
    """Write every output that has elements."""
    counted: list[str] = []
    placeless = []
    for name in run.ports():
        port = run.port(name)
        unit, left = (port.term.udunits, []) if port.term.udunits else udunits(port.unit)
        counted += [one for one in left if one not in counted]
        if not port.shapes:
            placeless.append(name)
        write_port(run, port, unit, folder / f"{name}.nc")
    if counted:
        run.tell(f"UDUNITS has no {', '.join(counted)}: such units are written as 1, cosim_unit has them in full")
    if placeless:
        run.tell(f"{', '.join(placeless)}: elements without a place, written without a sampling geometry")
    run.tell("indicators, events, ledger: not in NetCDF; export to csv or ro-crate")


def write_port(run: Run, port: Port, unit: str, path: Path) -> None:
    """Write one output: dimensions station and time, with bounds for means and geometry where elements have a place."""
    from netCDF4 import Dataset  # of the extra "exports"

    with Dataset(path, "w", format="NETCDF4") as file:
        labels = [str(label) for label in port.values.columns]
        _globals(file, run, port)
        station, length = ("station", len(labels)), ("time", len(port.values))
        for dimension, size in (station, length):
            file.createDimension(dimension, size)
        _times(file, run, port)
        label = file.createVariable("label", str, ("station",))
        label[:] = np.array(labels, dtype=object)
        label.long_name = "label of the element"
        data = file.createVariable(
            port.name.replace(".", "_"),
            "f4",
            ("station", "time"),
            zlib=True,
            shuffle=True,
            fill_value=np.float32(np.nan),
        )
        data[:] = port.values.to_numpy(np.float32).T
        data.setncatts({"long_name": port.title, "units": unit, "cosim_unit": port.unit, "coordinates": "label"})
        if port.term.standard_name:
            data.standard_name = port.term.standard_name
        data.cell_methods = "time: mean" if port.kind == "mean" else "time: point"
        if port.shapes:
            label.cf_role = "timeseries_id"
            file.featureType = "timeSeries"
            data.coordinates = "lat lon label"
            data.grid_mapping = "crs"
            _geometry(file, data, port, labels)
            _grid_mapping(file)


def _globals(file: Dataset, run: Run, port: Port) -> None:
    file.setncatts(
        {
            "Conventions": CONVENTIONS,
            "title": f"{port.title}: {run.title}",
            "source": f"cosim {run.about['versions'].get('cosim', version('cosim-city'))}",
            "institution": "made with cosim, an open co-simulation framework",
            "history": f"{run.about.get('ended', '')} run; exported by cosim {version('cosim-city')}",
            "references": "run.json of the run holds its parameters, versions and input hashes",
            "license": " ".join(run.licence),
            "comment": "; ".join(run.attribution) or "made without data of others",
        }
    )


def _times(file: Dataset, run: Run, port: Port) -> None:
    """Write the ends of the steps, and the steps themselves as bounds of means."""
    seconds = ((port.values.index - run.start) / pd.Timedelta(1, "s")).to_numpy(float)
    time = file.createVariable("time", "f8", ("time",))
    time[:] = seconds
    units = f"seconds since {run.start.strftime('%Y-%m-%d %H:%M:%S')} UTC"
    time.setncatts(
        {"standard_name": "time", "long_name": "end of the step", "units": units, "calendar": "standard", "axis": "T"}
    )
    if port.kind == "mean":
        file.createDimension("bounds", 2)
        time.bounds = "time_bounds"
        bounds = file.createVariable("time_bounds", "f8", ("time", "bounds"))
        bounds[:] = np.column_stack([np.r_[0.0, seconds[:-1]], seconds])


def _geometry(file: Dataset, data: Any, port: Port, labels: list[str]) -> None:
    """Write a point for every station, and its line or outline as text."""
    shapes = [port.shapes[label] for label in labels]
    points = shapely.get_coordinates(shapely.point_on_surface(shapes))
    for axis, column, name, unit in (
        ("X", points[:, 0], "longitude", "degrees_east"),
        ("Y", points[:, 1], "latitude", "degrees_north"),
    ):
        variable = file.createVariable(name[:3], "f8", ("station",))
        variable[:] = column
        variable.setncatts(
            {"standard_name": name, "long_name": f"{name} of a point on it", "units": unit, "axis": axis}
        )
    if all(shape.geom_type == "Point" for shape in shapes):
        return
    # As text and not as a geometry container (7.5): compliance-checker 6.1 demands that the data have the dimension of
    # the container's nodes, which they have for no line or polygon.
    outline = file.createVariable("outline", str, ("station",))
    outline[:] = np.array(shapely.to_wkt(shapes, rounding_precision=7), dtype=object)
    outline.long_name = "geometry of the element as well-known text, longitude before latitude"
    data.coordinates += " outline"


def _grid_mapping(file: Dataset) -> None:
    crs = file.createVariable("crs", "i4", ())
    crs.setncatts(
        {
            "grid_mapping_name": "latitude_longitude",
            "long_name": "WGS 84",
            "semi_major_axis": 6378137.0,
            "inverse_flattening": 298.257223563,
            "longitude_of_prime_meridian": 0.0,
        }
    )
