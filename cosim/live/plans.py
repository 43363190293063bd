"""Plans for the hours ahead: inputs that take other values from now on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from cosim.adapters.feed.adapter import attribute
from cosim.adapters.feed.specification import Duration
from cosim.core.adapter import Adapter, Step, inputs
from cosim.core.arguments import did_you_mean
from cosim.core.errors import CosimError, ScenarioError
from cosim.core.ports import Input, Output
from cosim.core.quantities import Vector
from cosim.engine.scenario import Scenario
from cosim.registry.yaml_files import read_checked

PLAN, BASE = "plan", "base"


class Plan(BaseModel):
    """What a plan changes."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    set: Annotated[
        dict[str, float | dict[str, float]],
        Field(min_length=1, description="New values of inputs, of all elements or of those that are named."),
    ]
    about: str = ""


class Plans(BaseModel):
    """Plans that are compared with going on as now."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    ahead: Annotated[Duration, Field(gt=0, description="How far to look ahead. [s]")]
    plans: Annotated[dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")], Plan], Field(min_length=1)]


def read_plans(path: Path) -> Plans:
    """Return the plans that a YAML file describes.

    Raises
    ------
    InputFileError
        If the file is missing or not YAML.
    ScenarioError
        If its content is invalid.
    """
    found = read_checked(path, Plans, "plans are a mapping with ahead and plans, see docs/live.md", "live")
    if BASE in found.plans:
        raise ScenarioError([f"{path}: plans.{BASE}: the name of going on as now: choose another"])
    return found


class PlanInputs(Adapter):
    """The inputs that plans change: their defaults, or what a plan sets.

    Signs are those of the inputs (positive as there).

    Parameters
    ----------
    ports
        The inputs by ``adapter.port``.
    """

    replays: ClassVar[bool] = True

    def __init__(self, ports: Mapping[str, Input]) -> None:
        self._outputs: dict[str, Output] = {}
        self._values: dict[str, Vector] = {}
        for name, port in ports.items():
            assert port.default is not None
            self._outputs[name], self._values[name] = Output(port.unit, port.labels, "mean"), port.default
            setattr(self, attribute(name), self._outputs[name])

    def take(self, plan: Plan) -> None:
        """Set what a plan sets, from the next step on."""
        for name, change in plan.set.items():
            self._values[name] = changed(name, self._outputs[name].labels, self._values[name], change)

    def advance(self, step: Step) -> None:
        """Publish the values."""
        for name, output in self._outputs.items():
            output.value = self._values[name]

    def save(self, folder: Path) -> None:
        """Save nothing: there is no state."""

    def load(self, folder: Path) -> None:
        """Load nothing: there is no state."""


def changed(name: str, labels: tuple[str, ...], values: Vector, change: float | Mapping[str, float]) -> Vector:
    """Return values of which all, or those of some labels, are changed.

    Raises
    ------
    CosimError
        If a label is unknown.
    """
    if not isinstance(change, Mapping):
        return np.full(len(labels), float(change))
    found = values.copy()
    for label, value in change.items():
        if label not in labels:
            raise CosimError(f"plans set {name} of {label!r}: unknown element{did_you_mean(label, labels)}")
        found[labels.index(label)] = value
    return found


def attach_plans(scenario: Scenario, plans: Plans) -> None:
    """Connect the inputs that plans change to one adapter, which a forecast tells the plan.

    Raises
    ------
    ScenarioError
        If an input is unknown, has no default or receives something else, or an element is unknown.
    """
    known = {f"{n}.{p}": port for n, a in scenario.adapters.items() for p, port in inputs(a).items()}
    fed = {f"{c.target}.{c.input}": f"{c.source}.{c.output}" for c in scenario.connections}
    ports: dict[str, Input] = {}
    problems = []
    for plan, about in plans.plans.items():
        for name, change in about.set.items():
            port = known.get(name)
            if port is None:
                problems.append(f"plans.{plan} sets {name}: unknown input{did_you_mean(name, known)}")
            elif port.default is None or name in fed:
                held = fed.get(name, "a value of its own at every step")
                problems.append(f"plans.{plan} sets {name}, which receives {held}: set an input that has its default")
            else:
                ports[name] = port
                try:
                    changed(name, port.labels, port.default, change)
                except CosimError as error:
                    problems.append(str(error))
    if problems:
        raise ScenarioError(list(dict.fromkeys(problems)))
    scenario.add(steps=None, **{PLAN: PlanInputs(ports)})
    for name in ports:
        scenario.connect(f"{PLAN}.{attribute(name)}", name)
