"""The base class of policies: typed parameters, documented evidence, and hooks that change a city."""

from __future__ import annotations

import functools
import gc
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeAlias

import pandas as pd
import shapely
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from cosim import CosimError, Scenario
from cosim.core.arguments import did_you_mean
from cosim.registry.parameters import with_defaults
from cosim.scenarios.buildings.stock import Stock
from cosim.scenarios.mobility.costs import TravelChanges
from cosim.scenarios.model import City

from .areas import one_outline, outlines

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Hour: TypeAlias = Annotated[float, Field(ge=0, le=24)]


def _simple(corners: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    if corners and len(corners) < 3:
        raise ValueError(f"an outline of {len(corners)} corners holds no area: give three or more")
    if corners and not ((area := shapely.Polygon(corners)).is_valid and area.area > 0):
        raise ValueError("the outline crosses itself or has no area: draw it as a simple polygon")
    return corners


Polygon: TypeAlias = Annotated[tuple[tuple[float, float], ...], BeforeValidator(one_outline), AfterValidator(_simple)]
"""An outline in a network's coordinates [m] or in degrees, or a GeoJSON file of one; empty for none."""
Polygons: TypeAlias = Annotated[
    tuple[Annotated[tuple[tuple[float, float], ...], AfterValidator(_simple)], ...], BeforeValidator(outlines)
]
"""Outlines, or a GeoJSON file of all of them."""


class Policy(BaseModel):
    """A named change to a city; subclasses declare parameters as fields and define the hooks that they need.

    Parameters can be given by position, in the order of the fields, or by name. Policies are applied in the given
    order, hook by hook: first every `change_parameters`, then every `change_stock`, every `change_travel` (where demand
    answers by mode), every `change_city`, and once the city is coupled every `change_scenario`.

    Raises
    ------
    CosimError
        If parameters are unknown or out of range; names all of them.

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
    """Names of policies that set the same thing and cannot be combined with this one."""

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
            raise CosimError(
                f"{name}: " + "; ".join(_problem_text(problem, fields) for problem in error.errors())
            ) from None

    def change_parameters(self) -> dict[str, Any]:
        """Return the parameters of the scenario's ``build`` that the policy replaces."""
        return {}

    def change_stock(self, stock: Stock, sites: pd.DataFrame, seed: int) -> Stock:
        """Return the changed buildings, before residents move in and drive; the grid is already built.

        Raises
        ------
        CosimError
            If there is no building that the policy could change.
        """
        return stock

    def change_travel(self, changes: TravelChanges, net: Path) -> TravelChanges:
        """Return what changes in the costs of travel, before anybody travels; only asked where demand answers by mode.

        Raises
        ------
        CosimError
            If there is nothing in the network that the policy could change.
        """
        return changes

    def change_city(self, city: City) -> City:
        """Return the changed city, before it is coupled.

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


def _problem_text(problem: Any, fields: Sequence[str]) -> str:
    where = ".".join(map(str, problem["loc"])) or "the whole"
    if problem["type"] == "extra_forbidden":
        return f"there is no parameter {where!r}{did_you_mean(where, fields)}; available: {', '.join(fields) or 'none'}"
    if problem["type"] == "missing":
        return f"{where} is missing: give it"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{where} is {problem['input']!r}: {message[0].lower()}{message[1:]}"


def _text(value: Any) -> str:
    return "[" + ",".join(map(_text, value)) + "]" if isinstance(value, tuple) else str(value)


class Policies(Sequence[Any]):
    """The policies of one scenario, in order; owns every hook.

    Parameters
    ----------
    policies
        Policies, or any objects with `change_city` and `change_scenario`; the other hooks and `excludes` are optional.

    Raises
    ------
    CosimError
        If an object is not a policy, or if two are of one kind or exclude each other.
    """

    def __init__(self, policies: Iterable[Any] = ()) -> None:
        self._policies = list(policies)
        _check(self._policies)

    @classmethod
    def of(cls, policies: Iterable[Any]) -> Policies:
        """Return the policies, checked once."""
        return policies if isinstance(policies, Policies) else cls(policies)

    def __getitem__(self, k: Any) -> Any:
        return self._policies[k]

    def __len__(self) -> int:
        return len(self._policies)

    def change_parameters(self, build: Callable[..., Scenario], given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters with which a builder is called.

        Raises
        ------
        CosimError
            If a policy changes a parameter that the builder does not have, that another policy also changes, or that
            is given with another value.
        """
        known = inspect.signature(build).parameters
        changed: dict[str, Any] = {}
        for policy in self._policies:
            for name, value in getattr(policy, "change_parameters", dict)().items():
                if name not in known:
                    place = build.__module__.rpartition(".")[2]
                    raise CosimError(f"{policy} changes {name}, which {place} does not have: leave it out there")
                if name in changed:
                    raise CosimError(f"{policy} changes {name}, which another policy changes too: keep one of them")
                if given.get(name, value) != value:
                    raise CosimError(
                        f"{policy} sets {name} to {value}, but {name}={given[name]} is given too: leave one out"
                    )
                changed[name] = value
        return {**given, **changed}

    def change_stock(self, stock: Stock, sites: pd.DataFrame, seed: int) -> Stock:
        """Return the buildings as changed by all policies, before residents move in."""
        for policy in self._policies:
            stock = policy.change_stock(stock, sites, seed) if hasattr(policy, "change_stock") else stock
        return stock

    def change_travel(self, changes: TravelChanges, net: Path) -> TravelChanges:
        """Return the costs of travel as changed by all policies."""
        for policy in self._policies:
            changes = policy.change_travel(changes, net) if hasattr(policy, "change_travel") else changes
        return changes

    def change_city(self, city: City) -> City:
        """Return the city as changed by all policies, before it is coupled."""
        for policy in self._policies:
            city = policy.change_city(city)
        return city

    def change_scenario(self, scenario: Scenario, city: City) -> None:
        """Change the coupled scenario in place, and record the policies in its parameters."""
        for policy in self._policies:
            policy.change_scenario(scenario, city)
        if self._policies:
            scenario.parameters = scenario.parameters | {"policies": [str(policy) for policy in self._policies]}


@contextmanager
def _uncollected() -> Iterator[None]:
    """Leave the search for circles out: building makes millions of objects that live on, searched again and again."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def takes_policies(build: Callable[..., Scenario]) -> Callable[..., Scenario]:
    """Let policies change the parameters that a scenario is built with; ``build`` receives them as `Policies`.

    The scenario records the parameters, given or by default, before the policies change them.
    """

    @functools.wraps(build)
    def with_policies(*, policies: Sequence[Policy] = (), **parameters: Any) -> Scenario:
        own = Policies.of(policies)
        with _uncollected():
            scenario = build(policies=own, **own.change_parameters(build, parameters))
        scenario.parameters = with_defaults(build, parameters) | scenario.parameters
        return scenario

    return with_policies


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
