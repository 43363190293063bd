"""How does an adapter of ours take part in anyone's plain mosaik scenario?

As a mosaik simulator with one entity that carries whole vectors, and one child entity per label that carries scalars,
so that elements can be connected one by one with the tools of mosaik's ecosystem.
"""

from __future__ import annotations

import copy
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import mosaik_api_v3
import numpy as np

from cosim.core.adapter import Adapter, Step, inputs, outputs
from cosim.core.errors import PortError
from cosim.core.ports import Vector

from .hosts import perform_advance, perform_open

_WHOLE, _ELEMENT = "Vector", "Element"


class AdapterSimulator(mosaik_api_v3.Simulator):  # type: ignore[misc]
    """One adapter behind mosaik's simulator interface; made by `as_mosaik`.

    Model ``Vector`` has every port as an attribute, with arrays of shape (n_labels,) as values. Its children, model
    ``Element``, have the label as entity id and each port that knows the label as an attribute, with floats. Values
    that several sources send to one attribute add up. The step at mosaik time t covers [t, t + step_s).
    """

    adapter: Adapter

    def __init__(self) -> None:
        self._adapter = copy.deepcopy(self.adapter)
        self._inputs, self._outputs = inputs(self._adapter), outputs(self._adapter)
        self._index: dict[str, dict[str, int]] = {
            name: {label: i for i, label in enumerate(port.labels)}
            for name, port in (self._inputs | self._outputs).items()
        }
        attributes = [*self._index]
        super().__init__(
            {
                "api_version": "3.0",
                "type": "time-based",
                "models": {
                    _WHOLE: {"public": True, "params": [], "attrs": attributes},
                    _ELEMENT: {"public": False, "params": [], "attrs": attributes},
                },
            }
        )
        self._whole = ""
        self._said: dict[str, Vector] = {}

    def init(self, sid: str, time_resolution: float = 1.0, step_s: float = 60.0, **parameters: Any) -> Any:
        """Open the adapter; ``step_s`` is the length of its steps. [s]"""
        self._step_ticks = round(step_s / time_resolution)
        if self._step_ticks < 1 or abs(self._step_ticks * time_resolution - step_s) > 1e-9:
            raise PortError(
                f"step_s is {step_s:g}: it must be a whole multiple of the time resolution, {time_resolution:g} s"
            )
        self._step_s = step_s
        self._scratch = tempfile.TemporaryDirectory(prefix="cosim-mosaik-")
        self._adapter.folder = Path(self._scratch.name)
        reply = perform_open(self._adapter)
        self._said = {name: np.full(len(port), np.nan) for name, port in self._outputs.items()} | reply.outputs
        return self.meta

    def create(self, num: int, model: str, **parameters: Any) -> list[dict[str, Any]]:
        """Create the one entity of the adapter, with a child for every label."""
        if num != 1 or model != _WHOLE or self._whole:
            raise PortError(f"{num} × {model} asked for: the adapter is one {_WHOLE}, created once")
        self._whole = "vector"
        labels = dict.fromkeys(label for index in self._index.values() for label in index)
        children = [{"eid": label, "type": _ELEMENT} for label in labels]
        return [{"eid": self._whole, "type": _WHOLE, "children": children}]

    def step(self, time: int, inputs: dict[str, Any], max_advance: int) -> int:
        """Advance the adapter."""
        heard: dict[str, Vector] = {}
        told: dict[str, set[str]] = defaultdict(set)
        for entity, attributes in inputs.items():
            for name, sources in attributes.items():
                port = self._inputs.get(name)
                if port is None:
                    raise PortError(f"{entity}.{name} is no input: there are {', '.join(self._inputs)}")
                start = np.zeros(len(port)) if port.default is None else port.default
                vector = heard.setdefault(name, np.array(start, dtype=np.float64))
                if entity == self._whole:
                    vector[:] = np.sum([np.asarray(value, dtype=np.float64) for value in sources.values()], axis=0)
                    told[name].update(port.labels)
                else:
                    vector[self._place(name, entity)] = float(sum(sources.values()))
                    told[name].add(entity)
        for name, port in self._inputs.items():
            silent = set(port.labels) - told[name]
            if port.default is None and silent:
                raise PortError(f"{name}[{min(silent)!r}] was sent nothing at {time}: connect it, it has no default")
        step = Step(time * self._step_s / self._step_ticks, self._step_s)
        self._said = perform_advance(self._adapter, step, heard).outputs
        return time + self._step_ticks

    def get_data(self, outputs: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
        """Return vectors of the whole and floats of its elements."""
        return {
            entity: {
                name: self._said[name] if entity == self._whole else float(self._said[name][self._place(name, entity)])
                for name in names
            }
            for entity, names in outputs.items()
        }

    def finalize(self) -> None:
        """Close the adapter."""
        self._adapter.close()
        self._scratch.cleanup()

    def _place(self, name: str, label: str) -> int:
        try:
            return self._index[name][label]
        except KeyError:
            raise PortError(f"{name} has no element {label!r}") from None


def as_mosaik(adapter: Adapter) -> type[AdapterSimulator]:
    """Return a mosaik simulator class that runs a copy of an adapter.

    Examples
    --------
    Start it with ``world.start(PythonStarter(as_mosaik(grid)), sim_id="grid", step_s=300)`` and create its one
    entity with ``grid.Vector()``; ``entity.children`` are its elements.
    """
    return type(f"{type(adapter).__name__}Simulator", (AdapterSimulator,), {"adapter": adapter})
