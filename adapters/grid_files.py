"""How does a net come out of a file: pandapower's JSON, MATPOWER, CGMES, SimBench, without trusting the file?"""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Any

import pandapower as pp
from defusedxml import ElementTree

from cosim.core import InputFileError


def read_net(path: str | Path) -> Any:
    """Read a net from pandapower's JSON, after checking what the file would make pandapower import.

    ``pandapower.from_json`` imports the modules that a file names, so the text is walked first, strings that
    hold JSON included: only pandapower's own classes and the pandas, numpy and networkx ones that it writes
    may be named.

    Raises
    ------
    InputFileError
        If the file is missing, no such JSON, or names anything else.
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
        raise InputFileError(f"the grid {path} holds no pandapower net: write it with pandapower.to_json(net, path)")
    try:
        net = pp.from_json_string(text, convert=True)
    except Exception as error:
        raise InputFileError(f"pandapower cannot read the grid {path}: {error}") from error
    return net


def _named(text: str) -> Iterator[tuple[object, object]]:
    """Yield every (module, class) that pandapower would look up; every repetition of a key counts."""
    found: list[tuple[object, object]] = []

    def visit(value: object, must_parse: bool = False) -> None:
        if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
            try:
                json.loads(value, object_pairs_hook=pairs)
            except ValueError:
                if must_parse:  # another parser might read what this one cannot
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
            if key == "_object" and "DataFrame" in kinds and not (
                isinstance(value, str) and value.lstrip()[:1] in ("{", "[")
            ):
                found.append(("a table in another file", value))  # pandas would open it

    json.loads(text, object_pairs_hook=pairs)
    yield from found


def _trusted(module: object, kind: object) -> bool:
    if not (isinstance(module, str) and isinstance(kind, str)):
        return False
    return (module, kind) in {
        ("pandas", "DataFrame"), ("pandas.core.frame", "DataFrame"),
        ("pandas", "Series"), ("pandas.core.series", "Series"),
        ("numpy", "array"), ("numpy", "bool"), ("networkx", "MultiGraph"),
    } or (module.split(".")[0] == "pandapower" and kind not in ("function", "method", "exec"))  # fmt: skip




def read_matpower(path: str | Path, frequency_hz: float = 50.0) -> Any:
    """Read a MATPOWER case, version 2: ``.mat``, or ``.m`` with the extra ``grids``.

    A branch without rating gets pandapower's unlimited 99,999 kA; a case has no names.

    Raises
    ------
    InputFileError
        If the file is missing, no such case, or the extra is not installed.
    """
    path = _existing(path, (".m", ".mat"), "a MATPOWER case")
    from pandapower.converter.matpower import from_mpc

    return _converted(path, lambda: from_mpc(str(path), f_hz=frequency_hz))


def read_cgmes(*paths: str | Path) -> Any:
    """Read the profiles of a CGMES model, ``.xml`` files or ``.zip`` archives of them; needs the extra ``grids``.

    Raises
    ------
    InputFileError
        If a file is missing, declares document types or entities, or is no such model; or without the extra.
    """
    if not paths:
        raise InputFileError("read_cgmes was given no file: pass the profiles of one model, EQ, SSH, TP and SV")
    files = [_existing(path, (".xml", ".zip"), "a CGMES profile") for path in paths]
    for path in files:
        _forbid_declarations(path)
    try:
        from pandapower.converter.cim.cim2pp.from_cim import from_cim
    except ImportError as error:
        raise InputFileError(f"cannot read {files[0]}: CGMES needs lxml: pip install cosim[grids]") from error

    return _converted(files[0], lambda: from_cim(file_list=[str(path) for path in files], use_GL_or_DL_profile="none"))


def read_simbench(code: str) -> Any:
    """Return a SimBench grid by its code, as ``"1-LV-rural1--0-sw"``; needs the extra ``simbench``.

    SimBench 1.6 leaves ``tap_changer_type`` empty, which makes pandapower ignore the taps; `Grid` takes them as ratio
    changers and reports it.

    Raises
    ------
    InputFileError
        If there is no such code, or the extra is not installed.
    """
    try:
        import simbench
    except ImportError as error:
        raise InputFileError(f"SimBench grid {code!r}: SimBench is not there: pip install cosim[simbench]") from error
    if code not in simbench.collect_all_simbench_codes():
        near = get_close_matches(code, simbench.collect_all_simbench_codes(), 3)
        raise InputFileError(f"SimBench has no grid {code!r}: the nearest codes are {', '.join(near) or 'none'}")
    return _converted(code, lambda: simbench.get_simbench_net(code))


def _existing(path: str | Path, endings: tuple[str, ...], what: str) -> Path:
    path = Path(path)
    if path.suffix.lower() not in endings:
        raise InputFileError(f"{path} does not end in {' or '.join(endings)}: pass {what}")
    if not path.is_file():
        raise InputFileError(f"cannot read the grid {path}: there is no such file")
    return path


def _converted(source: object, convert: Callable[[], Any]) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the converters warn of pandas, not of the net
            net = convert()
    except Exception as error:
        raise InputFileError(f"pandapower cannot convert {source}: {type(error).__name__}: {error}") from error
    if net is None or not len(net.bus):
        raise InputFileError(f"{source} holds no bus: is it the whole model?")
    return net


def _forbid_declarations(path: Path) -> None:
    """Refuse XML with document types or entities, before another parser meets it."""

    def check(file: IO[bytes]) -> None:
        for _, element in ElementTree.iterparse(file, forbid_dtd=True):
            element.clear()

    try:
        if path.suffix.lower() == ".xml":
            with path.open("rb") as file:
                check(file)
            return
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.lower().endswith(".xml"):
                    with archive.open(name) as member:
                        check(member)
    except (ValueError, OSError, ElementTree.ParseError, zipfile.BadZipFile) as error:
        raise InputFileError(f"cannot read the CGMES profile {path}: {type(error).__name__}: {error}") from error
