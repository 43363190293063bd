"""Which scenarios, adapters and policies are installed, by whom, and what do their names stand for?

Packages register them in the entry point groups ``cosim.scenarios``, ``cosim.adapters`` and ``cosim.policies``. A
plug-in that does not load is named with its reason and disturbs nobody else.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from cosim.core.errors import CosimError

SCENARIOS, ADAPTERS, POLICIES = "cosim.scenarios", "cosim.adapters", "cosim.policies"
KINDS = {SCENARIOS: "scenario", ADAPTERS: "adapter", POLICIES: "policy"}


@dataclass(frozen=True, slots=True)
class Plugin:
    """A registered name: where it comes from, its docstring's first line, and why it does not load, if so."""

    name: str
    package: str
    about: str = ""
    problem: str = ""


def installed(group: str) -> Iterator[Plugin]:
    """Yield what is registered in a group, by name; what others have registered is imported to see that it loads."""
    for point in sorted(entry_points(group=group), key=lambda point: (point.name, _package(point))):
        try:
            about = _first_line(point)
            if _package(point) != "cosim":  # ours are tested: a list must not wait for SUMO and pandapower to load
                point.load()
        except (Exception, SystemExit) as error:
            yield Plugin(point.name, _package(point), problem=f"{type(error).__name__}: {error}")
        else:
            yield Plugin(point.name, _package(point), about)


def load(group: str, name: str, *, otherwise: str) -> Any:
    """Return what a name is registered for.

    Parameters
    ----------
    group, name
        The entry point group and the name in it.
    otherwise
        What else could have been written, for the message if nothing is registered by this name.

    Raises
    ------
    CosimError
        If nothing is registered by this name, or by two packages, or it does not load.
    """
    kind = KINDS[group]
    points = [point for point in entry_points(group=group) if point.name == name]
    if not points:
        known = ", ".join(sorted(point.name for point in entry_points(group=group)))
        raise CosimError(f"there is no {kind} {name!r}: there are {known}, or {otherwise}")
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
            f"the {kind} {name!r} of {_package(point)} does not load: {type(error).__name__}: {error}; mend or "
            f"uninstall {_package(point)}"
        ) from error


def load_object(target: str) -> Any:
    """Import what ``module:name`` or ``path/file.py:name`` names; a file is imported as workers do, by its module name.

    Raises
    ------
    CosimError
        If there is no such module, file or name, or it does not load.
    """
    place, _, name = target.rpartition(":")
    if not place or not all(part.isidentifier() for part in name.split(".")):
        raise CosimError(f"{target!r} names nothing to check: write module:Class or path/file.py:Class")
    found: Any = _import_file(Path(place)) if place.endswith(".py") else _import(place, place)
    for part in name.split("."):
        if not hasattr(found, part):
            known = ", ".join(sorted(n for n, value in vars(found).items() if _is_own(value, found))) or "none"
            raise CosimError(f"{place} has no {part!r}: its classes and functions are {known}")
        found = getattr(found, part)
    return found


def _import(module: str, shown: str) -> Any:
    try:
        return importlib.import_module(module)
    except CosimError:
        raise
    except ModuleNotFoundError as error:
        if error.name and f"{module}.".startswith(f"{error.name}."):
            raise CosimError(
                f"there is no module {shown!r}: install it, or name the file, as in path/file.py:Class"
            ) from error
        raise CosimError(f"{shown} does not load: {error}; install what it imports") from error
    except (Exception, SystemExit) as error:
        raise CosimError(f"{shown} does not load: {type(error).__name__}: {error}") from error


def _import_file(path: Path) -> Any:
    if not path.is_file():
        raise CosimError(f"there is no file {path}")
    root, names = path.resolve().parent, [path.stem]
    while (root / "__init__.py").is_file():
        names.insert(0, root.name)
        root = root.parent
    sys.path.append(str(root))  # last: a neighbour called json.py must hide nothing
    module = _import(".".join(names), str(path))
    if Path(module.__file__ or "").resolve() != path.resolve():
        raise CosimError(
            f"{path} cannot be imported as {module.__name__!r}, which is {module.__file__}: give the file another name"
        )
    return module


def _is_own(value: object, module: object) -> bool:
    return callable(value) and getattr(value, "__module__", None) == getattr(module, "__name__", None)


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "an unknown package"


def _first_line(point: EntryPoint) -> str:
    """Read, not imported: the first line of the docstring of a module, or of a class or function in it."""
    spec = importlib.util.find_spec(point.module)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {point.module!r}")
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8")) if spec.origin else ast.Module([], [])
    nodes: list[Any] = [tree] if not point.attr else [
        node for node in tree.body if getattr(node, "name", None) == point.attr
    ]  # fmt: skip
    return (ast.get_docstring(nodes[0]) or "").partition("\n")[0] if nodes else ""
