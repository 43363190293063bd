"""Typed parameters of builders, adapters and policies, parsed from text.

Types and limits come from the annotations in the signature of the function or class.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pydantic

from cosim.core.arguments import did_you_mean
from cosim.core.errors import ScenarioError

from . import plugins
from .files import faults_named, load_object

_REQUIRED = "(required)"
_SETTING = re.compile(r"\s*\w+\s*=")
_NEXT_SETTING = re.compile(r",(?=\s*\w+\s*=)")
_LIMITS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
_OUT_OF_RANGE = ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number")


def load_policy(text: str) -> Any:
    """Return the policy that a text describes.

    Parameters
    ----------
    text
        The policy, as in ``"EvShare"``, ``"path/file.py:Class"`` or ``"module:Class"``, followed by a colon and its
        parameters, separated by commas, as in ``"EvShare:share=0.4"``. The first ones need no names, as in
        ``"Retrofit:3,0.5"``.

    Raises
    ------
    CosimError
        If the policy or a parameter is unknown, or a value has the wrong type or is out of range.
    """
    target, given = _split_policy(text)
    policy = _policy_class(target)
    parameters = Parameters(target, policy, option=f"--policy {target}:")
    values = parameters.values(parameters.named(split_settings(given)) if given else [])
    with faults_named(f"--policy {target}", unless=":" not in target):
        return policy(**values)


def policy_parameters(text: str) -> tuple[str, list[tuple[str, str, str, str]]]:
    """Return the name of the policy that a text describes, and the rows of its parameters; see `Parameters.rows`."""
    target, _ = _split_policy(text)
    return target, Parameters(target, _policy_class(target)).rows()


def _policy_class(target: str) -> Any:
    if ":" in target:
        return load_object(target)
    otherwise = "write module:Class or path/file.py:Class"
    return plugins.load(plugins.POLICIES, target, otherwise=otherwise)


def _split_policy(text: str) -> tuple[str, str]:
    """Return the name or target of a policy, and its settings.

    >>> _split_policy("EvShare:0.4"), _split_policy("my.py:Trees:share=0.4"), _split_policy("xml.dom:Trees")
    (('EvShare', '0.4'), ('my.py:Trees', 'share=0.4'), ('xml.dom:Trees', ''))
    """
    name, _, rest = text.partition(":")
    attribute, _, given = rest.partition(":")
    is_module = not plugins.is_registered(plugins.POLICIES, name) and _is_importable(name)
    if (name.endswith(".py") or is_module) and attribute and all(part.isidentifier() for part in attribute.split(".")):
        return f"{name}:{attribute}", given
    return name, rest


def _is_importable(module: str) -> bool:
    package = module.partition(".")[0]
    return package.isidentifier() and importlib.util.find_spec(package) is not None


def split_settings(text: str) -> list[str]:
    """Split a text at the commas between settings; values may contain commas.

    >>> split_settings("blocks=2,2,share=0.4")
    ['blocks=2,2', 'share=0.4']
    """
    return _NEXT_SETTING.split(text)


def with_defaults(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with which a builder is called, given or by default, as plain JSON data.

    The default of ``policies`` is left out: a scenario records its policies itself.
    """
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not inspect.Parameter.empty and name != "policies"
    }
    return as_json(defaults | dict(given))


def as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as plain JSON data."""
    return json.loads(json.dumps(dict(values), default=_plain))  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    """Return JSON data for a value; an object is shown by its text, or by its class if that names a memory address."""
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "shape", None) == ():
        return item()
    text = str(value)
    return type(value).__qualname__ if " at 0x" in text else text


class Parameters:
    """The parameters of a function or class, and their values from text.

    Parameters
    ----------
    name
        Name in messages.
    function
        The function or class.
    own
        Parameters that cannot be set by text.
    option
        Prefix of a setting in messages.
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

    def named(self, settings: Sequence[str]) -> list[str]:
        """Return settings with the names of the parameters whose values are given by position, in their order.

        Values by position come before all others. One that is a list takes everything that is given so.

        Raises
        ------
        ScenarioError
            If there are more values than parameters, or a list is among several.
        """
        names = [row[0] for row in self.rows()]
        first, *others = settings
        if _SETTING.match(first) or not names:
            return list(settings)
        if _is_list(self._hints.get(names[0])):
            return [f"{names[0]}={first}", *others]
        values = first.split(",")
        if len(values) > len(names):
            raise ScenarioError([f"{self._option}{first}: {len(values)} values for {', '.join(names)}"])
        if lists := [name for name in names[1 : len(values)] if _is_list(self._hints.get(name))]:
            raise ScenarioError([f"{self._option}{first}: {lists[0]} is a list: write {lists[0]}=…"])
        return [*(f"{name}={value}" for name, value in zip(names, values)), *others]

    def values(self, settings: Sequence[str]) -> dict[str, Any]:
        """Return the values of settings of the form ``name=value``.

        Raises
        ------
        ScenarioError
            If settings are unknown, duplicate, of the wrong type or out of range, or a required one is missing. A
            number must be finite unless its parameter is annotated with ``pydantic.AllowInfNan(True)``.
        """
        known = {name: hint for name, hint, *_ in self.rows()}
        values: dict[str, Any] = {}
        problems = []
        for setting in settings:
            name, equals, text = setting.partition("=")
            if not equals:
                problems.append(f"{self._option}{setting}: write NAME=VALUE")
            elif name in values:
                problems.append(f"duplicate setting {self._option}{name}: pass it once")
            elif name not in known:
                meant = did_you_mean(name, known)
                problems.append(
                    f"{self.name} has no parameter {name!r}{meant}; available: {', '.join(known) or 'none'}"
                )
            else:
                rule = self._rules.get(name, Any)
                try:
                    values[name] = _parse(text, rule)
                except pydantic.ValidationError as error:
                    values[name] = text
                    problems.append(f"{self._option}{setting} {_fault(error, known[name], rule)}{_remedy(text, rule)}")
                except pydantic.PydanticUserError:
                    problems.append(f"{name} is a {known[name]}, which cannot be set by text: pass it in a function")
        for name, _, default, _ in self.rows():
            if default == _REQUIRED and name not in values and not problems:
                problems.append(f"{self.name} needs {name}: pass {self._option}{name}=…")
        if problems:
            raise ScenarioError(problems)
        return values


def _hints(function: Any, *, include_extras: bool = False) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=include_extras)
    except NameError:  # an annotation that only type checkers can resolve
        return {}


def _is_list(hint: Any) -> bool:
    """Return whether a value of this type may contain commas."""
    return hint in (list, tuple) or get_origin(hint) in (list, tuple) or any(map(_is_list, get_args(hint)))


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
    """Return a description of an invalid value."""
    first = error.errors()[0]
    if get_origin(rule) is Literal:
        choices = [str(choice) for choice in get_args(rule)]
        return f"is none of {', '.join(choices)}{did_you_mean(str(first['input']), choices)}"
    if first["type"] not in _OUT_OF_RANGE:
        return f"is not {type_name}: {first['msg'][0].lower()}{first['msg'][1:]}"
    return f"is out of range: it must be {' and '.join(_limits(rule)) or 'a finite number'}"


def _remedy(text: str, rule: Any) -> str:
    """Return how to write several numbers, where only one is written or a cross is between two.

    >>> _remedy("3x3", tuple[int, int]), _remedy("4", tuple[int, int]), _remedy("much", float)
    ('; write 3,3', '; write 2 values, as in 4,4', '')
    """
    if pair := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*[xX×]\s*(\d+(?:\.\d+)?)\s*", text):
        return f"; write {pair[1]},{pair[2]}"
    parts = get_args(rule)
    if get_origin(rule) is tuple and ... not in parts and re.fullmatch(r"\d+(?:\.\d+)?", text):
        return f"; write {len(parts)} values, as in {','.join([text] * len(parts))}"
    return ""


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
