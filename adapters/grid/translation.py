"""Translation of nets: other versions, slack generators, options and controllers of pandapower."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import pandapower as pp
import pandas as pd
from pandapower.control import DiscreteTapControl

from cosim.core import ScenarioError

from .controls import TapControl
from .net import KNOWN, UNSUPPORTED, Note, labels, notes_on, problems_of
from .taps import own_characteristics, repair_taps, tap_problems

# Options that change the equations as pandapower states them; those that change only the way to the solution are ours.
_HONOURED = {
    "calculate_voltage_angles", "trafo_model", "trafo3w_losses", "switch_rx_ratio", "consider_line_temperature",
    "neglect_open_switch_branches", "distributed_slack", "tdpf", "enforce_q_lims", "enforce_p_lims",
}  # fmt: skip
_NUMERICAL = {
    "algorithm", "init", "init_vm_pu", "init_va_degree", "max_iteration", "tolerance_mva", "numba", "recycle",
    "lightsim2grid", "check_connectivity", "delta_q", "only_v_results", "use_umfpack", "permc_spec", "v_debug",
    "max_iteration_control", "mode", "ac", "run_control", "check",
}  # fmt: skip
_BESIDE = {"measurement", "controller", "group", "pwl_cost", "poly_cost"}
_LIKE_AN_ELEMENT = re.compile(r"(^|_)bus(_|$)")


def translated(net: Any, problems: list[str]) -> list[Note]:
    """Translate a net to what the grid solves, in place, and return an event for each change that affects results.

    Parameters
    ----------
    net
        The net.
    problems
        Those found so far.

    Raises
    ------
    ScenarioError
        With all problems, if there are any.
    """
    notes = [*updated(net)]
    problems += table_problems(net)
    if not problems:
        notes += [*slack_generators(net), *options_kept(net), *tables_beside(net)]
        problems += problems_of(net)
    if not problems:
        notes += [*repair_taps(net), *own_characteristics(net)]
        problems += tap_problems(net)
    if problems:
        raise ScenarioError(problems)
    return [*notes, *notes_on(net)]


def updated(net: Any) -> Iterator[Note]:
    """Bring a net of an older version to this one's form, in place, and yield an event for it.

    Raises
    ------
    ScenarioError
        If it is of a newer version, or pandapower cannot convert it.
    """
    before = str(net.get("format_version", net.get("version", "unknown")))
    try:
        if before != str(pp.__format_version__):
            pp.convert_format(net)
            yield "converted", "", f"the net's format {before} was converted to {pp.__format_version__}"
    except Exception as error:
        raise ScenarioError(
            f"net is of format {before}, which pandapower {pp.__version__} cannot convert: save it with this version "
            f"({error})"
        ) from error
    load = net.load
    for column in [f"const_{kind}_{part}_percent" for kind in "zi" for part in "pq"]:
        if column not in load:
            old = f"{column[:7]}_percent"
            load[column] = load[old].astype(float) if old in load else 0.0
            if old in load and load[old].any():
                yield "converted", "", f"net.load has {old} of older versions: taken as {column}"


def table_problems(net: Any) -> Iterator[str]:
    """Yield every table that is not one row an element, or is of a kind that the balance does not account for."""
    for table in sorted(name for name, frame in net.items() if isinstance(frame, pd.DataFrame)):
        frame = net[table]
        if table in KNOWN:
            if isinstance(frame.index, pd.MultiIndex) or isinstance(frame.columns, pd.MultiIndex):
                yield f"net.{table} has an index or columns of several levels: give every element one number and column"
            elif not frame.index.is_unique:
                twice = frame.index[frame.index.duplicated()][0]
                yield f"net.{table} has index {twice} more than once: give every element its own number"
        elif _is_element(table, frame) and "in_service" in frame and frame["in_service"].astype(bool).any():
            yield (
                f"the net has {int(frame['in_service'].astype(bool).sum())} {table} in service, which this version of "
                "pandapower and the grid do not know: replace them or take them out of service"
            )


def _is_element(table: str, frame: pd.DataFrame) -> bool:
    if table.startswith(("res_", "_")) or table in _BESIDE or table in UNSUPPORTED:
        return False
    return bool(len(frame)) and any(_LIKE_AN_ELEMENT.search(str(column)) for column in frame.columns)


def tables_beside(net: Any) -> Iterator[Note]:
    """Yield an event for every table that names buses but is no element."""
    for subject, text in net.get("left_out") or ():
        yield "left out", subject, text
    profiles = net.get("profiles")
    if isinstance(profiles, dict) and profiles:  # of SimBench
        yield "left out", "profiles", f"{len(profiles)} tables of time series: connect them to `power` as tables"
    for table, frame in net.items():
        is_table = table not in KNOWN and isinstance(frame, pd.DataFrame) and _is_element(table, frame)
        if is_table and "in_service" not in frame:
            yield "left out", table, f"{len(frame)} rows of a table that pandapower does not know"


def options_kept(net: Any) -> Iterator[Note]:
    """Remove options of ``user_pf_options`` that do not belong to the equations, in place; yield those that differ."""
    options = dict(net.get("user_pf_options") or {})
    if "voltage_depend_loads" in options and not options["voltage_depend_loads"]:
        columns = list(net.load.filter(regex="^const_"))
        if len(columns) and net.load[columns].to_numpy(float).any():
            net.load[columns] = 0.0
            yield "option", "voltage_depend_loads", "False: all loads draw constant power"
    for name, value in options.items():
        if name == "trafo_loading" and value != "current":
            yield "option", name, f"{value!r} is not used: loadings are currents over their limits"
        elif name not in _HONOURED | _NUMERICAL | {"trafo_loading", "voltage_depend_loads"}:
            yield "option", str(name), f"{value!r} is unknown and not used"
    net["user_pf_options"] = {name: value for name, value in options.items() if name in _HONOURED}


def slack_generators(net: Any) -> Iterator[Note]:
    """Replace generators with ``slack=True`` by external grids, in place, and yield an event for each.

    Both hold voltage and angle and take what the balance leaves; only an external grid has an import.
    """
    gen = net.gen
    if not len(gen) or "slack" not in gen:
        return
    slack = gen["slack"].eq(True) & gen["in_service"].astype(bool)
    names = dict(zip(gen.index, labels(gen, "generator")))
    for index in gen.index[slack & gen.bus.isin(net.bus.index)]:
        row = gen.loc[index]
        given = row.get("slack_weight")
        weight = float(given) if pd.notna(given) and given > 0 else 1.0
        pp.create_ext_grid(net, int(row.bus), vm_pu=row.vm_pu, va_degree=0.0, name=names[index], slack_weight=weight)
        gen.loc[index, "in_service"] = False
        yield "slack generator", names[index], "it takes what the balance leaves, so it is an external grid here"


def tap_controls(
    net: Any, names: list[str], given: Collection[str], supplied: Collection[int]
) -> tuple[list[TapControl], list[Note]]:
    """Translate the controllers of a net, and remove them from it.

    Parameters
    ----------
    net
        The net.
    names
        Names of its two-winding transformers.
    given
        Names of the transformers that are controlled otherwise.
    supplied
        Buses that have a voltage.

    Returns
    -------
    The controls of tap changers; and an event for each controller that was translated or left out.
    """
    found: dict[str, TapControl] = {}
    notes: list[Note] = []
    for index, row in net.controller.iterrows():
        kind = type(row.object).__name__
        about = f"controller {index}"
        if not bool(row.in_service):
            continue
        if not isinstance(row.object, DiscreteTapControl) or row.object.element != "trafo" or row.object.side != "lv":
            notes.append(("controller left out", about, f"{kind}{_acts_on(vars(row.object))} is not translated"))
            continue
        low, high = float(row.object.vm_lower_pu), float(row.object.vm_upper_pu)
        for element in np.atleast_1d(row.object.element_index).tolist():
            place = net.trafo.index.get_loc(element) if element in net.trafo.index else None
            name = f"transformer {element}" if place is None else names[place]
            if place is None or not net.trafo.in_service.iat[place] or net.trafo.lv_bus.iat[place] not in supplied:
                notes.append(("controller left out", about, f"{kind} of {name!r}, which is not in operation"))
            elif name in given or name in found:
                notes.append(("controller left out", about, f"{kind} of {name!r}, which has another control"))
            else:
                found[name] = TapControl(name, (low + high) / 2, (high - low) / 2)
                text = (
                    f"{kind} became a TapControl of {low:g} to {high:g} pu that moves once in {found[name].delay_s:g} s"
                )
                notes.append(("controller translated", name, text))
    net["controller"] = net.controller.iloc[:0]
    return list(found.values()), notes


def _acts_on(state: Mapping[str, Any]) -> str:
    """Return on what a controller acts, as far as it says."""
    what = state.get("element") or state.get("output_element") or ""
    where = next((state[key] for key in ("element_index", "output_element_index", "shunt_index") if key in state), "")
    variable = state.get("variable") or state.get("output_variable") or ""
    words = " ".join(str(word) for word in (f"net.{what}" if what else "", variable, where) if str(word))
    return f" of {words}" if words else ""
