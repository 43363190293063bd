"""The checks of resuming after an interruption and of independence from the step length."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cosim.core import units
from cosim.core.adapter import Adapter, outputs, restored_by
from cosim.core.errors import CosimError
from cosim.engine.hosts import perform_load, perform_save

from .checks import DoesNotApply, check
from .rig import Rig, violation


@check("same inputs give same outputs")
def resumes(rig: Rig) -> None:
    """After save() and load(), or a replay, it continues bit for bit."""
    kind = type(rig.build())
    if (kind.save is Adapter.save) != (kind.load is Adapter.load):
        has, lacks = ("load", "save") if kind.save is Adapter.save else ("save", "load")
        raise violation(f"it has {has}() without {lacks}()", f"implement {lacks}(folder) too: both are needed")
    way = restored_by(rig.build())
    if way is None:
        raise DoesNotApply(
            "a run with it cannot be resumed: implement save(folder) and load(folder), or set replays = True if it is "
            "deterministic"
        )
    half = rig.n_steps // 2
    with tempfile.TemporaryDirectory(prefix="cosim-check-") as folder:
        run, state = Path(folder, "run"), Path(folder, "state")
        run.mkdir()
        state.mkdir()
        first, second = rig.build(), rig.build()
        with rig.opened(first, run):
            for index in range(half):
                rig.advance(first, index)
            finished = first.finished
            if way == "state":
                _called("save", perform_save, first, state)
                rig.expect_same(
                    [rig.advance(first, half)],
                    "save() changes the adapter that it saves",
                    "write copies in save() and do not change the simulator",
                    first=half + 1,
                )
        with rig.opened(second, run):
            if way == "state":
                _called("load", perform_load, second, state, finished)
            else:
                for index in range(half):
                    rig.advance(second, index)
            rig.expect_same(
                [rig.advance(second, index) for index in range(half, rig.n_steps)],
                f"after {'load()' if way == 'state' else 'a replay'} it does not continue as before",
                "save everything that advance() reads and changes, at full precision (numpy.savez, not text)"
                if way == "state"
                else "remove the cause of the difference, or set replays = False and implement save(folder) and "
                "load(folder)",
                first=half + 1,
            )


def _called(verb: str, function: Callable[..., None], *arguments: object) -> None:
    try:
        function(*arguments)
    except CosimError as error:
        raise violation(
            f"{verb}() fails: {error}",
            "save() is given an empty folder; load() is called after open() with the folder that save() wrote",
        ) from error


@check("outputs are assigned")
def step_length_does_not_matter(rig: Rig) -> None:
    """Two half steps give the same means and final states as a whole step, if it declares a step_tolerance."""
    adapter = rig.build()
    tolerance = adapter.step_tolerance
    if tolerance is None:
        raise DoesNotApply("it declares no step_tolerance: its results may depend on the step that the user chooses")
    with rig.opened(adapter):
        halves = [[rig.advance(adapter, k, half=h).outputs for h in (0, 1)] for k in range(rig.n_steps)]
    for name, port in outputs(adapter).items():
        whole = np.array([reply.outputs[name] for reply in rig.reference[1:]])
        parts = np.array([[half[name] for half in pair] for pair in halves])
        level = units.is_level(port.unit)
        mean = units.levels(units.energies(parts).mean(axis=1)) if level else parts.mean(axis=1)
        split = mean if port.kind == "mean" else parts[:, 1]
        scale = np.max(np.abs(np.nan_to_num(whole)), initial=0.0)
        off = np.where(np.isnan(whole) & np.isnan(split), 0.0, np.abs(split - whole))
        if not (off <= tolerance * scale).all():
            index, element = np.unravel_index(int(np.argmax(np.nan_to_num(off, nan=np.inf))), off.shape)
            raise violation(
                f"{name}[{port.labels[element]!r}] is {whole[index, element]:g} after one step from "
                f"{rig.step(int(index)).start_s:g} s of {rig.step_s:g} s, but {split[index, element]:g} after two of "
                f"{rig.step_s / 2:g} s: off by {off[index, element] / (scale or 1.0):.2g} of its largest value, "
                f"while step_tolerance promises {tolerance:g}",
                "integrate exactly over the step or in smaller steps inside advance(), take the mean over the whole "
                "step, or declare the tolerance that the method achieves (None: the step matters)",
            )
