"""The import of Python files and objects named by text, with errors in one line."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from cosim.core.errors import CosimError


@contextmanager
def faults_named(who: str, *, unless: bool = False) -> Iterator[None]:
    """Name what a user has written as the cause of unexpected errors in it, with the line.

    Parameters
    ----------
    who
        What is called, as the subject of the message.
    unless
        Leave the errors as they are.

    Raises
    ------
    CosimError
        If the block raises any other exception.
    """
    try:
        yield
    except CosimError:
        raise
    except (Exception, SystemExit) as error:
        if unless:
            raise
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise CosimError(
            f"{who} failed: {type(error).__name__}: {error} ({Path(frame.filename).name}, line {frame.lineno}); "
            "--debug shows the traceback"
        ) from error


def load_file(path: Path) -> ModuleType:
    """Import a Python file.

    Raises
    ------
    CosimError
        If the file does not exist or cannot be loaded.
    """
    if not path.is_file():
        raise CosimError(f"{path} does not exist")
    # A private name, which must be in sys.modules because dataclasses and pydantic look there.
    name = "cosim_scenario_" + re.sub(r"\W", "_", path.stem)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except CosimError:
        raise
    except (Exception, SystemExit) as error:
        raise CosimError(f"cannot load {path}: {type(error).__name__}: {error}") from error
    return module


def load_module(module: str) -> ModuleType:
    """Import a module that is installed or lies in the present folder.

    Raises
    ------
    CosimError
        If there is no such module, it does not load, or an installed one hides the one in the present folder.
    """
    search_here()
    found: ModuleType = _import(module, module)
    here = Path.cwd().joinpath(*module.split("."))
    for file in (here.with_suffix(".py"), here / "__init__.py"):
        if file.is_file() and Path(found.__file__ or "").resolve() != file.resolve():
            raise CosimError(
                f"{module!r} is {found.__file__ or 'built in'}, which hides {file.name} in this folder: give the file "
                "another name"
            )
    return found


def search_here() -> None:
    """Let modules be found in the present folder, after all others: a neighbour called json.py must hide nothing."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def load_object(target: str) -> Any:
    """Import the object ``module:name`` or ``path/file.py:name``; a file is imported by module name, as in workers.

    Raises
    ------
    CosimError
        If the module, file or name does not exist or cannot be loaded.
    """
    place, _, name = target.rpartition(":")
    if not place or not all(part.isidentifier() for part in name.split(".")):
        raise CosimError(f"{target!r} is not a target: write module:Class or path/file.py:Class")
    found: Any = _import_file(Path(place)) if place.endswith(".py") else load_module(place)
    for part in name.split("."):
        if not hasattr(found, part):
            known = ", ".join(sorted(n for n, value in vars(found).items() if _is_own(value, found))) or "none"
            raise CosimError(f"{place} has no {part!r}; available classes and functions: {known}")
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
                f"unknown module {shown!r}: install it, or name the file, as in path/file.py:Class"
            ) from error
        raise CosimError(f"cannot load {shown}: {error}; install the missing module") from error
    except (Exception, SystemExit) as error:
        raise CosimError(f"cannot load {shown}: {type(error).__name__}: {error}") from error


def _import_file(path: Path) -> Any:
    if not path.is_file():
        raise CosimError(f"{path} does not exist")
    root, names = path.resolve().parent, [path.stem]
    while (root / "__init__.py").is_file():
        names.insert(0, root.name)
        root = root.parent
    sys.path.append(str(root))  # last: a neighbouring json.py must not shadow Python's own
    module = _import(".".join(names), str(path))
    if Path(module.__file__ or "").resolve() != path.resolve():
        raise CosimError(
            f"{path} cannot be imported as {module.__name__!r}, which is {module.__file__}: rename the file"
        )
    return module


def _is_own(value: object, module: object) -> bool:
    return callable(value) and getattr(value, "__module__", None) == getattr(module, "__name__", None)
