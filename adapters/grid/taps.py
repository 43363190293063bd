"""Tap changers of nets: what older and newer files leave out, and characteristics over the tap position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .net import Note, labels

_TABLES = {"trafo": "transformer", "trafo3w": "three-winding transformer"}
_FROM_TABLE = {
    "trafo": ("voltage_ratio", "angle_deg", "vk_percent", "vkr_percent"),
    "trafo3w": ("voltage_ratio", "angle_deg", *(f"{v}_{s}_percent" for s in ("hv", "mv", "lv") for v in ("vk", "vkr"))),
}


def repair_taps(net: Any) -> Iterator[Note]:
    """Complete the tap data of older files, in place, and yield an event for each change that affects results.

    pandapower ignores a tap position where ``tap_changer_type`` is None, as simbench 1.6.3 writes it (0.017 pu wrong),
    and the flag ``tap_phase_shifter`` of files before version 3 where there is a type at all.
    """
    for table in _TABLES:
        frame = net[table]
        if "tap_dependency_table" not in frame:
            frame["tap_dependency_table"] = False
        for tap in ("tap", "tap2"):
            kind = f"{tap}_changer_type"
            if kind not in frame:
                if tap == "tap2" and "tap2_pos" not in frame:
                    continue
                frame[kind] = None
            if f"{tap}_side" not in frame or f"{tap}_pos" not in frame:
                continue
            yield from _complete(frame, table, tap, kind)
    star = net.trafo3w
    if {"tap_at_star_point", "tap_step_degree", "tap_pos"} <= set(star):
        # pandapower computes NaN for a ratio at the star point without an angle, and ignores it.
        lost = star.tap_at_star_point.eq(True) & star.tap_step_degree.isna() & star.tap_pos.notna()
        for name in np.array(labels(star, _TABLES["trafo3w"]), dtype=object)[lost.to_numpy(bool)]:
            yield "repaired", str(name), "tap_step_degree was empty at the star point, which loses the tap: set to 0"
        star["tap_step_degree"] = star.tap_step_degree.mask(lost, 0.0)


def _complete(frame: pd.DataFrame, table: str, tap: str, kind: str) -> Iterator[Note]:
    percent, degree = (_step(frame, f"{tap}_step_{unit}") for unit in ("percent", "degree"))
    mute = (frame[kind].isna() & frame[f"{tap}_side"].notna() & frame[f"{tap}_pos"].notna()).to_numpy(bool)
    if tap == "tap":
        mute &= ~frame["tap_dependency_table"].eq(True).to_numpy(bool)
    flag = f"{tap}_phase_shifter"
    ideal = frame[flag].eq(True).to_numpy(bool) if flag in frame else np.zeros(len(frame), bool)
    ideal |= (percent == 0) & (degree != 0)
    names = np.array(labels(frame, _TABLES[table]), dtype=object)
    for word, at in (("Ratio", mute & ~ideal & (percent != 0)), ("Ideal", mute & ideal)):
        frame[kind] = frame[kind].astype(object).mask(at, word)
        for name in names[at]:
            yield "repaired", str(name), f"{kind} was empty although tap data exist: set to {word!r}"
    if tap == "tap":
        moved = _step(frame, "tap_pos") != _step(frame, "tap_neutral")
        deaf = frame[kind].eq("Tabular") & ~frame["tap_dependency_table"].eq(True)
        for name in names[deaf.to_numpy(bool) & moved]:
            yield "tap ignored", str(name), "tap_changer_type is 'Tabular' but tap_dependency_table is not set"


def _step(frame: pd.DataFrame, column: str) -> Any:
    return frame[column].astype(float).fillna(0.0).to_numpy() if column in frame else np.zeros(len(frame))


def tap_problems(net: Any) -> Iterator[str]:
    """Yield every transformer whose tap data contradict each other or miss a row of their characteristic."""
    for table in _TABLES:
        frame = net[table]
        name = dict(zip(frame.index, labels(frame, table)))
        for tap in ("tap", "tap2"):
            if f"{tap}_changer_type" not in frame:
                continue
            percent, degree = (_step(frame, f"{tap}_step_{unit}") for unit in ("percent", "degree"))
            both = frame[f"{tap}_changer_type"].eq("Ideal").to_numpy(bool) & (percent != 0) & (degree != 0)
            for index in frame.index[both]:
                yield (
                    f"net.{table} {name[index]!r} has an ideal phase shifter with {tap}_step_percent and "
                    f"{tap}_step_degree: give one of them, the other 0"
                )
        for index in _dependent(net, table):
            number, position = frame.at[index, "id_characteristic_table"], frame.at[index, "tap_pos"]
            where = f"net.{table} {name[index]!r} depends on a tap table"
            rows = _rows(net, number)
            lost = [column for column in _FROM_TABLE[table] if column not in rows or rows[column].isna().any()]
            if not len(rows):
                yield f"{where}, but net.trafo_characteristic_table has no id_characteristic {number}: complete it"
            elif not (rows.step == position).any():
                yield (
                    f"{where} without its tap_pos = {position}: net.trafo_characteristic_table must have a row for "
                    f"id_characteristic {number} and this step"
                )
            elif lost:
                yield f"{where}, which lacks {', '.join(lost)}: complete net.trafo_characteristic_table"
        if table == "trafo" and "tap_dependent_impedance" in frame:
            for index in frame.index[frame.tap_dependent_impedance.eq(True) & ~_by_table(frame)]:
                yield (
                    f"net.trafo {name[index]!r} has tap_dependent_impedance without a characteristic of vk_percent or "
                    "vkr_percent in net.characteristic: name one, or set it to False"
                )
        if "tap_dependent_impedance" in net.trafo3w and table == "trafo3w":
            for index in frame.index[frame.tap_dependent_impedance.eq(True) & ~_by_table(frame)]:
                yield (
                    f"net.trafo3w {name[index]!r} has tap_dependent_impedance, which pandapower 3 replaced: fill "
                    "net.trafo_characteristic_table and set tap_dependency_table"
                )


def own_characteristics(net: Any) -> Iterator[Note]:
    """Give every transformer a characteristic table of its own, in place; yield an event for what was translated.

    pandapower takes the impedance of all transformers with one ``id_characteristic_table`` from the row of one of them,
    wherever the others' taps are; and it ignores ``tap_dependent_impedance``, of files before version 3, where there is
    a ``tap_dependency_table``.
    """
    yield from _translated(net)
    users = [(table, index) for table in _TABLES for index in _dependent(net, table)]
    seen: set[Any] = set()
    for table, index in users:
        number = net[table].at[index, "id_characteristic_table"]
        if number in seen:
            _give(net, table, index, _rows(net, number))
        seen.add(number)


def _translated(net: Any) -> Iterator[Note]:
    frame = net.trafo
    if "tap_dependent_impedance" not in frame:
        return
    names = dict(zip(frame.index, labels(frame, "transformer")))
    for index in frame.index[frame.tap_dependent_impedance.eq(True) & ~_by_table(frame)]:
        row = frame.loc[index]
        if not (curves := _curves(net, row)):
            continue  # a problem
        ends = [row.tap_pos, *row[["tap_min", "tap_max"]].dropna()]
        steps = sorted({*np.arange(min(ends), max(ends) + 1), row.tap_pos})
        rows = pd.DataFrame({"step": steps})
        moved = rows.step - float(np.nan_to_num(row.tap_neutral))
        rows["voltage_ratio"], rows["angle_deg"] = _ratio_and_angle(row, moved.to_numpy(float))
        for column in ("vk_percent", "vkr_percent"):
            values = [float(curves[column](step)) for step in steps] if column in curves else row[column]
            rows[column] = values
        _give(net, "trafo", index, rows)
        frame.loc[index, "tap_dependency_table"] = True
        yield "repaired", names[index], "tap_dependent_impedance was translated to a table over the tap position"


def _curves(net: Any, row: Any) -> dict[str, Any]:
    """Return the characteristics of a transformer's impedance over the tap position."""
    known = net.get("characteristic")
    numbers = {column: row.get(f"{column}_characteristic") for column in ("vk_percent", "vkr_percent")}
    return {
        column: known.at[int(number), "object"]
        for column, number in numbers.items()
        if known is not None and pd.notna(number) and int(number) in known.index
    }


def _ratio_and_angle(row: Any, moved: Any) -> tuple[Any, Any]:
    """Return ratio and angle [°] of a tap changer that has moved by steps, as pandapower computes them without a table.

    Parameters
    ----------
    row
        The transformer.
    moved : shape (n,)
        Steps from the neutral position.
    """
    percent, degree = (float(np.nan_to_num(row.get(f"tap_step_{unit}", 0.0))) for unit in ("percent", "degree"))
    if row.tap_changer_type == "Ideal":
        angle = moved * degree if degree else np.rad2deg(2 * np.arcsin(moved * percent / 200))
        return np.ones(len(moved)), angle
    if row.tap_changer_type not in ("Ratio", "Symmetrical"):
        return np.ones(len(moved)), np.zeros(len(moved))
    turned = 1 + moved * percent / 100 * np.exp(1j * np.deg2rad(degree))
    return np.abs(turned), np.rad2deg(np.arctan(turned.imag / turned.real))


def _give(net: Any, table: str, index: Any, rows: pd.DataFrame) -> None:
    known = net.get("trafo_characteristic_table")
    number = 0 if known is None or not len(known) else int(known.id_characteristic.max()) + 1
    rows = rows.assign(id_characteristic=number)
    both = [rows] if known is None or not len(known) else [known, rows]
    net["trafo_characteristic_table"] = pd.concat(both, ignore_index=True)
    if "id_characteristic_table" not in net[table]:
        net[table]["id_characteristic_table"] = pd.Series(pd.NA, index=net[table].index, dtype="Int64")
    net[table].loc[index, "id_characteristic_table"] = number


def _by_table(frame: pd.DataFrame) -> Any:
    if "tap_dependency_table" not in frame:
        return pd.Series(False, index=frame.index)
    return frame["tap_dependency_table"].eq(True)


def _dependent(net: Any, table: str) -> Sequence[Any]:
    """Return the indices of the transformers in service whose ratio and impedance are in a table."""
    frame = net[table]
    if not len(frame):
        return []
    on = frame.index[_by_table(frame) & frame.in_service.astype(bool)]
    return [] if "id_characteristic_table" not in frame else list(on)


def _rows(net: Any, number: Any) -> pd.DataFrame:
    known = net.get("trafo_characteristic_table")
    if known is None or pd.isna(number) or "id_characteristic" not in known:
        return pd.DataFrame()
    rows: pd.DataFrame = known[known.id_characteristic == number]
    return rows


def uncovered(net: Any, rows: Sequence[int]) -> Iterator[str]:
    """Yield a problem for every controlled two-winding transformer whose tap table lacks a position of its range."""
    names = labels(net.trafo, "transformer")
    dependent = set(_dependent(net, "trafo"))
    for row in rows:
        index = net.trafo.index[row]
        if index in dependent:
            low, high = net.trafo.loc[index, ["tap_min", "tap_max"]]
            steps = _rows(net, net.trafo.at[index, "id_characteristic_table"]).step.to_numpy(float)
            lost = [f"{step:g}" for step in np.arange(low, high + 1) if step not in steps]
            if lost:
                yield (
                    f"transformer {names[row]!r} depends on a tap table without the positions {', '.join(lost)}: "
                    "TapControl needs all from tap_min to tap_max"
                )
