"""Adapters as simulators in plain mosaik scenarios.

An adapter becomes a mosaik simulator with one entity that carries whole vectors, and one child entity per label that
carries scalars, so that elements can be connected one by one with the tools of mosaik's ecosystem.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mosaik_api_v3
import numpy as np

from cosim.core.adapter import Adapter, Step, inputs, outputs
from cosim.core.errors import CosimError, PortError
from cosim.core.ports import Input
from cosim.core.quantities import Vector
from cosim.engine.hosts import perform_advance, perform_open

_WHOLE = "Vector"


class AdapterSimulator(mosaik_api_v3.Simulator):  # type: ignore[misc]
    """One adapter behind mosaik's simulator interface, created by `as_mosaik`.

    Model ``Vector`` has every port as an attribute, with arrays of shape (n_labels,) as values. Each of its children
    has a label as entity id, every port with that label as an attribute, with floats as values, and a model named after
    these ports. Values from several sources for one element add up, whether they are sent to the whole vector or to the
    element. The step at mosaik time t covers [t, t + step_s).

    mosaik has no units: ``extra_info`` of every entity gives the units of its ports (``units``) and the kinds of its
    outputs (``kinds``). Convert with the ``transform`` of ``world.connect``.
    """

    adapter: Adapter

    def __init__(self) -> None:
        self._adapter = copy.deepcopy(self.adapter)
        self._inputs, self._outputs = inputs(self._adapter), outputs(self._adapter)
        self._ports = self._inputs | self._outputs
        self._index = {name: {label: i for i, label in enumerate(port.labels)} for name, port in self._ports.items()}
        self._ports_of: dict[str, list[str]] = {}  # names of ports by label
        for name, index in self._index.items():
            for label in index:
                self._ports_of.setdefault(label, []).append(name)
        self._whole = next(eid for eid in _eids() if eid not in self._ports_of)
        elements = {_element(names): names for names in self._ports_of.values()}
        super().__init__(
            {
                "api_version": "3.0",
                "type": "time-based",
                "models": {
                    _WHOLE: {"public": True, "params": [], "attrs": [*self._ports]},
                    **{model: {"public": False, "params": [], "attrs": names} for model, names in elements.items()},
                },
            }
        )
        self._created = False
        self._published: dict[str, Vector] = {}
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def init(self, sid: str, time_resolution: float = 1.0, step_s: float = 60.0) -> Any:
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
        self._published = {name: np.full(len(port), np.nan) for name, port in self._outputs.items()} | reply.outputs
        return self.meta

    def create(self, num: int, model: str) -> list[dict[str, Any]]:
        """Create the adapter's single entity, with a child for every label."""
        if num != 1 or model != _WHOLE or self._created:
            raise PortError(f"cannot create {num} × {model}: the adapter is one {_WHOLE}, created once")
        self._created = True
        children = [self._entity(label, _element(names), names) for label, names in self._ports_of.items()]
        return [self._entity(self._whole, _WHOLE, [*self._ports]) | {"children": children}]

    def _entity(self, eid: str, model: str, names: list[str]) -> dict[str, Any]:
        units = {name: self._ports[name].unit for name in names}
        kinds = {name: self._outputs[name].kind for name in names if name in self._outputs}
        return {"eid": eid, "type": model, "extra_info": {"units": units, "kinds": kinds}}

    def step(self, time: int, inputs: Mapping[str, Any], max_advance: int) -> int:
        """Advance the adapter."""
        for entity, attributes in inputs.items():
            for name in attributes.keys() - self._inputs.keys():
                raise PortError(f"{entity}.{name} is not an input; available: {', '.join(self._inputs) or 'none'}")
        received = {name: self._gather(name, port, inputs, time) for name, port in self._inputs.items()}
        step = Step(time * self._step_s / self._step_ticks, self._step_s)
        self._published = perform_advance(self._adapter, step, received).outputs
        return time + self._step_ticks

    def _gather(self, name: str, port: Input, received: Mapping[str, Any], time: int) -> Vector:
        """Add up the values for a port as a whole and for its elements; all other elements receive the default."""
        total, given = np.zeros(len(port)), np.zeros(len(port), dtype=bool)
        for entity, attributes in received.items():
            for source, value in attributes.get(name, {}).items():
                place: Any = slice(None) if entity == self._whole else self._place(name, entity)
                try:
                    numbers = np.asarray(value, dtype=np.float64)
                except (TypeError, ValueError):
                    numbers = None
                if numbers is None or numbers.shape != total[place].shape:
                    raise PortError(
                        f"{entity}.{name} received {value!r} from {source} at {time}: it must be "
                        + (f"an array of {len(port)} numbers" if entity == self._whole else "a number")
                    )
                total[place] += numbers
                given[place] = True
        if port.default is None and not given.all():
            missing = port.labels[int(np.argmin(given))]
            raise PortError(f"{name}[{missing!r}] received no value at {time}: connect it, it has no default")
        return total if port.default is None else np.where(given, total, port.default)

    def get_data(self, outputs: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
        """Return vectors of the whole, as lists if they leave the process, and floats of its elements."""
        by_text = isinstance(self.mosaik, mosaik_api_v3.RemoteMosaikProxy)

        def value(entity: str, name: str) -> Any:
            published = self._published[name]
            if entity != self._whole:
                return float(published[self._place(name, entity)])
            return published.tolist() if by_text else published

        return {entity: {name: value(entity, name) for name in names} for entity, names in outputs.items()}

    def finalize(self) -> None:
        """Close the adapter."""
        self._adapter.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    def _place(self, name: str, label: str) -> int:
        try:
            return self._index[name][label]
        except KeyError:
            raise PortError(f"{name}: unknown element {label!r}") from None


def _element(names: list[str]) -> str:
    """Return the model name of elements that have these ports."""
    return f"Element of {', '.join(names)}"


def _eids() -> Iterator[str]:
    """Yield candidate ids for the whole, so that one can be found that is not a label."""
    name = "vector"
    while True:
        yield name
        name += "_"


def as_mosaik(adapter: Adapter) -> type[AdapterSimulator]:
    """Return a mosaik simulator class that runs a copy of an adapter.

    Raises
    ------
    CosimError
        If the argument is not an adapter.

    Examples
    --------
    Start it with ``world.start(PythonStarter(as_mosaik(grid)), sim_id="grid", step_s=300)`` and create its single
    entity with ``grid.Vector()``; ``entity.children`` are its elements. A script that ends with
    ``mosaik_api_v3.start_simulation(as_mosaik(grid)())`` can also be started as a command.
    """
    if not isinstance(adapter, Adapter):
        raise CosimError(f"as_mosaik got {adapter!r}: pass an adapter, as in as_mosaik(Grid(...))")
    return type(f"{type(adapter).__name__}Simulator", (AdapterSimulator,), {"adapter": adapter})
