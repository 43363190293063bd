"""Checkpoints, from which a run is resumed after a crash.

A checkpoint is taken at a tick where the steps of all adapters end: every adapter has reached it and none has gone
beyond. ``DIR/checkpoints/<tick>/`` holds the states of the adapters, the values in the connections, and the rows that
are not yet in a Parquet part; a checkpoint is complete once its folder has that name.
``DIR/checkpoints/inputs/<adapter>/`` holds all inputs since the run's start of each adapter that is restored by replay.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cosim.core.adapter import Step, restored_by
from cosim.core.errors import CosimError
from cosim.core.quantities import Vector
from cosim.results.files import write_json

from .exchange import Channel
from .hosts import AdapterError
from .member import Member
from .recorder import Recorder

_FOLDER, _INPUTS, _SUMMARY, _ARRAYS = "checkpoints", "inputs", "checkpoint.json", "connections.npz"


class Checkpoints:
    """Saves the state of a run at regular intervals and keeps the newest checkpoint.

    Parameters
    ----------
    folder
        The run's folder.
    every
        Exchange steps between checkpoints. [ticks]
    begin
        First tick of the run. [ticks]
    on_saved
        Called with the folder of every checkpoint while the run waits.
    """

    def __init__(
        self, folder: Path, every: int, begin: int = 0, on_saved: Callable[[Path], None] | None = None
    ) -> None:
        self._folder, self._every, self._on_saved = folder / _FOLDER, every, on_saved
        self.next = begin + every
        """Tick at which the next checkpoint is due. [ticks]"""

    async def save(
        self,
        members: Mapping[str, Member],
        channels: Sequence[Channel],
        recorder: Recorder,
        when: Callable[[int], str],
    ) -> None:
        """Save the state of a run in which all adapters have reached `next`; ``when`` formats a tick as civil time.

        Raises
        ------
        RunError
            If an adapter cannot save its state.
        OSError
            If the checkpoint cannot be written.
        """
        tick = self.next
        final, temporary = self._folder / str(tick), self._folder / f"{tick}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        await asyncio.gather(*(self._save_adapter(member, tick, temporary, when) for member in members.values()))
        arrays = {f"{i}.{name}": value for i, c in enumerate(channels) for name, value in c.save().items()}
        for name, member in members.items():
            arrays |= {f"missing.{name}.{port}": gaps for port, gaps in member.missing.items()}
        np.savez(temporary / _ARRAYS, **arrays)  # type: ignore[arg-type]
        recorder.save(temporary)
        write_json(
            temporary / _SUMMARY,
            {
                "tick": tick,
                "finished_at": {name: member.finished_at for name, member in members.items()},
                "said": {name: member.digest.hex for name, member in members.items()},
                "wall_s": {name: member.wall_s for name, member in members.items()},
            },
        )
        for path in temporary.rglob("*"):
            _sync(path)
        temporary.rename(final)
        _sync(self._folder)
        for old in _complete(self._folder):
            if old != final:
                shutil.rmtree(old, ignore_errors=True)
        self.next = tick + self._every
        if self._on_saved is not None:
            self._on_saved(final)

    async def _save_adapter(self, member: Member, tick: int, temporary: Path, when: Callable[[int], str]) -> None:
        if restored_by(member.host.adapter) == "replay":
            part = self._folder / _INPUTS / member.name / f"{tick}.npz"
            part.parent.mkdir(parents=True, exist_ok=True)
            _write_inputs(part, member.received)
            member.received.clear()
            return
        place = temporary / "adapters" / member.name
        place.mkdir(parents=True)
        try:
            await member.host.call("save", place)
        except AdapterError as error:
            raise member.error(f"while saving the checkpoint of {when(tick)}", error) from error


class Checkpoint:
    """The newest complete checkpoint of a run.

    Parameters
    ----------
    folder
        The run's folder.

    Attributes
    ----------
    tick : int
        The tick at which it was taken. [ticks]
    """

    def __init__(self, folder: Path) -> None:
        base = folder / _FOLDER
        found = _complete(base)
        if not found:
            raise CosimError(f"{folder} holds no checkpoint: the run failed before its first, run it again")
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
    def exists(folder: Path) -> bool:
        """Return whether a run's folder holds a complete checkpoint."""
        return bool(_complete(folder / _FOLDER))

    def restore_engine(self, channels: Iterable[Channel], recorder: Recorder) -> None:
        """Restore the state of connections and recorder."""
        for i, channel in enumerate(channels):
            prefix = f"{i}."
            channel.load({n.removeprefix(prefix): v for n, v in self._arrays.items() if n.startswith(prefix)})
        recorder.load(self.folder)

    async def restore(self, member: Member) -> None:
        """Restore the state of an opened adapter.

        Raises
        ------
        CosimError
            If its state cannot be loaded, or a replay of its inputs gives different outputs.
        """
        name = member.name
        member.finished_at = self._summary["finished_at"][name]
        member.digest.hex = self._summary["said"][name]
        member.wall_s = self._summary["wall_s"][name]
        prefix = f"missing.{name}."
        member.missing = {n.removeprefix(prefix): v for n, v in self._arrays.items() if n.startswith(prefix)}
        if restored_by(member.host.adapter) == "state":
            await member.host.call("load", self.folder / "adapters" / name, member.finished_at is not None)
            return
        parts = sorted((self._inputs / name).glob("*.npz"), key=lambda path: int(path.stem))
        if await member.host.call("replay", parts) != member.digest.hex:
            raise CosimError(
                "its outputs changed when its recorded inputs were replayed, so it cannot be resumed exactly: seed "
                "every random draw, or implement save() and load()"
            )


def copy_checkpoint(checkpoint: Path, folder: Path) -> None:
    """Give another folder a run's checkpoint, for `cosim.engine.run.fork`; files are linked, not copied."""
    inputs = checkpoint.parent / _INPUTS
    target = folder / _FOLDER
    shutil.copytree(checkpoint, target / checkpoint.name, copy_function=_link)
    if inputs.is_dir():
        shutil.copytree(inputs, target / _INPUTS, copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def _complete(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*") if path.name.isdigit() and (path / _SUMMARY).is_file()]


def _write_inputs(part: Path, received: list[tuple[Step, dict[str, Vector]]]) -> None:
    ports = received[0][1] if received else {}
    columns = {f"input.{port}": np.array([values[port] for _, values in received]) for port in ports}
    np.savez_compressed(
        part,
        start_s=np.array([step.start_s for step, _ in received], dtype=np.float64),
        length_s=np.array([step.length_s for step, _ in received], dtype=np.float64),
        **columns,  # type: ignore[arg-type]
    )
    _sync(part)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
