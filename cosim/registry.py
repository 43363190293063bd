"""Which scenarios are there, and with which parameters are they built?

A scenario is a module with ``build(*, seed=0, policies=(), …) -> Scenario``: registered in the entry point group
``cosim.scenarios``, or any Python file. Its signature is read, so that settings are typed and checked.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import pydantic

from cosim.core.errors import CosimError, ScenarioError

if TYPE_CHECKING:
    from .scenario import Scenario

_GROUP = "cosim.scenarios"
_OWN = ("seed", "policies")


def registered() -> dict[str, str]:
    """Return the registered scenarios by name with the first line of what they say of themselves."""
    found = {}
    for point in sorted(entry_points(group=_GROUP), key=lambda p: p.name):
        # Read, not imported: a list must not wait for SUMO and pandapower to load.
        spec = importlib.util.find_spec(point.module)
        text = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
        found[point.name] = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    return found


def load_builder(target: str) -> Builder:
    """Return the builder of a registered scenario or of a file.

    Raises
    ------
    CosimError
        If there is no such scenario or file, or it has no ``build``.
    """
    points = {point.name: point for point in entry_points(group=_GROUP)}
    if target in points:
        return Builder(target, points[target].load())
    path = Path(target)
    if path.suffix != ".py":
        raise CosimError(f"there is no scenario {target!r}: there are {', '.join(sorted(points))}, or name a file.py")
    if not path.is_file():
        raise CosimError(f"there is no file {target}")
    # A name of its own, importable by nobody else, yet in sys.modules: dataclasses and pydantic look there.
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
    except Exception as error:
        raise CosimError(f"{target} does not load: {type(error).__name__}: {error}") from error
    return Builder(path.stem, module, source=target)


class Builder:
    """Calls a module's ``build`` with settings that are checked against its signature."""

    def __init__(self, name: str, module: ModuleType, source: str | None = None) -> None:
        self.name, self._module = name, module
        self._target = name if source is None else str(Path(source).resolve())
        build = getattr(module, "build", None)
        if not callable(build):
            raise CosimError(
                f"{source or name} has no build(): move what makes the scenario into "
                "'def build(*, seed=0, policies=()): … return scenario', or run the file with python"
            )
        self._build = build
        self._signature = inspect.signature(build)
        self._hints = get_type_hints(build)
        self._rules = get_type_hints(build, include_extras=True)

    def parameters(self) -> list[tuple[str, str, str, str]]:
        """Return name, type, default and meaning of every parameter that can be set."""
        meanings = _meanings(inspect.getdoc(self._build) or "")
        rows = []
        for name, parameter in self._signature.parameters.items():
            if name in _OWN or parameter.kind is inspect.Parameter.VAR_KEYWORD:
                continue
            hint = self._hints.get(name, Any)
            needed = parameter.default is inspect.Parameter.empty
            shown = "(required)" if needed else str(parameter.default)
            rows.append((name, _type_name(hint), shown, meanings.get(name, "")))
        return rows

    def __call__(self, settings: Sequence[str], *, seed: int = 0) -> Scenario:
        """Build the scenario.

        Parameters
        ----------
        settings
            ``name=value`` each.
        seed
            Seed of every draw.

        Raises
        ------
        ScenarioError
            Every setting that is unknown or not of its type.
        """
        known = {name: hint for name, hint, *_ in self.parameters()}
        values: dict[str, Any] = {}
        problems = []
        for setting in settings:
            name, equals, text = setting.partition("=")
            if not equals:
                problems.append(f"--set {setting}: write NAME=VALUE")
            elif name not in known:
                problems.append(f"{self.name} has no parameter {name!r}: there are {', '.join(known) or 'none'}")
            else:
                try:
                    values[name] = _parse(text, self._rules.get(name, Any))
                except pydantic.ValidationError as error:
                    reason = error.errors()[0]["msg"]
                    problems.append(f"{name}={text} is not {known[name]}: {reason[0].lower()}{reason[1:]}")
        for name, _, default, _ in self.parameters():
            if default == "(required)" and name not in values and not problems:
                problems.append(f"{self.name} needs {name}: pass --set {name}=…")
        if problems:
            raise ScenarioError(problems)
        if "seed" in self._signature.parameters:
            values["seed"] = seed
        from .scenario import Scenario

        scenario = self._build(**values)
        if not isinstance(scenario, Scenario):
            raise CosimError(f"build() of {self.name} returned a {type(scenario).__name__}: it must return a Scenario")
        if scenario.name == "scenario":
            scenario.name = self.name
        scenario.seed = seed
        scenario.builder = {"target": self._target, "settings": list(settings), "folder": str(Path.cwd())}
        scenario.parameters = json.loads(json.dumps(scenario.parameters | values, default=str))
        return scenario


def _parse(text: str, hint: Any) -> Any:
    adapter = pydantic.TypeAdapter(hint)
    try:
        return adapter.validate_strings(text)
    except pydantic.ValidationError as error:
        # Tuples and lists are written as in JSON or simply 4,4.
        try:
            content = json.loads(text if text[:1] in "[{" else f"[{text}]")
        except json.JSONDecodeError:
            raise error from None
        if not isinstance(content, list) or (text[:1] not in "[{" and "," not in text):
            raise
        return adapter.validate_python(content)


def _type_name(hint: Any) -> str:
    text = str(hint) if get_args(hint) else getattr(hint, "__name__", str(hint))
    return re.sub(r"\b(?:[a-z_]+\.)+([A-Za-z])", r"\1", text)


def _meanings(document: str) -> dict[str, str]:
    """Return the first sentence on each parameter of a numpydoc docstring."""
    found: dict[str, str] = {}
    section = document.partition("Parameters\n----------\n")[2]
    section = re.split(r"\n\S[^\n]*\n-{3,}\n", section)[0]
    names: list[str] = []
    for line in section.splitlines():
        if line[:1].strip():
            names = [name.strip() for name in line.partition(":")[0].split(",")]
        elif names and line.strip():
            for name in names:
                found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return found
