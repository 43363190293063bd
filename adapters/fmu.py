"""How does a functional mock-up unit (FMU) for co-simulation, FMI 2 or 3, take part as an adapter?

fmpy loads and calls it; this file gives it labels, ports with units, steps and errors.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from cosim.adapters import fmu_description
from cosim.adapters.fmu_description import Meaning
from cosim.core import Adapter, CosimError, Input, Output, ScenarioError, Step
from cosim.core.ports import Kind, Vector

_DISCARD, _ERROR, _FATAL = 2, 3, 4


@dataclass(frozen=True)
class Variable:
    """A variable of the FMU, as a port shows it.

    Parameters
    ----------
    name
        The variable's name in the model description.
    unit
        Unit of the port, by default the variable's own. Values are converted, offsets included, so that a model in
        kelvin can have ports in °C. Needed where the model description has no unit.
    default
        For an input, as for `Input`.
    kind
        For an output. ``"end"``: its value at the end of the step. ``"mean"``: the mean of its values at the ends of
        the FMU's communication steps within the adapter's step, see ``communication_step_s``.
    """

    name: str
    unit: str | None = None
    default: ArrayLike | None = None
    kind: Kind = "end"


@dataclass(frozen=True)
class _Slot:
    """Where a port's values lie in the FMU."""

    port: str
    reference: int
    size: int
    meaning: Meaning


class Fmu(Adapter):
    """Instances of one FMU for co-simulation (FMI 2 or 3), one a label.

    **An FMU is native code** that can do all that its user can: run only what comes from a source that you trust.
    It runs in a worker process, so that its crash or hang ends the run and nothing else.

    Inputs are held over each communication step. Elements of an array variable (FMI 3) are labelled ``label[1]``,
    ``label[2]``, … in row-major order. A resumed run restores FMUs that can serialize their state from it and replays
    the others.

    Parameters
    ----------
    path
        The ``.fmu`` file. Only its model description is read before `open`, which unpacks it.
    instances
        Label to parameters of the instance, in the FMU's own units; or just labels. Whatever has a start value can
        be set.
    inputs, outputs
        Port to `Variable` or to the variable's name; by default every input and output, under its own name with
        ``_`` for what no Python name has. An input that is left out keeps its start value.
    communication_step_s
        Length of the FMU's communication steps, a whole part of the adapter's step. [s] By default the adapter's.

    Raises
    ------
    InputFileError
        If it is not an FMU that can run here.
    ScenarioError
        Everything that is wrong with variables, units and parameters.

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
        self._internal_step_s = float(ability.fixedInternalStepSize or 0.0)
        self._one_length = not ability.canHandleVariableCommunicationStepSize
        problems = self._instance_problems(description)
        self._inputs = self._slots(description, inputs, "input", problems)
        self._outputs = self._slots(description, outputs, "output", problems)
        if problems:
            raise ScenarioError(problems)
        if ability.canGetAndSetFMUstate and ability.canSerializeFMUstate and type(self) is Fmu:
            self.__class__ = _SerializableFmu  # the class is asked how it is brought back
        self._slaves: list[_Instance] = []
        self._unpacked: tempfile.TemporaryDirectory[str] | None = None

    def _instance_problems(self, description: Any) -> list[str]:
        problems = []
        if not self.instances:
            problems.append(f"{self.path.name}: instances is empty: name at least one")
        if len(self.instances) > 1 and description.coSimulation.canBeInstantiatedOnlyOncePerProcess:
            problems.append(f"{self.path.name} can be instantiated only once in a process: make an adapter a label")
        known = {variable.name: variable for variable in description.modelVariables}
        for label, parameters in self.instances.items():
            for name, value in parameters.items():
                try:
                    _written(known[name], value)
                except KeyError:
                    there = ", ".join(v.name for v in known.values() if v.causality == "parameter") or "none"
                    problems.append(f"{label}: {self.path.name} has no variable {name!r}: its parameters are {there}")
                except (TypeError, ValueError) as error:
                    problems.append(f"{label}: {name} is {value!r}: {error}")
        step_s = self.communication_step_s
        if step_s is not None and not step_s > 0:
            problems.append(f"communication_step_s is {step_s:g}: it must be positive")
        return problems

    def _slots(
        self, description: Any, wanted: Mapping[str, Variable | str] | None, side: Literal["input", "output"],
        problems: list[str],
    ) -> dict[str, list[_Slot]]:  # fmt: skip
        """Declare the ports of one side and return what lies behind them, by the variables' type."""
        asked: dict[str, Variable | str] = dict(wanted or {})
        if wanted is None:
            for name in fmu_description.names(description, side):
                port = re.sub(r"\W", "_", name)
                if asked.setdefault(port, name) != name:
                    problems.append(f"{asked[port]} and {name} would be one port: name them in {side}s=")
        slots: dict[str, list[_Slot]] = {}
        for port, named in asked.items():
            variable = Variable(named) if isinstance(named, str) else named
            if hasattr(self, port):
                problems.append(f"port {port!r} cannot be called so: the name is taken, choose one in {side}s=")
                continue
            try:
                found = fmu_description.find(description, variable.name, side, self.path)
                meaning = fmu_description.meaning(description, found, variable.unit, self.path)
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
                slots.setdefault(found.type, []).append(_Slot(port, found.valueReference, size, meaning))
        return slots

    def open(self) -> None:
        """Unpack the FMU, instantiate and initialize it for every label."""
        description = fmu_description.read(self.path)
        self._unpacked = tempfile.TemporaryDirectory(prefix="cosim-fmu-", ignore_cleanup_errors=True)
        fmu_description.load_fmpy().extract(self.path, self._unpacked.name)
        for label, parameters in self.instances.items():
            slave = _Instance(f"{self.path.name} [{label}]")
            self._slaves.append(slave)
            slave.start(description, self._unpacked.name, parameters)
        self._length_s: float | None = None
        for slot, values in self._read().items():
            port: Output = getattr(self, slot)
            if port.kind == "end":
                port.value = values

    def advance(self, step: Step) -> None:
        """Set the inputs, let every instance do its steps, read the outputs."""
        n, length_s = self._steps(step)
        self._write()
        sums: dict[str, Vector] = {}
        for k in range(n):
            for slave in self._slaves:
                slave.step(step.start_s + k * length_s, length_s)
            said = self._read()
            for slot, values in said.items():
                sums[slot] = sums[slot] + values if k else values
        for slot, values in said.items():
            port: Output = getattr(self, slot)
            port.value = sums[slot] / n if port.kind == "mean" else values

    def _steps(self, step: Step) -> tuple[int, float]:
        """Return number and length of the communication steps within a step."""
        wanted = self.communication_step_s or step.length_s
        n = round(step.length_s / wanted)
        if n < 1 or abs(n * wanted - step.length_s) > 1e-9 * step.length_s:
            raise CosimError(f"communication_step_s is {wanted:g}: it must be a whole part of the adapter's step, "
                             f"{step.length_s:g} s")  # fmt: skip
        if self._length_s is None:
            internal = self._internal_step_s
            if internal and abs(round(wanted / internal) * internal - wanted) > 1e-9 * wanted:
                raise CosimError(
                    f"{self.path.name} has a fixed internal step of {internal:g} s: its communication steps must be "
                    f"whole multiples of it, not {wanted:g} s"
                )
            self._length_s = wanted
        if self._one_length and abs(wanted - self._length_s) > 1e-9 * wanted:
            raise CosimError(f"{self.path.name} cannot change the length of its communication steps from "
                             f"{self._length_s:g} to {wanted:g} s: keep one length")  # fmt: skip
        return n, step.length_s / n

    def _write(self) -> None:
        for kind, slots in self._inputs.items():
            columns = []
            for slot in slots:
                values = (getattr(self, slot.port).value - slot.meaning.offset) / slot.meaning.factor
                columns.append(values.reshape(len(self._slaves), slot.size))
            references = [slot.reference for slot in slots]
            for slave, row in zip(self._slaves, np.hstack(columns), strict=True):
                slave.write(kind, references, row.tolist())

    def _read(self) -> dict[str, Vector]:
        said = {}
        for kind, slots in self._outputs.items():
            references, sizes = [slot.reference for slot in slots], [slot.size for slot in slots]
            rows = np.array([slave.read(kind, references, sum(sizes)) for slave in self._slaves])
            for slot, values in zip(slots, np.split(rows, np.cumsum(sizes)[:-1], axis=1), strict=True):
                said[slot.port] = values.ravel() * slot.meaning.factor + slot.meaning.offset
        return said

    def close(self) -> None:
        """Terminate and free every instance and remove what was unpacked."""
        slaves, self._slaves = self._slaves, []
        unpacked, self._unpacked = self._unpacked, None
        try:
            if not any(slave.is_fatal for slave in slaves):  # which corrupts all instances, by the standard
                for slave in slaves:
                    slave.close()
        finally:
            if unpacked is not None:
                unpacked.cleanup()

    def versions(self) -> dict[str, str]:
        """Return the version of fmpy, which runs the FMU."""
        return {"fmpy": str(fmu_description.load_fmpy().__version__)}


class _SerializableFmu(Fmu):
    """An FMU that can write down its state."""

    replays = False

    def save(self, folder: Path) -> None:
        """Write the state of every instance."""
        for i, slave in enumerate(self._slaves):
            (folder / f"{i}.state").write_bytes(slave.state())

    def load(self, folder: Path) -> None:
        """Restore the state of every instance."""
        for i, slave in enumerate(self._slaves):
            slave.restore((folder / f"{i}.state").read_bytes())


class _Instance:
    """One instance of an FMU: calls it through fmpy, and turns its complaints into errors with its own words."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._slave: Any = None
        self._status = 0
        self._words: deque[str] = deque(maxlen=3)

    def start(self, description: Any, folder: str, parameters: Mapping[str, Any]) -> None:
        """Instantiate and initialize it."""
        from fmpy.simulation import instantiate_fmu

        def log(*message: Any) -> None:  # the signatures of FMI 2 and 3 differ only before the status
            status, _, text = message[-3:]
            if status and text:
                self._words.append(" ".join(text.decode(errors="replace").split()))

        self._is_3 = description.fmiMajorVersion == 3
        with contextlib.chdir(Path.cwd()):  # fmpy 0.3.32 stays in the library's folder if that does not load
            self._slave = self._call(
                "instantiation", instantiate_fmu, folder, description, "CoSimulation", debug_logging=True, logger=log
            )
        known = {variable.name: variable for variable in description.modelVariables}
        if not self._is_3:
            self._call("setup", self._slave.setupExperiment, startTime=0.0)
        for name, value in parameters.items():
            self._set(known[name].type, [known[name].valueReference], _written(known[name], value), f"setting {name}")
        self._call("initialization", self._slave.enterInitializationMode)
        self._call("initialization", self._slave.exitInitializationMode)

    def _call(self, what: str, function: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
        try:
            return function(*arguments, **settings)
        except Exception as error:
            self._status = getattr(error, "status", _ERROR)
            raise CosimError(f"{self._name} failed in its {what}: {str(error).strip()}{self._said()}") from error

    def _said(self) -> str:
        return f" It says: {' / '.join(self._words)}" if self._words else ""

    def _set(self, kind: str, references: list[int], values: list[Any], what: str) -> None:
        setter = getattr(self._slave, f"set{_accessor(kind, self._is_3)}")
        self._call(what, setter, references, values)

    def write(self, kind: str, references: list[int], values: list[float]) -> None:
        """Set variables of one type to numbers; a type that is not real takes only whole ones."""
        exact: list[Any] = values
        if kind not in ("Real", "Float32", "Float64"):
            exact = [round(value) for value in values]
            if exact != values:
                raise CosimError(f"{self._name} is sent {values} for variables of type {kind}: only whole numbers fit")
        self._set(kind, references, exact, "inputs")

    def read(self, kind: str, references: list[int], size: int) -> list[float]:
        """Return the values of variables of one type, ``size`` elements in all."""
        getter = getattr(self._slave, f"get{_accessor(kind, self._is_3)}")
        return list(map(float, self._call("outputs", getter, references, *([size] if self._is_3 else []))))

    def step(self, start_s: float, length_s: float) -> None:
        """Do one communication step."""
        done = self._call(f"step from {start_s:g} to {start_s + length_s:g} s", self._slave.doStep, start_s, length_s)
        if done is not None and (done[1] or done[2]):
            why = "asks to end the simulation" if done[1] else f"returned early, at {done[3]:g} s,"
            when = f"in its step from {start_s:g} to {start_s + length_s:g} s"
            raise CosimError(f"{self._name} {why} {when}.{self._said()}")

    def state(self) -> bytes:
        """Return its state."""
        state = self._call("saving of its state", self._slave.getFMUState)
        try:
            return bytes(self._call("saving of its state", self._slave.serializeFMUState, state))
        finally:
            self._slave.freeFMUState(state)

    def restore(self, saved: bytes) -> None:
        """Go on from a state."""
        state = self._call("restoring of its state", self._slave.deserializeFMUState, saved)
        self._call("restoring of its state", self._slave.setFMUState, state)
        self._slave.freeFMUState(state)

    @property
    def is_fatal(self) -> bool:
        """Whether it may not be called any more, not even to be freed."""
        return self._status >= _FATAL

    def close(self) -> None:
        """Terminate and free it, as far as the standard allows after an error."""
        slave, self._slave = self._slave, None
        if slave is None:
            return
        try:
            if self._status <= _DISCARD:
                self._call("termination", slave.terminate)
        finally:
            slave.freeInstance()


def _accessor(kind: str, is_3: bool) -> str:
    """Return what fmpy's getters and setters call a type."""
    return ("Int64" if is_3 else "Integer") if kind == "Enumeration" else kind


def _written(variable: Any, value: Any) -> list[Any]:
    """Return a parameter's value as the elements that its type takes.

    Raises
    ------
    TypeError, ValueError
        If the value does not fit, or the variable has no start value to set.
    """
    if variable.start is None or variable.causality == "structuralParameter" or variable.variability == "constant":
        raise ValueError("it has no start value that could be set")
    elements = list(value) if variable.shape else [value]
    if variable.shape and len(elements) != fmu_description.size(variable):
        raise ValueError(f"it has {fmu_description.size(variable)} elements")
    if variable.type == "String":
        return [str(element) for element in elements]
    numbers = [float(element) for element in elements]
    if not np.isfinite(numbers).all():
        raise ValueError("it must be finite")
    if variable.type in ("Real", "Float32", "Float64"):
        return numbers
    if any(number != round(number) for number in numbers):
        raise ValueError(f"a {variable.type} must be whole")
    return [round(number) for number in numbers]
