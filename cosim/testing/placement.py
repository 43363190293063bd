"""The check of independence from placement, the only one that needs the engine."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from cosim.core.adapter import Adapter, Placement, inputs, outputs
from cosim.core.clock import Clock
from cosim.core.errors import CosimError
from cosim.core.ports import Input, Output
from cosim.core.quantities import Vector
from cosim.engine.scenario import Scenario

from .checks import DoesNotApply, check
from .rig import Rig, violation


class RigSignals(Adapter):
    """Publishes the values of a rig's inputs as means over the step, with the sign convention of the inputs."""

    def __init__(self, ports: dict[str, Input], series: list[dict[str, Vector]]) -> None:
        for name, port in ports.items():
            setattr(self, name, Output(port.unit, port.labels, "mean"))
        self._series = series

    def open(self) -> None:
        self._index = 0

    def advance(self, step: object) -> None:
        for name, port in outputs(self).items():
            port.value = self._series[self._index][name]
        self._index += 1


@check("same inputs give same outputs", "is picklable")
def placement_does_not_matter(rig: Rig) -> None:
    """It publishes the same bytes inline, in a thread and in a worker process."""
    if not outputs(rig.build()):
        raise DoesNotApply("it has no outputs")
    results = {placement: _placed(rig, placement) for placement in ("inline", "thread", "process")}
    for name, inline in results["inline"].items():
        for placement in ("thread", "process"):
            other = results[placement][name]
            if inline.tobytes() != other.tobytes():
                unlike = (
                    "has another length"
                    if inline.shape != other.shape
                    else (f"differs by up to {np.max(np.abs(np.nan_to_num(inline - other))):.3g}")
                )
                raise violation(
                    f"{name} {unlike} when it runs in a {placement} instead of inline",
                    "do not depend on the environment, the working directory, hash order, or module state that a "
                    "worker process does not share",
                )


def _placed(rig: Rig, placement: Placement) -> dict[str, Vector]:
    """Run the adapter in the engine and return its recorded outputs."""
    adapter = rig.build()
    ports = inputs(adapter)
    series = [rig.received(adapter, k) for k in range(rig.n_steps)]
    clock = Clock("2025-01-15", hours=rig.n_steps * rig.step_s / 3600, step_s=rig.step_s)
    others: dict[str, Any] = {"signals": RigSignals(ports, series)} if ports else {}
    scenario = Scenario(clock, adapter=adapter, **others)
    for name in ports:
        scenario.connect(f"signals.{name}", f"adapter.{name}")
    scenario.place(adapter=placement)
    scenario.record("adapter.*")
    with tempfile.TemporaryDirectory(prefix="cosim-check-") as folder:
        try:
            result = scenario.run(Path(folder, "run"), double=True)
        except CosimError as error:
            raise violation(
                f"with placement {placement!r} it fails: {error}",
                "everything that it needs must come from the module's imports and the constructor's arguments, and "
                "open() must work in any thread",
            ) from error
        return {name: result.series(f"adapter.{name}").to_numpy(float) for name in outputs(adapter)}
