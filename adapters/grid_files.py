"""How does a net come out of a file: pandapower's JSON, MATPOWER, CGMES, SimBench, without trusting the file?"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandapower as pp

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
            f"the grid {path} names {', '.join(foreign[:5])}: a grid file may only name classes of "
            "pandapower, and of "
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
    raise NotImplementedError


def read_cgmes(*paths: str | Path) -> Any:
    raise NotImplementedError


def read_simbench(code: str) -> Any:
    raise NotImplementedError
