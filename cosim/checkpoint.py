"""How does a run come back after a crash? From the last moment at which all that it consists of was on disk.

A checkpoint is taken where the steps of all adapters meet: everybody has arrived and nobody has gone on.
``DIR/checkpoints/<tick>/`` holds the states of adapters, what the connections carry, and the rows that are not yet in a
Parquet part; it is complete when it bears that name. ``DIR/checkpoints/inputs/<adapter>/`` holds the inputs of those
adapters that are restored by replay, from the run's start on.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosim.core.adapter import Step, restored_by
from cosim.core.errors import CosimError
from cosim.core.ports import Vector

from .exchange import Channel
from .hosts import AdapterError
from .recorder import Recorder, write_json

if TYPE_CHECKING:
    from .bridge import Bridge, Run

_FOLDER, _INPUTS, _SUMMARY, _ARRAYS = "checkpoints", "inputs", "checkpoint.json", "connections.npz"


class Checkpoints:
    """Saves the state of a run at regular times; the newest is kept.

    Parameters
    ----------
    folder
        The run's folder.
    every
        Exchange steps from one checkpoint to the next. [ticks]
    begin
        Where the run begins. [ticks]
    """

    def __init__(self, folder: Path, every: int, begin: int = 0) -> None:
        self._folder, self._every = folder / _FOLDER, every
        self.next = begin + every
        """When the next one is due. [ticks]"""

    async def save(self, run: Run) -> None:
        """Save the state of a run in which everybody has arrived at `next`.

        Raises
        ------
        RunError
            If an adapter cannot save its state.
        OSError
            If the disk takes no more.
        """
        tick = self.next
        final, temporary = self._folder / str(tick), self._folder / f"{tick}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        await asyncio.gather(*(self._save_adapter(bridge, tick, temporary, run) for bridge in run.bridges.values()))
        arrays = {f"{i}.{name}": value for i, c in enumerate(run.channels) for name, value in c.save().items()}
        for name, bridge in run.bridges.items():
            arrays |= {f"missing.{name}.{port}": gaps for port, gaps in bridge.missing.items()}
        np.savez(temporary / _ARRAYS, **arrays)  # type: ignore[arg-type]
        run.recorder.save(temporary)
        bridges = run.bridges.items()
        write_json(temporary / _SUMMARY, {
            "tick": tick,
            "finished_at": {name: bridge.finished_at for name, bridge in bridges},
            "said": {name: bridge.said.hex for name, bridge in bridges},
            "wall_s": {name: bridge.wall_s for name, bridge in bridges},
        })  # fmt: skip
        for path in temporary.rglob("*"):
            _sync(path)
        temporary.rename(final)
        _sync(self._folder)
        for old in _complete(self._folder):
            if old != final:
                shutil.rmtree(old, ignore_errors=True)
        self.next = tick + self._every

    async def _save_adapter(self, bridge: Bridge, tick: int, temporary: Path, run: Run) -> None:
        if restored_by(bridge.host.adapter) == "replay":
            part = self._folder / _INPUTS / bridge.name / f"{tick}.npz"
            part.parent.mkdir(parents=True, exist_ok=True)
            _write_inputs(part, bridge.heard)
            bridge.heard.clear()
            return
        place = temporary / "adapters" / bridge.name
        place.mkdir(parents=True)
        try:
            await bridge.host.call("save", place)
        except AdapterError as error:
            raise bridge.error(f"its checkpoint of {run.when(tick)}", error) from error


class Checkpoint:
    """The newest complete checkpoint of a run, to go on from.

    Parameters
    ----------
    folder
        The run's folder.

    Attributes
    ----------
    tick : int
        When it was taken. [ticks]
    """

    def __init__(self, folder: Path) -> None:
        base = folder / _FOLDER
        found = _complete(base)
        if not found:
            raise CosimError(f"{folder} holds no checkpoint: it failed before its first, run it anew")
        self.folder = max(found, key=lambda path: int(path.name))
        self._inputs = base / _INPUTS
        self._summary: dict[str, Any] = json.loads((self.folder / _SUMMARY).read_text(encoding="utf-8"))
        with np.load(self.folder / _ARRAYS, allow_pickle=False) as arrays:
            self._arrays: dict[str, Vector] = {name: arrays[name] for name in arrays.files}
        self.tick: int = self._summary["tick"]
        for part in self._inputs.glob("*/*.npz"):
            if int(part.stem) > self.tick:
                part.unlink()

    @staticmethod
    def there(folder: Path) -> bool:
        """Tell whether a run's folder holds a checkpoint."""
        return bool(_complete(folder / _FOLDER))

    def fill(self, channels: Iterable[Channel], recorder: Recorder) -> None:
        """Bring connections and recorder to where they were."""
        for i, channel in enumerate(channels):
            prefix = f"{i}."
            channel.load({n.removeprefix(prefix): v for n, v in self._arrays.items() if n.startswith(prefix)})
        recorder.load(self.folder)

    async def bring_back(self, bridge: Bridge) -> None:
        """Bring an opened adapter to where it was.

        Raises
        ------
        CosimError
            If it cannot be loaded, or said something else when its inputs were replayed.
        """
        name = bridge.name
        bridge.finished_at = self._summary["finished_at"][name]
        bridge.said.hex = self._summary["said"][name]
        bridge.wall_s = self._summary["wall_s"][name]
        prefix = f"missing.{name}."
        bridge.missing = {n.removeprefix(prefix): v for n, v in self._arrays.items() if n.startswith(prefix)}
        if restored_by(bridge.host.adapter) == "state":
            await bridge.host.call("load", self.folder / "adapters" / name, bridge.finished_at is not None)
            return
        parts = sorted((self._inputs / name).glob("*.npz"), key=lambda path: int(path.stem))
        if await bridge.host.call("replay", parts) != bridge.said.hex:
            raise CosimError(
                "it did not say the same when its recorded inputs were replayed, so it cannot be resumed exactly: "
                "draw every chance from a seed, or write save() and load()"
            )


def _complete(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*") if path.name.isdigit() and (path / _SUMMARY).is_file()]


def _write_inputs(part: Path, heard: list[tuple[Step, dict[str, Vector]]]) -> None:
    ports = heard[0][1] if heard else {}
    columns = {f"input.{port}": np.array([values[port] for _, values in heard]) for port in ports}
    np.savez_compressed(
        part,
        start_s=np.array([step.start_s for step, _ in heard], dtype=np.float64),
        length_s=np.array([step.length_s for step, _ in heard], dtype=np.float64),
        **columns,  # type: ignore[arg-type]
    )
    _sync(part)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
