"""Readers of grid files (pandapower JSON, MATPOWER, CGMES, SimBench) that do not trust the files."""

from __future__ import annotations

import json
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandapower as pp
import scipy.io
from defusedxml import ElementTree

from cosim.core import InputFileError

_PLAIN = {
    "builtins": ("tuple", "set", "frozenset"),
    "numpy": (
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64"),
    ),
    "pandas": ("Index",),
}
"""Plain values, as pandapower writes them for controllers and tables of one's own."""


def read_net(path: str | Path) -> Any:
    """Read a net from pandapower's JSON after checking which modules it would make pandapower import.

    ``pandapower.from_json`` imports the modules named in a file, so the text is checked first, including strings that
    contain JSON: it may name only pandapower's own classes and the pandas, numpy and networkx classes that
    pandapower writes.

    Raises
    ------
    InputFileError
        If the file is missing, is not such JSON, or names any other class.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        named = set(_named(text))
    except OSError as error:
        raise InputFileError(f"cannot read the grid {path}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise InputFileError(
            f"the grid {path} is not JSON: write it with pandapower.to_json(net, path) ({error})"
        ) from error
    foreign = sorted(f"{module}.{kind}" for module, kind in named if not _trusted(module, kind))
    if foreign:
        raise InputFileError(
            f"the grid {path} names {', '.join(foreign[:5])}: a grid file may only name classes of pandapower, and of "
            "pandas, numpy and networkx as pandapower.to_json writes them; nothing was loaded"
        )
    if ("pandapower.auxiliary", "pandapowerNet") not in named:
        raise InputFileError(f"the grid {path} is not a pandapower net: write it with pandapower.to_json(net, path)")
    try:
        net = pp.from_json_string(text, convert=True)
    except Exception as error:
        raise InputFileError(f"pandapower cannot read the grid {path}: {error}") from error
    return net


def _named(text: str) -> Iterator[tuple[object, object]]:
    """Yield every (module, class) that pandapower would look up, including repeated keys."""
    found: list[tuple[object, object]] = []

    def visit(value: object, must_parse: bool = False) -> None:
        if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
            try:
                json.loads(value, object_pairs_hook=pairs)
            except ValueError:
                if must_parse:  # another parser might accept what this one rejects
                    raise
        elif isinstance(value, list):
            for each in value:
                visit(each)

    def pairs(items: list[tuple[str, object]]) -> None:
        modules = [v for k, v in items if k == "_module"]
        kinds = [v for k, v in items if k == "_class"] or [""]
        found.extend((module, kind) for module in modules for kind in kinds)
        for key, value in items:
            visit(value, must_parse=key == "_object")
            if (
                key == "_object"
                and "DataFrame" in kinds
                and not (isinstance(value, str) and value.lstrip()[:1] in ("{", "["))
            ):
                found.append(("a table in another file", value))  # pandas would open it

    json.loads(text, object_pairs_hook=pairs)
    yield from found


def _trusted(module: object, kind: object) -> bool:
    if not (isinstance(module, str) and isinstance(kind, str)):
        return False
    if module in _PLAIN and kind in _PLAIN[module]:
        return True
    return (module, kind) in {
        ("pandas", "DataFrame"),
        ("pandas.core.frame", "DataFrame"),
        ("pandas", "Series"),
        ("pandas.core.series", "Series"),
        ("numpy", "array"),
        ("numpy", "bool"),
        ("networkx", "MultiGraph"),
    } or (module.split(".")[0] == "pandapower" and kind not in ("function", "method", "exec"))


def read_matpower(path: str | Path, frequency_hz: float = 50.0) -> Any:
    """Read a MATPOWER case, version 2: ``.mat``, or ``.m`` with the extra ``grids``.

    A branch without rating gets pandapower's placeholder of 99,999 kA; a case has no names.

    Raises
    ------
    InputFileError
        If the file is missing or not such a case, has DC lines in service, which pandapower's converter drops, or the
        extra is not installed.
    """
    path = _existing(path, (".m", ".mat"), "a MATPOWER case")
    from pandapower.converter.matpower import from_mpc

    net = _converted(path, lambda: from_mpc(str(path), f_hz=frequency_hz))
    lines = _dc_lines(path)
    if lines:
        raise InputFileError(
            f"{path} has {lines} DC lines in service (mpc.dcline), which pandapower's converter drops: remove them "
            "there and create them with pandapower.create_dcline"
        )
    return net


def _dc_lines(path: Path) -> int:
    """Return the number of DC lines in service of a MATPOWER case."""
    if path.suffix.lower() == ".mat":
        case = scipy.io.loadmat(path, squeeze_me=True, struct_as_record=False)["mpc"]
        rows = np.atleast_2d(np.asarray(getattr(case, "dcline", np.zeros((0, 3))), dtype=float))
    else:
        code = re.sub(r"%.*", "", path.read_text(encoding="utf-8", errors="replace"))
        found = re.search(r"mpc\.dcline\s*=\s*\[([^\]]*)\]", code)
        lines = [line.split() for line in re.split(r"[;\n]", found[1].replace(",", " "))] if found else []
        rows = np.array([[float(word) for word in line[:3]] for line in lines if line]).reshape(-1, 3)
    return int((rows[:, 2] != 0).sum()) if rows.size else 0


_CGMES_DROPPED = (
    "Fuse", "Jumper", "Recloser", "Sectionaliser", "Cut", "Clamp", "CompositeSwitch", "EquivalentShunt",
    "FrequencyConverter",
)  # fmt: skip
"""Classes that carry current, but of which pandapower's converter makes no element."""
_CGMES_SIMPLER = {
    "LoadResponseCharacteristic": "loads draw constant power, whatever their voltage",
    "MutualCoupling": "lines are not coupled",
    "VoltageLimit": "the grid's voltage_band_pu is watched instead",
}
"""Classes of which the converter makes nothing, and what that means."""


def read_cgmes(*paths: str | Path) -> Any:
    """Read the profiles of a CGMES model, ``.xml`` files or ``.zip`` archives of them; needs the extra ``grids``.

    What pandapower's converter warns of or makes nothing of is in ``net["left_out"]``, which `Grid` reports.

    Raises
    ------
    InputFileError
        If a file is missing, declares document types or entities, is not such a model, or has equipment that the
        converter drops; or without the extra.
    """
    if not paths:
        raise InputFileError("read_cgmes got no file: pass the profiles of one model, EQ, SSH, TP and SV")
    files = [_existing(path, (".xml", ".zip"), "a CGMES profile") for path in paths]
    found: Counter[str] = Counter()
    for path in files:
        found += _classes(path)
    if dropped := [f"{found[name]} {name}" for name in _CGMES_DROPPED if found[name]]:
        raise InputFileError(
            f"{files[0]} has {', '.join(dropped)}, which pandapower's converter drops: write them as another class, a "
            "Fuse as a Breaker or Switch"
        )
    try:
        from pandapower.converter.cim.cim2pp.from_cim import from_cim
    except ImportError as error:
        raise InputFileError(f"cannot read {files[0]}: CGMES needs lxml: pip install 'cosim-city[grids]'") from error

    net = _converted(files[0], lambda: from_cim(file_list=[str(path) for path in files], use_GL_or_DL_profile="none"))
    net["left_out"] = [
        (name, f"{found[name]} of the model: {text}") for name, text in _CGMES_SIMPLER.items() if found[name]
    ]
    net["left_out"] += [
        ("conversion", report.message)
        for report in net.report_container.get_logs()
        if report.level.name in ("WARNING", "ERROR", "EXCEPTION")
    ]
    return net


def read_simbench(code: str) -> Any:
    """Return a SimBench grid by its code, e.g. ``"1-LV-rural1--0-sw"``; needs the extra ``simbench``.

    SimBench 1.6 leaves ``tap_changer_type`` empty, which makes pandapower ignore the taps; `Grid` treats them as ratio
    changers and reports it.

    Raises
    ------
    InputFileError
        If the code is unknown, or the extra is not installed.
    """
    try:
        import simbench
    except ImportError as error:
        raise InputFileError(f"SimBench grid {code!r} needs SimBench: pip install 'cosim-city[simbench]'") from error
    if code not in simbench.collect_all_simbench_codes():
        near = get_close_matches(code, simbench.collect_all_simbench_codes(), 3)
        raise InputFileError(f"unknown SimBench grid {code!r}: the nearest codes are {', '.join(near) or 'none'}")
    return _converted(code, lambda: simbench.get_simbench_net(code))


def _existing(path: str | Path, endings: tuple[str, ...], what: str) -> Path:
    path = Path(path)
    if path.suffix.lower() not in endings:
        raise InputFileError(f"{path} does not end in {' or '.join(endings)}: pass {what}")
    if not path.is_file():
        raise InputFileError(f"cannot read the grid {path}: the file does not exist")
    return path


def _converted(source: object, convert: Callable[[], Any]) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the converters warn of pandas, not of the net
            net = convert()
    except Exception as error:
        raise InputFileError(f"pandapower cannot convert {source}: {type(error).__name__}: {error}") from error
    if net is None or not len(net.bus):
        raise InputFileError(f"{source} has no bus: is the model complete?")
    return net


def _classes(path: Path) -> Counter[str]:
    """Count the objects of every class; refuse XML with document types or entities before any other parser reads it."""
    found: Counter[str] = Counter()

    def check(file: IO[bytes]) -> None:
        for _, element in ElementTree.iterparse(file, forbid_dtd=True):
            if any(key.endswith("}ID") for key in element.attrib):
                found[element.tag.rpartition("}")[2]] += 1
            element.clear()

    try:
        if path.suffix.lower() == ".xml":
            with path.open("rb") as file:
                check(file)
            return found
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.lower().endswith(".xml"):
                    with archive.open(name) as member:
                        check(member)
    except (ValueError, OSError, ElementTree.ParseError, zipfile.BadZipFile) as error:
        raise InputFileError(f"cannot read the CGMES profile {path}: {type(error).__name__}: {error}") from error
    return found
