"""Adapter for functional mock-up units (FMUs) for co-simulation, FMI 2 and 3.

fmpy loads and calls the FMU; this module adds labels, ports with units, steps and errors.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from cosim.adapters.fmu import description as fmu_description
from cosim.adapters.fmu.description import Meaning
from cosim.adapters.fmu.instance import Instance, listed, written
from cosim.core import Adapter, Clock, CosimError, Input, Output, ScenarioError, Step, units
from cosim.core.arguments import is_finite
from cosim.core.ports import Kind
from cosim.core.quantities import Vector


@dataclass(frozen=True)
class Variable:
    """A variable of the FMU exposed by a port.

    Parameters
    ----------
    name
        The variable's name in the model description.
    unit
        Unit of the port, by default that of the variable. Values are converted, including offsets, so that a model in
        kelvin can have ports in °C. Required if the model description has no unit.
    default
        For an input, as for `Input`; set before the FMU is initialized.
    kind
        For an output. ``"end"``: its value at the end of the step. ``"mean"``: the mean of its values at the ends of
        the FMU's communication steps within the adapter's step, see ``communication_step_s``.
    fmu_unit
        The variable's own unit, if the model description does not declare it. Without it such a variable is assumed
        to be in ``unit``, which is reported as an event.
    """

    name: str
    unit: str | None = None
    default: ArrayLike | None = None
    kind: Kind = "end"
    fmu_unit: str | None = None


@dataclass(frozen=True)
class _Slot:
    """Location of a port's values in the FMU."""

    port: str
    name: str
    reference: int
    size: int
    meaning: Meaning
    items: Mapping[str, int]
    """Items of an enumeration, empty for other types."""
    low: float
    high: float
    """Range that the model description states, in the FMU's unit; infinite where it states none."""


class Fmu(Adapter):
    """Instances of one FMU for co-simulation (FMI 2 or 3), one per label.

    **An FMU is native code** with all rights of its user: run only FMUs from sources that you trust. It runs in a
    worker process, so that a crash or hang ends only the run.

    Inputs are held over each communication step; a tunable parameter that is named in ``inputs`` changes between steps
    like an input. The FMU's time is counted from ``start_time_s``, which the provenance states. Elements of an array
    variable (FMI 3) are labelled ``label[1]``, ``label[2]``, … in row-major order. A resumed run restores FMUs that can
    serialize their state and replays the others.

    Parameters
    ----------
    path
        The ``.fmu`` file. Only its model description is read before `open`, which unpacks it.
    instances
        Label to parameters of the instance, in the FMU's own units; or just labels. Any variable with a start value
        can be set, an enumeration also by the name of an item.
    inputs, outputs
        Port to `Variable` or to the variable's name; by default every input and output, under its own name with
        ``_`` for characters invalid in Python names. An omitted input keeps its start value.
    communication_step_s
        Length of the FMU's communication steps, an integer fraction of the adapter's step. [s] By default the same.
    start_time_s
        The FMU's time at the run's start. [s] By default the seconds since the beginning of the year in the standard
        time of the clock's zone, as models with weather of their own count them; 0 where no scenario runs it.

    Raises
    ------
    InputFileError
        If the file is not an FMU that can run here.
    ScenarioError
        With all problems of variables, units and parameters.

    Examples
    --------
    A tank in kelvin, twice, with ports in °C::

        tanks = Fmu(
            "tank.fmu",
            {"house 1": {"volume": 0.3}, "house 2": {"volume": 0.5}},
            inputs={"supply": Variable("T_in", "degC")},
            outputs={"temperature": Variable("T", "degC")},
        )
    """

    placement = "process"
    replays = True

    if TYPE_CHECKING:  # ports are attributes under the integrator's names

        def __getattr__(self, name: str) -> Any: ...

    def __init__(
        self,
        path: str | Path,
        instances: Mapping[str, Mapping[str, Any]] | Sequence[str] = ("fmu",),
        *,
        inputs: Mapping[str, Variable | str] | None = None,
        outputs: Mapping[str, Variable | str] | None = None,
        communication_step_s: float | None = None,
        start_time_s: float | None = None,
    ) -> None:
        self.path = Path(path).resolve()
        self.files = [self.path]
        description = fmu_description.read(self.path)
        ability = description.coSimulation
        if isinstance(instances, str):
            raise CosimError(f"instances is the text {instances!r}: pass a sequence of labels")
        self.instances: Mapping[str, Mapping[str, Any]] = (
            instances if isinstance(instances, Mapping) else {label: {} for label in instances}
        )
        self.communication_step_s = communication_step_s
        self.start_time_s = start_time_s
        self._internal_step_s = float(ability.fixedInternalStepSize or 0.0)
        self._one_length = not ability.canHandleVariableCommunicationStepSize
        problems = self._instance_problems(description)
        self._left_out: list[tuple[str, str]] = []
        self._inputs = self._slots(description, inputs, "input", problems)
        self._outputs = self._slots(description, outputs, "output", problems)
        problems += self._set_twice(description)
        if problems:
            raise ScenarioError(problems)
        if ability.canGetAndSetFMUstate and ability.canSerializeFMUstate and type(self) is Fmu:
            self.__class__ = _SerializableFmu  # the class determines how it is restored
        self._slaves: list[Instance] = []
        self._beyond: set[str] = set()
        self._unpacked: tempfile.TemporaryDirectory[str] | None = None

    def _instance_problems(self, description: Any) -> list[str]:
        problems = []
        if not self.instances:
            problems.append(f"{self.path.name}: instances is empty: name at least one")
        if len(self.instances) > 1 and description.coSimulation.canBeInstantiatedOnlyOncePerProcess:
            problems.append(f"{self.path.name} can be instantiated only once per process: use one adapter per label")
        known = {variable.name: variable for variable in description.modelVariables}
        for label, parameters in self.instances.items():
            for name, value in parameters.items():
                try:
                    written(known[name], value)
                except KeyError:
                    there = ", ".join(v.name for v in known.values() if v.causality == "parameter") or "none"
                    problems.append(f"{label}: unknown variable {name!r} of {self.path.name}: parameters are {there}")
                except (TypeError, ValueError) as error:
                    problems.append(f"{label}: {name} is {value!r}: {error}")
        step_s = self.communication_step_s
        if step_s is not None and not step_s > 0:
            problems.append(f"communication_step_s is {step_s:g}: it must be positive")
        elif step_s is not None and not self._fits(step_s):
            problems.append(self._misfit(step_s))
        if self.start_time_s is not None and not is_finite(self.start_time_s):
            problems.append(f"start_time_s is {self.start_time_s!r}: it must be a finite number of seconds")
        return problems

    def _set_twice(self, description: Any) -> list[str]:
        """Return a problem for every value that an instance sets and an input would overwrite at once."""
        tunable = {v.name for v in description.modelVariables if fmu_description.is_tunable(v)}
        overwriting = {
            slot.name: slot.port
            for slots in self._inputs.values()
            for slot in slots
            if slot.name in tunable or getattr(self, slot.port).default is not None
        }
        return [
            f"{label}: {name} is set in instances and overwritten by the input {overwriting[name]}: give one of them"
            for label, parameters in self.instances.items()
            for name in parameters
            if name in overwriting
        ]

    def _fits(self, step_s: float) -> bool:
        internal = self._internal_step_s
        return not internal or abs(round(step_s / internal) * internal - step_s) <= 1e-9 * step_s

    def _misfit(self, step_s: float) -> str:
        return (
            f"{self.path.name} has a fixed internal step of {self._internal_step_s:g} s: its communication steps must "
            f"be whole multiples of it, not {step_s:g} s"
        )

    def _slots(
        self,
        description: Any,
        wanted: Mapping[str, Variable | str] | None,
        side: Literal["input", "output"],
        problems: list[str],
    ) -> dict[str, list[_Slot]]:
        """Declare the ports of one side and return their slots in the FMU, by type of the variables."""
        asked: dict[str, Variable | str] = dict(wanted or {})
        if wanted is None:
            for name in fmu_description.names(description, side):
                port = re.sub(r"\W", "_", name)
                if asked.setdefault(port, name) != name:
                    problems.append(f"{asked[port]} and {name} map to the same port: name them in {side}s=")
        slots: dict[str, list[_Slot]] = {}
        for port, named in asked.items():
            variable = Variable(named) if isinstance(named, str) else named
            if hasattr(self, port):
                problems.append(f"port name {port!r} is reserved: choose another one in {side}s=")
                continue
            try:
                found = fmu_description.find(description, variable.name, side, self.path)
                meaning = fmu_description.meaning(description, found, variable.unit, self.path, variable.fmu_unit)
                size = fmu_description.size(found)
                labels = [
                    f"{label}[{k + 1}]" if found.shape else label for label in self.instances for k in range(size)
                ]
                declared = (
                    Input(meaning.unit, labels, variable.default)
                    if side == "input"
                    else Output(meaning.unit, labels, variable.kind)
                )
            except CosimError as error:
                problems.append(str(error))
            else:
                setattr(self, port, declared)
                items, limits = fmu_description.items(found), fmu_description.limits(found)
                slot = _Slot(port, found.name, found.valueReference, size, meaning, items, *limits)
                slots.setdefault(found.type, []).append(slot)
        if wanted is None:
            self._left_out += fmu_description.left_out(description, side)
        return slots

    def open(self) -> None:
        """Unpack the FMU, instantiate and initialize it for every label."""
        description = fmu_description.read(self.path)
        self._beyond.clear()
        self._unpacked = tempfile.TemporaryDirectory(prefix="cosim-fmu-", ignore_cleanup_errors=True)
        fmu_description.load_fmpy().extract(self.path, self._unpacked.name)
        self._begin_s = self._start_s(self.run_clock)
        length = None if self.run_clock is None else self.run_clock.n_steps
        stop_s = None if length is None or self.run_clock is None else self._begin_s + length * self.run_clock.step_s
        self._report_assumptions(description, stop_s)
        for label, parameters in self.instances.items():
            slave = Instance(f"{self.path.name} [{label}]")
            self._slaves.append(slave)
            slave.instantiate(description, self._unpacked.name)
            slave.enter_initialization(description, parameters, self._begin_s, stop_s)
        self._write(
            {
                kind: [slot for slot in slots if getattr(self, slot.port).default is not None]
                for kind, slots in self._inputs.items()
            }
        )
        for slave in self._slaves:
            slave.exit_initialization()
        self._length_s: float | None = None
        for slot, values in self._read("at its start").items():
            port: Output = getattr(self, slot)
            if port.kind == "end":
                port.value = values
        self._report_warnings()

    def _report_warnings(self) -> None:
        for label, slave in zip(self.instances, self._slaves, strict=True):
            for text in slave.take_warnings():
                self.report("FMU warning", label, text)

    def _start_s(self, clock: Clock | None) -> float:
        if self.start_time_s is not None:
            return float(self.start_time_s)
        return 0.0 if clock is None else clock.year_s

    def from_clock(self, clock: Clock) -> dict[str, Any]:
        """Return the FMU's time at the run's start. [s]"""
        return {"start_time_s": self._start_s(clock)}

    def _report_assumptions(self, description: Any, stop_s: float | None) -> None:
        """Report the FMU's time, the units that nothing states, and what takes no part."""
        origin = "as start_time_s asks"
        if self.start_time_s is None:
            origin = "since the beginning of the year in standard time" if self.run_clock else "as there is no clock"
        until = "without an end" if stop_s is None else f"to {stop_s:.12g} s"
        self.report("FMU time", self.path.name, f"from {self._begin_s:.12g} s, {origin}, {until}")
        for slots in (*self._inputs.values(), *self._outputs.values()):
            for slot in slots:
                if slot.meaning.assumed:
                    self.report(
                        "unit assumed",
                        slot.port,
                        f"{slot.name} of {self.path.name} declares no unit and is taken to be in {slot.meaning.unit}: "
                        "state it by fmu_unit=",
                    )
        for name, kind in self._left_out:
            self.report("variable left out", name, f"{name} of {self.path.name} is a {kind}: only numbers pass a port")
        if description.coSimulation.needsExecutionTool:
            tool = description.generationTool or "the tool that exported it"
            self.report("FMU needs its tool", self.path.name, f"it only talks to {tool}, which must be installed here")

    def advance(self, step: Step) -> None:
        """Set the inputs, step every instance, read the outputs."""
        n, length_s = self._steps(step)
        begin_s = self._begin_s + step.start_s
        self._write(self._inputs)
        means: dict[str, Vector] = {}
        for k in range(n):
            for slave in self._slaves:
                slave.step(begin_s + k * length_s, length_s)
            published = self._read(f"after its step from {begin_s + k * length_s:.12g} s")
            for slot, values in published.items():
                part = (units.energies(values) if units.is_level(getattr(self, slot).unit) else values) / n
                means[slot] = means[slot] + part if k else part
        for slot, values in published.items():
            port: Output = getattr(self, slot)
            mean = units.levels(means[slot]) if units.is_level(port.unit) else means[slot]
            port.value = mean if port.kind == "mean" else values
        self._report_warnings()

    def _steps(self, step: Step) -> tuple[int, float]:
        """Return number and length of the communication steps within a step."""
        wanted = self.communication_step_s or step.length_s
        n = round(step.length_s / wanted)
        if n < 1 or abs(n * wanted - step.length_s) > 1e-9 * step.length_s:
            raise CosimError(
                f"communication_step_s is {wanted:g}: it must be an integer fraction of the adapter's step, "
                f"{step.length_s:g} s"
            )
        if self._length_s is None:
            if not self._fits(wanted):
                raise CosimError(self._misfit(wanted))
            self._length_s = wanted
        if self._one_length and abs(wanted - self._length_s) > 1e-9 * wanted:
            raise CosimError(
                f"{self.path.name} cannot change the length of its communication steps from "
                f"{self._length_s:g} to {wanted:g} s: keep one length"
            )
        return n, step.length_s / n

    def _write(self, inputs: Mapping[str, Sequence[_Slot]]) -> None:
        for kind, slots in inputs.items():
            columns = []
            for slot in slots:
                values = (getattr(self, slot.port).value - slot.meaning.offset) / slot.meaning.factor
                if slot.items and not set(values.tolist()) <= set(slot.items.values()):
                    raise CosimError(
                        f"{slot.port} got {values.tolist()}: {slot.name} of {self.path.name} is one of "
                        f"{listed(slot.items)}"
                    )
                beyond = (values < slot.low) | (values > slot.high)
                if beyond.any() and slot.port not in self._beyond:
                    self._beyond.add(slot.port)
                    text = f"{slot.name} got {values[beyond][0]:g}, its model is for {slot.low:g} to {slot.high:g}"
                    self.report("beyond the FMU's range", slot.port, text)
                columns.append(values.reshape(len(self._slaves), slot.size))
            if not columns:
                continue
            references = [slot.reference for slot in slots]
            for slave, row in zip(self._slaves, np.hstack(columns), strict=True):
                slave.write(kind, references, row.tolist())

    def _read(self, when: str) -> dict[str, Vector]:
        published = {}
        for kind, slots in self._outputs.items():
            references, sizes = [slot.reference for slot in slots], [slot.size for slot in slots]
            rows = np.array([slave.read(kind, references, sum(sizes)) for slave in self._slaves])
            for slot, values in zip(slots, np.split(rows, np.cumsum(sizes)[:-1], axis=1), strict=True):
                if not np.isfinite(values).all():
                    row = int(np.argmax(~np.isfinite(values).all(axis=1)))
                    label = list(self.instances)[row]
                    raise CosimError(
                        f"{self.path.name} [{label}]: {slot.name} is {values[row].tolist()} {when}: "
                        "the model yields no finite number; check its parameters, inputs and start values"
                    )
                published[slot.port] = values.ravel() * slot.meaning.factor + slot.meaning.offset
        return published

    def close(self) -> None:
        """Terminate and free every instance and remove the unpacked files."""
        slaves, self._slaves = self._slaves, []
        unpacked, self._unpacked = self._unpacked, None
        try:
            if not any(slave.is_fatal for slave in slaves):  # a fatal error corrupts all instances, by the standard
                for slave in slaves:
                    slave.close()
        finally:
            if unpacked is not None:
                unpacked.cleanup()

    def versions(self) -> dict[str, str]:
        """Return the version of fmpy, which runs the FMU."""
        return {"fmpy": str(fmu_description.load_fmpy().__version__)}


class _SerializableFmu(Fmu):
    """An FMU that can serialize its state."""

    replays = False

    def save(self, folder: Path) -> None:
        """Write the state of every instance."""
        for i, slave in enumerate(self._slaves):
            (folder / f"{i}.state").write_bytes(slave.state())

    def load(self, folder: Path) -> None:
        """Restore the state of every instance."""
        for i, slave in enumerate(self._slaves):
            slave.restore((folder / f"{i}.state").read_bytes())
