"""What is measured in place of what a model computes: element by element, as a ratio, or as the total of a group."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from cosim.core import Adapter, CosimError, Input, Output, Step
from cosim.core.quantities import Vector

from .adapter import attribute
from .payload import FedPort
from .specification import Rule

_LEAST = 1e-9
"""Modelled values below this have no ratio to a measured one."""


@dataclass(frozen=True)
class StandIn:
    """A model's output that measured values replace or correct.

    Parameters
    ----------
    model
        Unit and labels of the model's output.
    labels
        Labels of the measured values: elements of the output, or groups of them.
    rule
        How they are applied.
    """

    model: FedPort
    labels: tuple[str, ...]
    rule: Rule


class Measured(Adapter):
    """Outputs of other adapters, corrected by what was measured.

    For every output, as in ``weather_temperature``, it receives ``…_model``, ``…_measured`` and ``…_known`` (1 where a
    measured value is known) and publishes ``weather_temperature``, of the same unit, sign (positive as there) and
    labels. Where nothing is known the model's value stays.

    ``replace`` takes measured elements as they are. ``ratio`` multiplies all elements by the measured over the modelled
    value of the first known element, and further outputs by the same: the sun's on façades by that on the horizontal,
    so that the sky keeps the model's shape. ``total`` scales the elements of a group so that their sum is as measured.
    Factors are kept within the rule's limits.

    Parameters
    ----------
    outputs
        The outputs by ``adapter.port``.

    Raises
    ------
    CosimError
        If an element of a group is unknown or in two groups.
    """

    replays: ClassVar[bool] = True

    def __init__(self, outputs: Mapping[str, StandIn]) -> None:
        self._stand_ins = dict(outputs)
        self._ports: dict[str, tuple[Input, Input, Input, Output]] = {}
        self._followers: dict[str, list[str]] = {}
        self._groups: dict[str, list[np.ndarray]] = {}
        factors = []
        for port, about in outputs.items():
            name, unit, labels = attribute(port), about.model.unit, about.model.labels
            measured = about.labels if about.rule.apply != "ratio" or port not in self._led(outputs) else ()
            ports = (
                Input(unit, labels),
                Input(unit, measured, default=0.0),
                Input("1", measured, default=0.0),
                Output(unit, labels, "mean"),
            )
            self._ports[port] = ports
            for port_name, one in zip((f"{name}_model", f"{name}_measured", f"{name}_known", name), ports):
                setattr(self, port_name, one)
            if about.rule.apply == "total":
                self._groups[port] = _members(port, about)
            if about.rule.apply != "replace" and port not in self._led(outputs):
                factors += [
                    f"{port}|{label}" for label in (about.labels if about.rule.apply == "total" else ("ratio",))
                ]
        self.factor = Output("1", factors, "mean")

    @staticmethod
    def _led(outputs: Mapping[str, StandIn]) -> set[str]:
        """Return the outputs that follow the ratio of another."""
        return {port for about in outputs.values() for port in about.rule.also if port in outputs}

    def advance(self, step: Step) -> None:
        """Correct the step's values."""
        factors: dict[str, float] = {}
        for port, about in self._stand_ins.items():
            model, measured, known, output = self._ports[port]
            if port in self._led(self._stand_ins):
                continue
            if about.rule.apply == "replace":
                absent = model.value if about.rule.default == "model" else about.rule.default
                output.value = np.where(known.value > 0.5, measured.value, absent)
            elif about.rule.apply == "ratio":
                factor = self._ratio(about, model.value, measured.value, known.value)
                factors[f"{port}|ratio"] = factor
                output.value = model.value * factor
                for other in about.rule.also:
                    self._ports[other][3].value = self._ports[other][0].value * factor
            else:
                value = model.value.copy()
                for label, rows, total, is_known in zip(about.labels, self._groups[port], measured.value, known.value):
                    modelled = float(value[rows].sum())
                    usable = is_known > 0.5 and abs(modelled) > _LEAST
                    factor = float(np.clip(total / modelled, *about.rule.ratio)) if usable else 1.0
                    value[rows] *= factor
                    factors[f"{port}|{label}"] = factor
                output.value = value
        self.factor.value = [factors[label] for label in self.factor.labels]

    @staticmethod
    def _ratio(about: StandIn, model: Vector, measured: Vector, known: Vector) -> float:
        for label, value, is_known in zip(about.labels, measured, known):
            modelled = model[about.model.labels.index(label)]
            if is_known > 0.5 and modelled > 1.0:  # at dawn a ratio means nothing
                return float(np.clip(value / modelled, *about.rule.ratio))
        return 1.0

    def save(self, folder: Path) -> None:
        """Save nothing: there is no state."""

    def load(self, folder: Path) -> None:
        """Load nothing: there is no state."""


def _members(port: str, about: StandIn) -> list[np.ndarray]:
    """Return the elements of every group."""
    groups, taken = [], dict[str, str]()
    for group in about.labels:
        found: list[str] = []
        for pattern in about.rule.groups[group]:
            matching = fnmatch.filter(about.model.labels, pattern)
            if not matching:
                raise CosimError(f"ports.{port}.groups.{group} names {pattern!r}, which no element of {port} matches")
            found += [label for label in matching if label not in found]
        for label in found:
            if label in taken:
                raise CosimError(
                    f"ports.{port}.groups: {label!r} is in {taken[label]} and {group}: an element has one group"
                )
            taken[label] = group
        groups.append(np.array([about.model.labels.index(label) for label in found]))
    return groups
