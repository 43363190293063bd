"""With which parameters is a scenario built, and how are they given as text?

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
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import pydantic

from cosim.core.errors import CosimError, ScenarioError

from . import plugins

if TYPE_CHECKING:
    from .scenario import Scenario

_REQUIRED = "(required)"
_NEXT_SETTING = re.compile(r",(?=\s*\w+\s*=)")
_LIMITS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
_OUT_OF_RANGE = ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number")


def load_builder(target: str) -> Builder:
    """Return the builder of a registered scenario or of a file.

    Raises
    ------
    CosimError
        If there is no such scenario or file, or it has no ``build``.
    """
    path = Path(target)
    if path.suffix != ".py":
        return Builder(target, plugins.load(plugins.SCENARIOS, target, otherwise="name a file.py"))
    return Builder(path.stem, load_file(path), source=target)


def load_file(path: Path) -> ModuleType:
    """Import a Python file.

    Raises
    ------
    CosimError
        If there is no such file, or it does not load.
    """
    if not path.is_file():
        raise CosimError(f"there is no file {path}")
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
    except (Exception, SystemExit) as error:
        raise CosimError(f"{path} does not load: {type(error).__name__}: {error}") from error
    return module


def load_policy(text: str) -> Any:
    """Return the policy that a text names, as in ``"EvShare:share=0.4"``; several parameters stand behind commas.

    Raises
    ------
    CosimError
        If there is no such policy or parameter, or a value is not of its type or out of range.
    """
    name, _, given = text.partition(":")
    policy = plugins.load(plugins.POLICIES, name, otherwise="build the scenario in Python")
    settings = _NEXT_SETTING.split(given) if given else []
    return policy(**Parameters(name, policy, option=f"--policy {name}:").values(settings))


class Parameters:
    """What a function or class can be called with, and the values that text gives them.

    Parameters
    ----------
    name
        What it is called in messages.
    function
        The function or class.
    own
        Parameters that are not set by text.
    option
        What stands before a setting, for messages.
    """

    def __init__(
        self, name: str, function: Callable[..., Any], own: Sequence[str] = (), option: str = "--set "
    ) -> None:
        self.name, self._function, self._own, self._option = name, function, own, option
        self.signature = inspect.signature(function)
        is_model = inspect.isclass(function) and issubclass(function, pydantic.BaseModel)
        annotated = function.__init__ if inspect.isclass(function) and not is_model else function
        self._hints = _hints(annotated)
        self._rules = _hints(annotated, include_extras=True)

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Return name, type with its limits, default and meaning of every parameter that can be set."""
        meanings = _meanings(inspect.getdoc(self._function) or "")
        rows = []
        for name, parameter in self.signature.parameters.items():
            if name in self._own or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                continue
            hint = self._hints.get(name, Any)
            needed = parameter.default is inspect.Parameter.empty
            shown = _REQUIRED if needed else str(parameter.default)
            kind = " ".join([_type_name(hint), " and ".join(_limits(self._rules.get(name)))]).rstrip()
            rows.append((name, kind, shown, meanings.get(name, "")))
        return rows

    def values(self, settings: Sequence[str]) -> dict[str, Any]:
        """Return the values of settings, ``name=value`` each.

        Raises
        ------
        ScenarioError
            Every setting that is unknown, given twice, not of its type or out of range, or the first one that is
            missing. A number is finite unless its parameter is annotated with ``pydantic.AllowInfNan(True)``.
        """
        known = {name: hint for name, hint, *_ in self.rows()}
        values: dict[str, Any] = {}
        problems = []
        for setting in settings:
            name, equals, text = setting.partition("=")
            if not equals:
                problems.append(f"{self._option}{setting}: write NAME=VALUE")
            elif name in values:
                problems.append(f"{self._option}{name} is given twice: give it once")
            elif name not in known:
                problems.append(f"{self.name} has no parameter {name!r}: there are {', '.join(known) or 'none'}")
            elif name in values:
                problems.append(f"{self._option}{name} is given twice: give it once")
            else:
                rule = self._rules.get(name, Any)
                try:
                    values[name] = _parse(text, rule)
                except pydantic.ValidationError as error:
                    values[name] = text
                    problems.append(f"{self._option}{setting} {_fault(error, known[name], rule)}")
                except pydantic.PydanticUserError:
                    problems.append(f"{name} is a {known[name]}, which no text can give: build it in a function")
        for name, _, default, _ in self.rows():
            if default == _REQUIRED and name not in values and not problems:
                problems.append(f"{self.name} needs {name}: pass {self._option}{name}=…")
        if problems:
            raise ScenarioError(problems)
        return values


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
        self._parameters = Parameters(name, build, own=("seed", "policies"))

    def parameters(self) -> list[tuple[str, str, str, str]]:
        """Return name, type, default and meaning of every parameter that can be set."""
        return self._parameters.rows()

    def __call__(self, settings: Sequence[str], policies: Sequence[str] = (), *, seed: int = 0) -> Scenario:
        """Build the scenario.

        Parameters
        ----------
        settings
            ``name=value`` each.
        policies
            Policies as `load_policy` reads them.
        seed
            Seed of every draw.

        Raises
        ------
        ScenarioError
            Every setting that is unknown or not of its type.
        """
        values = self._parameters.values(settings)
        if "seed" in self._parameters.signature.parameters:
            values["seed"] = seed
        if policies:
            if "policies" not in self._parameters.signature.parameters:
                raise CosimError(f"build() of {self.name} takes no policies: leave --policy out")
            values["policies"] = [load_policy(text) for text in policies]
        from .scenario import Scenario

        scenario = self._build(**values)
        if not isinstance(scenario, Scenario):
            raise CosimError(f"build() of {self.name} returned a {type(scenario).__name__}: it must return a Scenario")
        if scenario.name == "scenario":
            scenario.name = self.name
        scenario.seed = seed
        scenario.builder = {
            "target": self._target, "settings": list(settings), "policies": list(policies), "folder": str(Path.cwd()),
        }  # fmt: skip
        scenario.parameters = json.loads(json.dumps(scenario.parameters | values, default=str))
        return scenario


def _hints(function: Any, *, include_extras: bool = False) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=include_extras)
    except NameError:  # an annotation that only type checkers can resolve
        return {}


def _parse(text: str, hint: Any) -> Any:
    if hint is Any:
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):
            return text
    adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(hint, config=pydantic.ConfigDict(allow_inf_nan=False))
    try:
        return adapter.validate_strings(text)
    except pydantic.ValidationError as error:
        # Tuples and lists are written as in JSON or simply 4,4.
        written_out = text[:1] in ("[", "{")
        try:
            content = json.loads(text if written_out else f"[{text}]")
        except json.JSONDecodeError:
            if written_out:
                raise error from None
            content = [part.strip() for part in text.split(",")]
        if not isinstance(content, list) or not (written_out or "," in text):
            raise
        return adapter.validate_python(content)


def _fault(error: pydantic.ValidationError, type_name: str, rule: Any) -> str:
    """Return in words what is wrong with a value."""
    first = error.errors()[0]
    if first["type"] not in _OUT_OF_RANGE:
        return f"is not {type_name}: {first['msg'][0].lower()}{first['msg'][1:]}"
    return f"is out of range: it must be {' and '.join(_limits(rule)) or 'a finite number'}"


def _limits(rule: Any) -> list[str]:
    """Return the limits in an annotation, as in ``≥ 0``."""
    found = [
        f"{sign} {getattr(limit, word):g}"
        for field in getattr(rule, "__metadata__", ())
        for limit in getattr(field, "metadata", [field])
        for word, sign in _LIMITS.items()
        if hasattr(limit, word)
    ]
    return found or [limit for part in get_args(rule) for limit in _limits(part)]


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
