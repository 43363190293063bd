"""What is a policy, and how does it change a city? Typed parameters, documented evidence, three hooks."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias

import pandas as pd
import shapely
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from cosim import CosimError, Scenario

if TYPE_CHECKING:
    from .city import City
    from .stock import Stock

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Hour: TypeAlias = Annotated[float, Field(ge=0, le=24)]


def _simple(corners: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    if corners and len(corners) < 3:
        raise ValueError(f"an outline of {len(corners)} corners holds no area: give three or more")
    if corners and not ((area := shapely.Polygon(corners)).is_valid and area.area > 0):
        raise ValueError("the outline crosses itself or has no area: draw it as a simple polygon")
    return corners


Polygon: TypeAlias = Annotated[tuple[tuple[float, float], ...], AfterValidator(_simple)]
"""An outline in a network's coordinates, a simple polygon; empty for none. [m]"""


class Policy(BaseModel):
    """A named change to a city; subclasses declare parameters as fields and write the hooks that they need.

    Parameters may be given by position, in the order of the fields, or by name. Policies are applied in the order in
    which they are given, hook by hook: first every `change_parameters`, then every `change_stock`, every `change_city`,
    and once the city is coupled every `change_scenario`.

    Raises
    ------
    CosimError
        If a parameter is unknown or out of range; with all that is wrong.

    Examples
    --------
    >>> class Trees(Policy):
    ...     "Plants trees along a share of the streets."
    ...
    ...     share: Share = 0.5
    >>> str(Trees(0.3))
    'Trees:share=0.3'
    >>> Trees(share=3)
    Traceback (most recent call last):
    cosim.core.errors.CosimError: Trees: share is 3: input should be less than or equal to 1
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    excludes: ClassVar[frozenset[str]] = frozenset()
    """Names of policies that decide the same and cannot be combined with this one."""

    def __init__(self, *values: Any, **parameters: Any) -> None:
        name, fields = type(self).__name__, list(type(self).model_fields)
        if len(values) > len(fields):
            raise CosimError(f"{name} takes {len(fields)} parameters ({', '.join(fields)}), got {len(values)}")
        given = dict(zip(fields, values))
        if twice := given.keys() & parameters.keys():
            raise CosimError(f"{name}: {min(twice)} is given by position and by name: give it once")
        try:
            super().__init__(**given, **parameters)
        except ValidationError as error:
            raise CosimError(f"{name}: " + "; ".join(_said(problem, fields) for problem in error.errors())) from None

    def change_parameters(self) -> dict[str, Any]:
        """Return what the scenario's ``build`` is called with instead."""
        return {}

    def change_stock(self, stock: Stock, sites: pd.DataFrame, seed: int) -> Stock:
        """Return the buildings as the policy leaves them, before people move in and drive; the grid is built already.

        Raises
        ------
        CosimError
            If there is no building that the policy could change.
        """
        return stock

    def change_city(self, city: City) -> City:
        """Return the city as the policy leaves it, before it is coupled.

        Raises
        ------
        CosimError
            If the city has nothing that the policy could change.
        """
        return city

    def change_scenario(self, scenario: Scenario, city: City) -> None:
        """Change the coupled scenario in place."""

    def __str__(self) -> str:
        settings = ",".join(f"{name}={_text(value)}" for name, value in self if value is not None)
        return f"{type(self).__name__}:{settings}" if settings else type(self).__name__


def _said(problem: Any, fields: Sequence[str]) -> str:
    where = ".".join(map(str, problem["loc"])) or "the whole"
    if problem["type"] == "extra_forbidden":
        return f"there is no parameter {where!r}: there are {', '.join(fields) or 'none'}"
    if problem["type"] == "missing":
        return f"{where} is missing: give it"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{where} is {problem['input']!r}: {message[0].lower()}{message[1:]}"


def _text(value: Any) -> str:
    return "[" + ",".join(map(_text, value)) + "]" if isinstance(value, tuple) else str(value)


def takes_policies(build: Callable[..., Scenario]) -> Callable[..., Scenario]:
    """Let policies change the parameters that a scenario is built with, and write them into its record.

    Raises
    ------
    CosimError
        When it is called with something that is no policy, with two of a kind or two that exclude each other, with a
        policy that needs a parameter which the scenario does not have, or with one that sets a parameter which is
        given otherwise.

    Notes
    -----
    Any object with `change_city` and `change_scenario` will do; the other hooks and `excludes` are optional.
    """

    @functools.wraps(build)
    def with_policies(*, policies: Sequence[Policy] = (), **parameters: Any) -> Scenario:
        policies = list(policies)
        _check(policies)
        known = inspect.signature(build).parameters
        changed: dict[str, Any] = {}
        for policy in policies:
            for name, value in getattr(policy, "change_parameters", dict)().items():
                if name not in known:
                    place = build.__module__.rpartition(".")[2]
                    raise CosimError(f"{policy} changes {name}, which {place} does not have: leave it out there")
                if name in changed:
                    raise CosimError(f"{policy} changes {name}, which another policy changes too: keep one of them")
                if parameters.get(name, value) != value:
                    raise CosimError(
                        f"{policy} sets {name} to {value}, but {name}={parameters[name]} is given too: leave one out"
                    )
                changed[name] = value
        scenario = build(policies=policies, **(parameters | changed))
        if policies:
            scenario.parameters = scenario.parameters | {"policies": [str(policy) for policy in policies]}
        return scenario

    return with_policies


def with_policies_built(policies: Sequence[Any], stock: Stock, sites: pd.DataFrame, seed: int) -> Stock:
    """Return the buildings of a city as its policies leave them, before people move in."""
    for policy in policies:
        stock = policy.change_stock(stock, sites, seed) if hasattr(policy, "change_stock") else stock
    return stock


def _check(policies: Sequence[Any]) -> None:
    for policy in policies:
        if not (hasattr(policy, "change_city") and hasattr(policy, "change_scenario")):
            raise CosimError(f"{policy!r} is no policy: it has no change_city and change_scenario; subclass Policy")
    names = [type(policy).__name__ for policy in policies]
    for number, policy in enumerate(policies):
        others = {*names[:number], *names[number + 1 :]}
        if names[number] in others:
            raise CosimError(f"{names[number]} is given twice: give it once, with what is meant")
        if clash := sorted(others & getattr(policy, "excludes", frozenset())):
            raise CosimError(f"{names[number]} and {clash[0]} decide the same: keep one of them")
