"""Where is a study's builder, and does it take what it will be given?

A run's process loads the builder anew, from its file or module: what a user's script does besides is not repeated.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias, get_type_hints

import pydantic

from cosim.core.errors import CosimError
from cosim.registry import load_file

from .factors import Factor, Level, StudyError

if TYPE_CHECKING:
    from cosim.scenario import Scenario

Build: TypeAlias = Callable[..., "Scenario"]


class InsideRun(BaseException):
    """Ends the loading of a script where it would start the study that the present run belongs to."""


@dataclass(frozen=True)
class BuilderPlace:
    """Where a builder is found again.

    Parameters
    ----------
    file
        The file that defines it.
    module
        Name to import it by; None for a script or a file.
    function
        Its name there.
    main
        Whether the file was the script that was run.
    """

    file: Path
    module: str | None
    function: str
    main: bool = False

    @property
    def name(self) -> str:
        """A short name: of the file, or of the registered scenario's module."""
        return self.file.stem

    def load(self) -> Build:
        """Import the builder.

        Raises
        ------
        CosimError
            If it is not there or does not load.
        """
        module = self._module()
        if self.main:
            sys.modules["__main__"] = module  # values that were pickled by the script say they come from there
        build = getattr(module, self.function, None)
        if not callable(build):
            raise CosimError(f"{self.file} has no {self.function}()")
        return build  # type: ignore[no-any-return]

    def _module(self) -> ModuleType:
        if self.module is None:
            return load_script(self.file)
        try:
            return importlib.import_module(self.module)
        except InsideRun:
            module = sys.modules[self.module] = load_script(self.file)
            return module


def load_script(file: Path) -> ModuleType:
    """Import a Python file up to where it would run a study, if it does.

    Raises
    ------
    CosimError
        If there is no such file, or it does not load.
    """
    try:
        return load_file(file)
    except InsideRun:
        # load_file's is the newest module of that file
        return next(m for m in reversed(sys.modules.values()) if getattr(m, "__file__", None) == str(file))


def place_of(build: Build | str) -> BuilderPlace:
    """Return where a builder is.

    Parameters
    ----------
    build
        The function, the name of a registered scenario, or ``FILE.py`` or ``FILE.py:function``.

    Raises
    ------
    CosimError
        If it is none of these, or a run's process could not import it.
    """
    if isinstance(build, str):
        return _named(build)
    name = getattr(build, "__qualname__", "")
    module = sys.modules.get(getattr(build, "__module__", ""))
    file = getattr(module, "__file__", None)
    if module is None or file is None or not name.isidentifier() or getattr(module, name, None) is not build:
        raise CosimError(
            f"the builder {name or build!r} cannot be imported by the process of a run: define it with def at the top "
            "of a file"
        )
    path = Path(file).resolve()
    own = module.__name__ in ("__main__", "__mp_main__")
    importable = not own and not module.__name__.startswith("cosim_scenario_")
    return BuilderPlace(path, module.__name__ if importable else None, name, main=own)


def _named(target: str) -> BuilderPlace:
    points = {point.name: point for point in entry_points(group="cosim.scenarios")}
    if target in points:
        found = importlib.import_module(points[target].module)
        return BuilderPlace(Path(str(found.__file__)).resolve(), points[target].module, "build")
    file, _, function = target.partition(":")
    if not file.endswith(".py"):
        raise CosimError(f"there is no scenario {target!r}: there are {', '.join(sorted(points))}, or name a file.py")
    if not Path(file).is_file():
        raise CosimError(f"there is no file {file}")
    return BuilderPlace(Path(file).resolve(), None, function or "build")


def checked(build: Build, name: str, factors: Mapping[str, Factor], *, n_seeds: int) -> dict[str, Factor]:
    """Return the factors with their levels as the builder's annotations make them.

    Raises
    ------
    StudyError
        Every factor that the builder does not take, every level not of its type, every parameter left out.
    """
    signature = inspect.signature(build)
    known = dict(signature.parameters)
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
    hints = get_type_hints(build, include_extras=True)
    names = [n for n, p in known.items() if p.kind is not inspect.Parameter.VAR_KEYWORD and n != "seed"]
    problems, found = [], {}
    for factor in factors.values():
        if factor.name not in names and not takes_all:
            problems.append(f"{name} has no parameter {factor.name!r}: there are {', '.join(names) or 'none'}")
            continue
        levels = []
        for level in factor.levels:
            try:
                levels.append(Level(_typed(level.value, hints.get(factor.name, Any)), level.label))
            except pydantic.ValidationError as error:
                reason = error.errors()[0]["msg"]
                problems.append(f"{factor.name}={level.label} does not fit {name}: {reason[0].lower()}{reason[1:]}")
        found[factor.name] = replace(factor, levels=tuple(levels))
    problems += [
        f"{name} needs {n}: give it a value or levels"
        for n in names
        if known[n].default is inspect.Parameter.empty and n not in factors
        and known[n].kind is not inspect.Parameter.VAR_POSITIONAL
    ]  # fmt: skip
    if "seed" not in known and not takes_all and n_seeds > 1:
        problems.append(f"{name} takes no seed, so {n_seeds} seeds would give the same run: add a parameter seed")
    if problems:
        raise StudyError(problems)
    return found


def _typed(value: Any, hint: Any) -> Any:
    try:
        adapter = pydantic.TypeAdapter(hint)
        return adapter.validate_python(value)
    except pydantic.ValidationError:
        raise
    except (pydantic.errors.PydanticUserError, TypeError):  # a type that only its own code can check
        return value


def packed(values: Mapping[str, Any]) -> bytes:
    """Return values as bytes for the process of a run, where `call` takes them.

    Raises
    ------
    CosimError
        If a value cannot be sent.
    """
    try:
        return pickle.dumps(dict(values), protocol=5)
    except Exception as error:
        raise CosimError(f"the values cannot be sent to the process of a run: {error}") from error


def call(build: Build, name: str, values: bytes, labels: Mapping[str, Any], seed: int) -> Scenario:
    """Build the scenario of a run.

    Parameters
    ----------
    build
        The builder.
    name
        What the scenario is called if it has no name.
    values
        What `packed` returned, in a process that has loaded the builder.
    labels
        The values as they are shown.
    seed
        Seed of every draw.

    Raises
    ------
    CosimError
        If the builder does not return a scenario.
    """
    from cosim.scenario import Scenario

    arguments = pickle.loads(values)
    parameters = inspect.signature(build).parameters
    if "seed" in parameters or any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        arguments["seed"] = seed
    scenario = build(**arguments)
    if not isinstance(scenario, Scenario):
        raise CosimError(f"{name} returned a {type(scenario).__name__}: a builder must return a Scenario")
    if scenario.name == "scenario":
        scenario.name = name
    scenario.seed = seed
    # what the scenario itself says of a parameter, such as its policies, tells more than a label
    scenario.parameters = json.loads(json.dumps({**labels, "seed": seed} | scenario.parameters, default=str))
    return scenario
