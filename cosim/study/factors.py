"""The factors of a study: values, policies or distributions, each with a label."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import inspect
import json
import math
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pydantic

from cosim.core.errors import ScenarioError


class StudyError(ScenarioError):
    """The problems of a study, collected before anything runs."""


@dataclasses.dataclass(frozen=True)
class Level:
    """One value of a factor.

    Parameters
    ----------
    value
        The value passed to the builder.
    label
        The label in tables: the value itself if it is a number or a text.
    """

    value: Any
    label: bool | int | float | str | None


@dataclasses.dataclass(frozen=True)
class Factor:
    """A parameter of the builder with its levels or its distribution.

    Parameters
    ----------
    name
        The builder's parameter.
    levels
        Its values; a single one if the parameter is not varied.
    distribution
        A frozen distribution from `scipy.stats`, instead of levels.
    """

    name: str
    levels: tuple[Level, ...] = ()
    distribution: Any = None

    @property
    def varied(self) -> bool:
        """Whether it takes more than one value."""
        return self.distribution is not None or len(self.levels) > 1

    def at(self, quantile: float) -> Level:
        """Return the level at a quantile of the distribution; listed levels are equally likely.

        Parameters
        ----------
        quantile
            Between 0 and 1.
        """
        if self.distribution is None:
            return self.levels[min(int(quantile * len(self.levels)), len(self.levels) - 1)]
        value = float(self.distribution.ppf(quantile))
        if hasattr(self.distribution.dist, "pmf"):
            return Level(int(value), int(value))
        return Level(value, value)

    def describe(self) -> str:
        """Return its levels or distribution as text."""
        if self.distribution is None:
            return ", ".join(str(level.label) for level in self.levels)
        return _distribution_text(self.distribution)


def factor(name: str, given: Any) -> Factor:
    """Return the factor described by the user's value.

    Parameters
    ----------
    name
        The builder's parameter.
    given
        A list, range or array of levels, a mapping of labels to levels, a frozen distribution from `scipy.stats`, or a
        single value; a tuple is a single value.

    Raises
    ------
    StudyError
        If there are no levels, two of them are equal, or one has no identity.

    Examples
    --------
    >>> factor("share", [0.0, 0.5]).levels[1]
    Level(value=0.5, label=0.5)
    >>> factor("blocks", (2, 3)).levels
    (Level(value=(2, 3), label='(2, 3)'),)
    """
    if hasattr(given, "ppf") and hasattr(given, "dist"):
        return Factor(name, distribution=given)
    if isinstance(given, Mapping):
        levels = tuple(Level(value, str(label)) for label, value in given.items())
    elif isinstance(given, (list, range, np.ndarray)):
        levels = tuple(Level(_plain(value), _label(value)) for value in given)
    else:
        levels = (Level(_plain(given), _label(given)),)
    if not levels:
        raise StudyError(f"{name} has no levels: pass at least one value")
    texts = []
    for level in levels:
        try:
            texts.append(json.dumps(canonical(level.value), sort_keys=True))
        except ValueError as error:
            raise StudyError(f"{name}={level.label}: {error}") from None
    for what, seen in (("values", texts), ("labels", [str(level.label) for level in levels])):
        if len(set(seen)) < len(seen):
            twice = next(str(level.label) for level, text in zip(levels, seen) if seen.count(text) > 1)
            raise StudyError(f"{name} has two levels with the same {what}, {twice}: list each once")
    return Factor(name, levels)


def canonical(value: Any) -> Any:
    """Return JSON data that is the same for equal values in every process.

    Raises
    ------
    ValueError
        If a value is not finite, or contains an object that cannot be identified by its content.

    Examples
    --------
    >>> canonical((1, {"b": 2.0, "a": None}))
    [1, {'a': None, 'b': 2.0}]
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value.value if isinstance(value, enum.Enum) else value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not finite: pass a finite number")
        return value
    if isinstance(value, (np.generic, np.ndarray)):
        return canonical(value.tolist())
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): canonical(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, (Sequence, set, frozenset)) and not isinstance(value, (bytes, bytearray)):
        content = [canonical(item) for item in value]
        return content if isinstance(value, Sequence) else sorted(content, key=json.dumps)
    return _object(value)


def _object(value: Any) -> Any:
    # By class name without the module: a script is __main__ when it is run but has a name when it is imported.
    if isinstance(value, (type, types.FunctionType)) and "<" not in value.__qualname__:
        return {"name": value.__qualname__}
    kind = {"class": type(value).__qualname__}
    if isinstance(value, enum.Enum):
        return kind | {"value": canonical(value.value)}
    if isinstance(value, pydantic.BaseModel):
        return kind | {"fields": canonical({name: getattr(value, name) for name in type(value).model_fields})}
    if dataclasses.is_dataclass(value):
        return kind | {"fields": canonical({f.name: getattr(value, f.name) for f in dataclasses.fields(value)})}
    if isinstance(value, functools.partial):
        return {"partial": canonical(value.func), "of": canonical([value.args, value.keywords])}
    if type(value).__module__ == "builtins" or not hasattr(value, "__dict__"):
        raise ValueError(
            f"a {type(value).__name__} cannot be identified by its content: pass numbers, texts, data classes or "
            "pydantic models"
        )
    return kind | {"fields": canonical(vars(value))}


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _label(value: Any) -> bool | int | float | str | None:
    value = _plain(value)
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def _distribution_text(distribution: Any) -> str:
    given = [f"{value:g}" for value in distribution.args]
    given += [f"{name}={value:g}" for name, value in distribution.kwds.items()]
    return f"{distribution.dist.name}({', '.join(given)})"


def fitted(build: Callable[..., Any], name: str, factors: Mapping[str, Factor], *, n_seeds: int) -> dict[str, Factor]:
    """Return the factors with their levels converted to the types in the builder's annotations.

    Raises
    ------
    StudyError
        If factors are unknown to the builder, levels have the wrong type, or required parameters are missing.
    """
    signature = inspect.signature(build)
    known = dict(signature.parameters)
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
    hints = get_type_hints(build, include_extras=True)
    names = [n for n, p in known.items() if p.kind is not inspect.Parameter.VAR_KEYWORD and n != "seed"]
    problems, found = [], {}
    for factor in factors.values():
        if factor.name not in names and not takes_all:
            problems.append(f"{name} has no parameter {factor.name!r}; available: {', '.join(names) or 'none'}")
            continue
        levels = []
        for level in factor.levels:
            try:
                levels.append(Level(_typed(level.value, hints.get(factor.name, Any)), level.label))
            except pydantic.ValidationError as error:
                reason = error.errors()[0]["msg"]
                problems.append(f"{factor.name}={level.label} does not fit {name}: {reason[0].lower()}{reason[1:]}")
        found[factor.name] = dataclasses.replace(factor, levels=tuple(levels))
    problems += [
        f"{name} needs {n}: pass a value or levels"
        for n in names
        if known[n].default is inspect.Parameter.empty
        and n not in factors
        and known[n].kind is not inspect.Parameter.VAR_POSITIONAL
    ]
    if "seed" not in known and not takes_all and n_seeds > 1:
        problems.append(f"{name} has no parameter seed, so {n_seeds} seeds would give the same run: add one")
    if problems:
        raise StudyError(problems)
    return found


def _typed(value: Any, hint: Any) -> Any:
    try:
        adapter = pydantic.TypeAdapter(hint)
        return adapter.validate_python(value)
    except pydantic.ValidationError:
        raise
    except (pydantic.errors.PydanticUserError, TypeError):  # a type that pydantic cannot check
        return value
