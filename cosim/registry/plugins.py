"""Installed scenarios, adapters and policies, by their registered names.

Packages register them in the entry point groups ``cosim.scenarios``, ``cosim.adapters`` and ``cosim.policies``. A
plug-in that cannot be loaded is listed with the reason and does not affect the others.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from cosim.core.arguments import did_you_mean
from cosim.core.errors import CosimError

SCENARIOS, ADAPTERS, POLICIES = "cosim.scenarios", "cosim.adapters", "cosim.policies"
KINDS = {SCENARIOS: "scenario", ADAPTERS: "adapter", POLICIES: "policy"}


@dataclass(frozen=True, slots=True)
class Plugin:
    """A registered name with its package, the first line of its docstring, and the reason if it cannot be loaded."""

    name: str
    package: str
    about: str = ""
    problem: str = ""


def installed(group: str) -> Iterator[Plugin]:
    """Yield the plug-ins of a group by name; those of other packages are imported to check that they load."""
    for point in sorted(entry_points(group=group), key=lambda point: (point.name, _package(point))):
        try:
            about = _first_line(point)
            if _package(point) != "cosim-city":  # our own are tested, and loading SUMO and pandapower would be slow
                point.load()
        except (Exception, SystemExit) as error:
            yield Plugin(point.name, _package(point), problem=f"{type(error).__name__}: {error}")
        else:
            yield Plugin(point.name, _package(point), about)


def load(group: str, name: str, *, otherwise: str) -> Any:
    """Return the object that is registered under a name.

    Parameters
    ----------
    group, name
        The entry point group and the name in it.
    otherwise
        The alternative to a registered name, for the error message.

    Raises
    ------
    CosimError
        If the name is unknown, registered by two packages, or cannot be loaded.
    """
    kind = KINDS[group]
    points = [point for point in entry_points(group=group) if point.name == name]
    if not points:
        known = ", ".join(sorted(point.name for point in entry_points(group=group)))
        meant = did_you_mean(name, [point.name for point in entry_points(group=group)])
        raise CosimError(f"unknown {kind} {name!r}{meant}; available: {known}; or {otherwise}")
    if len(points) > 1:
        packages = " and ".join(sorted(map(_package, points)))
        raise CosimError(f"{packages} both register the {kind} {name!r}: uninstall one of them")
    [point] = points
    try:
        return point.load()
    except CosimError:
        raise
    except (Exception, SystemExit) as error:
        raise CosimError(
            f"cannot load the {kind} {name!r} of {_package(point)}: {type(error).__name__}: {error}; fix or uninstall "
            f"{_package(point)}"
        ) from error


def is_registered(group: str, name: str) -> bool:
    """Return whether an object is registered under a name."""
    return any(point.name == name for point in entry_points(group=group))


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "an unknown package"


def _first_line(point: EntryPoint) -> str:
    """Read, without importing, the first line of the docstring of a module, or of a class or function in it."""
    return _read_first_line(point.module, point.attr)


def _read_first_line(module: str, name: str) -> str:
    spec = importlib.util.find_spec(module)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {module!r}")
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8")) if spec.origin else ast.Module([], [])
    if not name:
        return (ast.get_docstring(tree) or "").partition("\n")[0]
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n")[0]
        if isinstance(node, ast.ImportFrom) and node.module and any(alias.name == name for alias in node.names):
            home = f"{module}.{node.module}" if node.level else node.module
            return _read_first_line(home, name)
    return ""
