"""One instance of an FMU, called through fmpy, and what its variables accept."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cosim.adapters.fmu import description as fmu_description
from cosim.core import CosimError

_WARNING, _DISCARD, _ERROR, _FATAL = 1, 2, 3, 4
_MOST_WARNINGS = 20
_FLOATS = ("Real", "Float32", "Float64")
_RANGES = {"Boolean": (0, 1), "Integer": (-(2**31), 2**31 - 1), "Enumeration": (-(2**31), 2**31 - 1)} | {
    name: limits
    for bits in (8, 16, 32, 64)
    for name, limits in ((f"Int{bits}", (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)), (f"UInt{bits}", (0, 2**bits - 1)))
}
"""Least and largest value of the types of whole numbers; C would wrap others silently."""


class Instance:
    """One instance of an FMU, called through fmpy, with its log messages included in errors."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._slave: Any = None
        self._status = 0
        self._messages: deque[str] = deque(maxlen=3)
        self._hint = ""
        self._warned: list[str] = []
        self._news: list[str] = []

    def take_warnings(self) -> list[str]:
        """Return what it warned of since the last call, each text once and the first of them only."""
        news, self._news = self._news, []
        return news

    def instantiate(self, description: Any, folder: str) -> None:
        """Load its library and instantiate it."""
        from fmpy.simulation import instantiate_fmu

        def log(*message: Any) -> None:  # the signatures of FMI 2 and 3 differ only before the status
            status, _, text = message[-3:]
            if status and text:
                words = " ".join(text.decode(errors="replace").split())
                self._messages.append(words)
                if status == _WARNING and len(self._warned) < _MOST_WARNINGS and words not in self._warned:
                    self._warned.append(words)
                    self._news.append(words)

        self._is_3 = description.fmiMajorVersion == 3
        if description.coSimulation.needsExecutionTool:
            self._hint = f" It needs {description.generationTool or 'the tool that exported it'} installed here."
        with contextlib.chdir(Path.cwd()):  # fmpy 0.3.32 stays in the library's folder if loading fails
            self._slave = self._call(
                "instantiation", instantiate_fmu, folder, description, "CoSimulation", debug_logging=True, logger=log
            )

        self._hint = ""

    def enter_initialization(
        self, description: Any, parameters: Mapping[str, Any], start_s: float, stop_s: float | None
    ) -> None:
        """Set up its time and its parameters, and enter initialization mode, in which start values of inputs are set.

        FMI 2.0.3, 4.2.4: before that mode only variables whose initial value is exact or approximate may be set.
        """
        known = {variable.name: variable for variable in description.modelVariables}
        times = {"startTime": start_s, "stopTime": stop_s}
        if not self._is_3:
            self._call("setup", self._slave.setupExperiment, **times)
        given = [(known[name], value) for name, value in parameters.items()]
        self._set_start(pair for pair in given if pair[0].causality != "input")
        self._call("initialization", self._slave.enterInitializationMode, **(times if self._is_3 else {}))
        self._set_start(pair for pair in given if pair[0].causality == "input")

    def _set_start(self, values: Iterable[tuple[Any, Any]]) -> None:
        for variable, value in values:
            self._set(variable.type, [variable.valueReference], written(variable, value), f"setting {variable.name}")

    def exit_initialization(self) -> None:
        """Compute the initial state."""
        self._call("initialization", self._slave.exitInitializationMode)

    def _call(self, what: str, function: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
        try:
            return function(*arguments, **settings)
        except Exception as error:
            self._status = getattr(error, "status", _ERROR)
            words = f"{str(error).strip()}{self._logged()}{self._hint}"
            raise CosimError(f"{self._name} failed in its {what}: {words}") from error

    def _logged(self) -> str:
        return f" Its log: {' / '.join(self._messages)}" if self._messages else ""

    def _set(self, kind: str, references: list[int], values: list[Any], what: str) -> None:
        setter = getattr(self._slave, f"set{_accessor(kind, self._is_3)}")
        self._call(what, setter, references, values)

    def write(self, kind: str, references: list[int], values: list[float]) -> None:
        """Set variables of one type to numbers; types other than real accept only whole numbers."""
        exact: list[Any] = values
        if kind not in _FLOATS:
            exact = [round(value) for value in values]
            if exact != values:
                raise CosimError(f"{self._name} got {values} for variables of type {kind}: pass whole numbers")
            low, high = _RANGES[kind]
            if not all(low <= value <= high for value in exact):
                raise CosimError(
                    f"{self._name} got {exact} for variables of type {kind}: their values lie in {low} to {high}"
                )
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
            raise CosimError(f"{self._name} {why} {when}.{self._logged()}")

    def state(self) -> bytes:
        """Return its state."""
        state = self._call("saving of its state", self._slave.getFMUState)
        try:
            return bytes(self._call("saving of its state", self._slave.serializeFMUState, state))
        finally:
            self._slave.freeFMUState(state)

    def restore(self, saved: bytes) -> None:
        """Restore a state."""
        state = self._call("restoring of its state", self._slave.deserializeFMUState, saved)
        self._call("restoring of its state", self._slave.setFMUState, state)
        self._slave.freeFMUState(state)

    @property
    def is_fatal(self) -> bool:
        """Whether it must not be called any more, not even to free it."""
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
    """Return the name of a type in fmpy's getters and setters."""
    return ("Int64" if is_3 else "Integer") if kind == "Enumeration" else kind


def listed(items: Mapping[str, int]) -> str:
    return ", ".join(f"{value} ({name})" for name, value in items.items())


def written(variable: Any, value: Any) -> list[Any]:
    """Return a parameter's value as a list of elements of its type.

    Raises
    ------
    TypeError, ValueError
        If the value does not match the type or shape, or the variable has no start value to set.
    """
    if variable.start is None or variable.causality == "structuralParameter" or variable.variability == "constant":
        raise ValueError("it has no start value to set")
    elements = list(value) if variable.shape else [value]
    if variable.shape and len(elements) != fmu_description.size(variable):
        raise ValueError(f"it has {fmu_description.size(variable)} elements")
    if variable.type == "String":
        return [str(element) for element in elements]
    items = fmu_description.items(variable)
    numbers = [float(items.get(element, element) if isinstance(element, str) else element) for element in elements]
    if not np.isfinite(numbers).all():
        raise ValueError("it must be finite")
    if variable.type in _FLOATS:
        return numbers
    if any(number != round(number) for number in numbers):
        raise ValueError(f"a {variable.type} must be whole")
    low, high = _RANGES[variable.type]
    if any(not low <= number <= high for number in numbers):
        raise ValueError(f"a {variable.type} lies in {low} to {high}")
    if items and any(round(number) not in items.values() for number in numbers):
        raise ValueError(f"it is one of {listed(items)}")
    return [round(number) for number in numbers]
