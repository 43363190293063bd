"""Builders of scenarios, found by name, file or function.

A builder is a function ``build(*, seed=0, policies=(), …) -> Scenario`` in a module registered in the entry point group
``cosim.scenarios``, or in any Python file. The process of a study's run loads it again from its file or module; the
rest of a user's script is not repeated.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from cosim.core.errors import CosimError
from cosim.engine.scenario import Scenario

from . import plugins
from .additions import add
from .files import faults_named, load_file, load_module, search_here
from .parameters import Parameters, as_json, load_policy, with_defaults

Build: TypeAlias = Callable[..., Scenario]


class InsideRun(BaseException):
    """Stops loading a script at the point where it would start the study that the current run belongs to."""


class Loading:
    """Whether scripts are loaded only for their builder or study, and must not run it."""

    only = False


@dataclass(frozen=True)
class BuilderPlace:
    """The location of a builder, by which another process finds it.

    Parameters
    ----------
    file
        The file that defines the builder.
    module
        Name of the module to import; None for a script or a file.
    function
        Name of the function.
    main
        Whether the file is the script that was run.
    registered
        The name under which it is registered as a scenario; empty if it is not registered.
    written
        ``module:function`` if it was named so; empty if not.
    """

    file: Path
    module: str | None
    function: str
    main: bool = False
    registered: str = ""
    written: str = ""

    @property
    def name(self) -> str:
        """A short name: the registered one, the module's, or the file's."""
        return self.registered or self.written.partition(":")[0].rpartition(".")[2] or self.file.stem

    @property
    def target(self) -> str:
        """The text by which `place_of` finds the builder in another process."""
        suffix = "" if self.function == "build" else f":{self.function}"
        return self.registered or self.written or f"{self.file}{suffix}"

    @property
    def is_own(self) -> bool:
        """Whether the builder is a part of cosim."""
        return self.module is not None and self.module.partition(".")[0] == "cosim"

    def load(self) -> Build:
        """Import the builder.

        Raises
        ------
        CosimError
            If it does not exist or cannot be loaded.
        """
        module = self._module()
        if self.main:
            sys.modules["__main__"] = module  # values pickled by the script refer to this module
        build = getattr(module, self.function, None)
        if not callable(build):
            where = self.registered or self.file
            raise CosimError(
                f"{where} has no {self.function}(): move the code that creates the scenario into "
                f"'def {self.function}(*, seed=0, policies=()): … return scenario', or run the file with python"
            )
        return build  # type: ignore[no-any-return]

    def _module(self) -> ModuleType:
        if self.module is None:
            return load_script(self.file)
        try:
            return load_module(self.module) if self.written else importlib.import_module(self.module)
        except InsideRun:
            module = sys.modules[self.module] = load_script(self.file)
            return module


def load_script(file: Path) -> ModuleType:
    """Import a Python file, up to the point where it would run a study, if any.

    Raises
    ------
    CosimError
        If the file does not exist or cannot be loaded.
    """
    try:
        return load_file(file)
    except InsideRun:
        # load_file has added the newest module of this file
        return next(m for m in reversed(sys.modules.values()) if getattr(m, "__file__", None) == str(file))


def place_of(build: Build | str) -> BuilderPlace:
    """Return the location of a builder.

    Parameters
    ----------
    build
        The function, the name of a registered scenario, ``FILE.py`` or ``FILE.py:function``, or ``module:function`` of
        a module that is installed or in the present folder.

    Raises
    ------
    CosimError
        If it is none of these, or the process of a run could not import it.
    """
    if isinstance(build, str):
        return _named(build)
    name = getattr(build, "__qualname__", "")
    module = sys.modules.get(getattr(build, "__module__", ""))
    file = getattr(module, "__file__", None)
    if module is None or file is None or not name.isidentifier() or getattr(module, name, None) is not build:
        raise CosimError(
            f"the builder {name or build!r} cannot be imported by the process of a run: define it with def at the top "
            "level of a file"
        )
    if not Path(file).is_file():
        raise CosimError(
            f"the builder {name} is defined in {file}, which the process of a run cannot read again: save the script "
            "to a file and run that"
        )
    path = Path(file).resolve()
    own = module.__name__ in ("__main__", "__mp_main__")
    importable = not own and not module.__name__.startswith("cosim_scenario_")
    return BuilderPlace(path, module.__name__ if importable else None, name, main=own)


def _named(target: str) -> BuilderPlace:
    file, colon, function = target.rpartition(":")
    if colon and not file.endswith(".py"):
        return _in_module(file, function)
    if not colon:
        file, function = target, "build"
    if not file.endswith(".py"):
        module = plugins.load(plugins.SCENARIOS, target, otherwise="name a file.py or a module:function")
        return BuilderPlace(Path(str(module.__file__)).resolve(), module.__name__, "build", registered=target)
    if not Path(file).is_file():
        raise CosimError(f"{file} does not exist")
    return BuilderPlace(Path(file).resolve(), None, function or "build")


def _in_module(module: str, function: str) -> BuilderPlace:
    search_here()
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise CosimError(
            f"there is no module {module!r}, neither installed nor in this folder: name a file.py:{function or 'build'}"
        )
    function = function or "build"
    return BuilderPlace(Path(spec.origin).resolve(), module, function, written=f"{module}:{function}")


class LoadedBuilder:
    """A loaded builder, called with values or with text that is checked against its signature.

    Parameters
    ----------
    place
        Its location.

    Raises
    ------
    CosimError
        If it does not exist or cannot be loaded.
    """

    def __init__(self, place: BuilderPlace) -> None:
        self.place, self.name = place, place.name
        self.build = place.load()
        self.parameters = Parameters(place.name, self.build, own=("seed", "policies"))

    def __call__(
        self,
        settings: Sequence[str],
        policies: Sequence[str] = (),
        *,
        seed: int = 0,
        adapters: Sequence[str] = (),
        connections: Sequence[str] = (),
    ) -> Scenario:
        """Build the scenario from text.

        Parameters
        ----------
        settings
            Settings of the form ``name=value``.
        policies
            Policies in the form that `load_policy` reads.
        seed
            Seed of all random draws.
        adapters, connections
            Additions to the scenario; see `cosim.registry.additions`.

        Raises
        ------
        ScenarioError
            If settings are unknown or of the wrong type.
        """
        values = self.parameters.values(settings)
        if policies:
            if "policies" not in self.parameters.signature.parameters:
                raise CosimError(
                    f"{self.place.function}() of {self.name} has no parameter policies: add 'policies=()' to it and "
                    "hand them on, as in 'return eixample.build(policies=policies, …)', or omit --policy"
                )
            values["policies"] = [load_policy(text) for text in policies]
        with faults_named(f"{self.place.function}() of {self.name}", unless=self.place.is_own):
            scenario = self._built(values, seed, self.name)
        add(scenario, adapters, connections)
        scenario.builder = {
            "target": self.place.target,
            "settings": list(settings),
            "policies": list(policies),
            "folder": str(Path.cwd()),
        }
        if adapters or connections:
            scenario.builder |= {"adapters": list(adapters), "connections": list(connections)}
        if "seed" in self.parameters.signature.parameters:
            values["seed"] = seed
        scenario.parameters = with_defaults(self.build, {}) | scenario.parameters | as_json(values)
        return scenario

    def from_values(self, values: bytes, labels: Mapping[str, Any], *, seed: int, name: str) -> Scenario:
        """Build the scenario of a study's run.

        Parameters
        ----------
        values
            Values from `packed`.
        labels
            The values as displayed.
        seed
            Seed of all random draws.
        name
            Name of the scenario if the builder sets none.

        Raises
        ------
        CosimError
            If the builder does not return a scenario.
        """
        scenario = self._built(pickle.loads(values), seed, name)
        # the scenario's own description of a parameter, such as its policies, is more precise than a label
        scenario.parameters = with_defaults(self.build, {**labels, "seed": seed}) | scenario.parameters
        return scenario

    def _built(self, values: Mapping[str, Any], seed: int, name: str) -> Scenario:
        taken = self.parameters.signature.parameters
        takes_seed = "seed" in taken or any(p.kind is inspect.Parameter.VAR_KEYWORD for p in taken.values())
        scenario = self.build(**values, **({"seed": seed} if takes_seed else {}))
        if not isinstance(scenario, Scenario):
            raise CosimError(
                f"{self.place.function}() of {self.name} returned a {type(scenario).__name__}: it must return a "
                "Scenario"
            )
        if scenario.name == "scenario":
            scenario.name = name
        scenario.seed = seed
        return scenario


def load_builder(target: str) -> LoadedBuilder:
    """Return the builder of a registered scenario, or of ``FILE.py``, ``FILE.py:function`` or ``module:function``.

    Raises
    ------
    CosimError
        If the scenario, the file or the function does not exist.
    """
    return LoadedBuilder(place_of(target))


def build_again(record: Mapping[str, Any], *, seed: int) -> Scenario:
    """Build the scenario of a run again, in the folder in which the run was started.

    Parameters
    ----------
    record
        ``builder`` of the run's provenance.
    seed
        Seed of all random draws.

    Raises
    ------
    CosimError
        If the builder, a file or the folder no longer exists.
    """
    if "live" in record:
        raise CosimError("a live run cannot be built or repeated here: its data came from outside; cosim live runs it")
    folder = Path(record["folder"])
    if not folder.is_dir():
        raise CosimError(f"{folder}, in which the run was started, does not exist: settings may contain relative paths")
    with contextlib.chdir(folder):
        return load_builder(record["target"])(
            record["settings"],
            record.get("policies", []),
            seed=seed,
            adapters=record.get("adapters", []),
            connections=record.get("connections", []),
        )


def packed(values: Mapping[str, Any]) -> bytes:
    """Return values as bytes for `LoadedBuilder.from_values` in the process of a run.

    Raises
    ------
    CosimError
        If a value cannot be sent.
    """
    try:
        return pickle.dumps(dict(values), protocol=5)
    except Exception as error:
        raise CosimError(f"the values cannot be sent to the process of a run: {error}") from error
