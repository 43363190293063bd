"""Model descriptions of FMUs and the units of their variables.

Only the model description is read here; the FMU is neither unpacked nor run.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import defusedxml.ElementTree
import numpy as np

from cosim.core import CosimError, InputFileError, UnitError
from cosim.core import units as unit_registry

_LARGEST_GIB = 4
"""Largest unpacked size of an FMU, as protection against zip bombs. Assumption."""
_NUMBERS = frozenset(
    ("Real", "Integer", "Boolean", "Enumeration", "Float32", "Float64", "Int8", "UInt8", "Int16", "UInt16",
     "Int32", "UInt32", "Int64", "UInt64")
)  # fmt: skip
_SHORT = {
    "kilogram": "kg",
    "meter": "m",
    "second": "s",
    "ampere": "A",
    "kelvin": "K",
    "mole": "mol",
    "candela": "cd",
}
_SI = tuple(_SHORT.values())  # FMI's base units with a dimension; its rad is a ratio


@dataclass(frozen=True)
class Meaning:
    """Conversion between a variable of the FMU and an element of a port: port = factor · variable + offset."""

    unit: str
    factor: float = 1.0
    offset: float = 0.0
    assumed: bool = False
    """Whether the variable's own unit is an assumption, because nothing states it."""


@dataclass(frozen=True)
class Quantity:
    """A unit in SI: SI value = factor · value + offset."""

    dimensions: dict[str, float]
    factor: float
    offset: float


def read(path: Path) -> Any:
    """Return fmpy's model description of a co-simulation FMU that can run here.

    Raises
    ------
    InputFileError
        If the file is missing, not an FMU, malformed, not trusted, of another FMI version or kind, or built only for
        other platforms.
    """
    fmpy = load_fmpy()
    if not path.is_file():
        raise InputFileError(f"FMU {path} does not exist")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_names(path, archive)
            text = archive.read("modelDescription.xml")
            binaries = [name for name in archive.namelist() if name.startswith(_binaries(fmpy.platform))]
        defusedxml.ElementTree.fromstring(text, forbid_dtd=True)
        description = fmpy.read_model_description(path)
    except CosimError:
        raise
    except (zipfile.BadZipFile, KeyError) as error:
        raise InputFileError(f"{path.name} is not an FMU: pass a zip archive with a modelDescription.xml") from error
    except Exception as error:
        reason = " ".join((str(error).strip().splitlines() or [type(error).__name__])[:3])
        raise InputFileError(f"{path.name} has a model description that cannot be read: {reason}") from error
    if description.fmiMajorVersion not in (2, 3):
        raise InputFileError(f"{path.name} uses FMI {description.fmiVersion}: export it for FMI 2 or 3")
    if description.coSimulation is None:
        raise InputFileError(f"{path.name} is for model exchange only, without a solver: export it for co-simulation")
    there = fmpy.supported_platforms(path)
    if fmpy.platform not in there:
        raise InputFileError(
            f"{path.name} has no binary for {fmpy.platform}, only {', '.join(there) or 'none'}: export it for this "
            "platform, or compile its sources with 'fmpy compile'"
        )
    library = description.coSimulation.modelIdentifier
    if not any(PurePosixPath(name).stem == library for name in binaries):
        raise InputFileError(
            f"{path.name} has no library {library!r}, its model identifier, for {fmpy.platform}, only "
            f"{', '.join(binaries) or 'none'}: export it again"
        )
    return description


def _binaries(platform: str) -> tuple[str, ...]:
    """Return the folders of a platform's libraries, as FMI 2 and FMI 3 name them."""
    system, bits = platform[:-2], platform[-2:]
    machines = {"64": ("x86_64", "aarch64"), "32": ("x86", "i686")}[bits]
    newer = {"win": "windows"}.get(system, system)
    return (f"binaries/{platform}/", *(f"binaries/{machine}-{newer}/" for machine in machines))


def load_fmpy() -> Any:
    """Return the package that runs FMUs, which is optional."""
    try:
        import fmpy
    except ImportError as error:
        raise CosimError("FMUs need fmpy: pip install 'cosim-city[fmu]'") from error
    return fmpy


def _check_names(path: Path, archive: zipfile.ZipFile) -> None:
    for entry in archive.infolist():
        # orig_filename, because zipfile sanitises names only on extraction
        name = PurePosixPath(entry.orig_filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in entry.orig_filename:
            raise InputFileError(f"{path.name} would unpack {entry.orig_filename!r} outside its folder: do not use it")
    size_gib = sum(entry.file_size for entry in archive.infolist()) / 2**30
    if size_gib > _LARGEST_GIB:
        raise InputFileError(f"{path.name} would unpack to {size_gib:.1f} GiB: at most {_LARGEST_GIB} are allowed")


def find(description: Any, name: str, causality: str, path: Path) -> Any:
    """Return a numeric variable by name.

    Raises
    ------
    CosimError
        If it is unknown, not numeric, or of another causality.
    """
    known = {variable.name: variable for variable in description.modelVariables}
    variable = known.get(name)
    if variable is None or not _serves(variable, causality):
        there = names(description, causality)
        also = "" if variable is None else f" (it is of causality {variable.causality})"
        if variable is not None and causality == "input" and variable.causality == "parameter":
            also = " (it is a fixed parameter: pass its value in instances=)"
        raise CosimError(f"{path.name} has no {causality} {name!r}{also}; available: {', '.join(there) or 'none'}")
    if variable.type not in _NUMBERS:
        raise CosimError(f"{path.name}: {name} is a {variable.type}: only numbers can pass through a port")
    return variable


def _serves(variable: Any, side: str) -> bool:
    """Tell whether a variable can stand behind a port of one side."""
    if side == "output":
        return variable.causality in ("output", "local")
    return variable.causality == "input" or is_tunable(variable)


def is_tunable(variable: Any) -> bool:
    """Tell whether a variable is a parameter that may change between steps."""
    return bool(variable.causality == "parameter" and variable.variability == "tunable")


def items(variable: Any) -> dict[str, int]:
    """Return the items of an enumeration, name to value; empty for other types."""
    declared = variable.declaredType.items if variable.declaredType is not None else []
    return {item.name: int(item.value) for item in declared} if variable.type == "Enumeration" else {}


def left_out(description: Any, causality: str) -> list[tuple[str, str]]:
    """Return name and type of the variables with a causality that cannot pass through a port."""
    return [(v.name, v.type) for v in description.modelVariables if v.causality == causality and v.type not in _NUMBERS]


def names(description: Any, causality: str) -> list[str]:
    """Return the names of the numeric variables with a causality."""
    return [v.name for v in description.modelVariables if v.causality == causality and v.type in _NUMBERS]


def size(variable: Any) -> int:
    """Return the number of elements of a variable, 1 for a scalar."""
    return math.prod(variable.shape or ())


def limits(variable: Any) -> tuple[float, float]:
    """Return the range that the model description states for a variable, infinite where it states none."""
    declared = variable.declaredType
    low, high = (
        getattr(variable, side, None) or (getattr(declared, side, None) if declared else None)
        for side in ("min", "max")
    )
    return (-math.inf if low is None else float(low)), (math.inf if high is None else float(high))


def meaning(description: Any, variable: Any, asked: str | None, path: Path, given: str | None = None) -> Meaning:
    """Return the unit of a port and the conversion of the variable into it.

    The unit's definition in the model description takes precedence over its name. Without ``asked`` the port has the
    variable's unit if the registry knows it with the same meaning, otherwise its SI unit. If the model description
    has no usable unit, the variable is in ``given``, and without that it is assumed to be in ``asked``.

    Raises
    ------
    UnitError
        If no unit is given, the variable's unit does not convert into ``asked``, or ``given`` contradicts the model
        description.
    """
    is_real = variable.type in ("Real", "Float32", "Float64")
    if not is_real and given is None:
        return Meaning("1" if asked is None else asked)
    declared = variable.unit or (variable.declaredType.unit if variable.declaredType else None)
    own = _own(description, declared) if is_real else None
    if given is not None:
        unit_registry.parse(given)
        stated = _known(given)
        assert stated is not None
        if own is not None and not _same(own, stated):
            raise UnitError(
                f"{path.name}: {variable.name} is in {declared} by the model description, fmu_unit says {given}: "
                "leave fmu_unit out, or mend the model description"
            )
        own, declared = stated, given
    if own is None:
        if asked is None:
            lack = f"has an undefined unit {declared!r}" if declared else "has no unit"
            raise UnitError(
                f"{path.name}: {variable.name} {lack} in the model description: declare it, "
                f"Variable({variable.name!r}, unit='…'), and its own unit by fmu_unit='…' if that is another one"
            )
        return Meaning(asked, assumed=True)
    if asked is None:
        known = _known(declared)
        asked = str(declared) if known is not None and _same(known, own) else _si_text(own.dimensions)
    unit_registry.parse(asked)
    wanted = _known(asked)
    assert wanted is not None
    if wanted.dimensions != own.dimensions or unit_registry.is_level(asked) != unit_registry.is_level(declared or ""):
        raise UnitError(
            f"{path.name}: {variable.name} [{declared}] cannot be converted to {asked}: these are different quantities"
        )
    relative = variable.relativeQuantity or (variable.declaredType and variable.declaredType.relativeQuantity)
    offset = 0.0 if relative else (own.offset - wanted.offset) / wanted.factor
    return Meaning(asked, own.factor / wanted.factor, offset)


def _same(a: Quantity, b: Quantity) -> bool:
    return a.dimensions == b.dimensions and np.allclose(
        (a.factor, a.offset), (b.factor, b.offset), rtol=1e-9, atol=1e-12
    )


def _own(description: Any, name: str | None) -> Quantity | None:
    """Return the quantity of a unit in the model description, by its definition or otherwise by its name."""
    if not name:
        return None
    known = _known(name)
    if unit_registry.is_level(name):
        return known  # whatever its definition says, which knows no logarithm
    definition = next((unit.baseUnit for unit in description.unitDefinitions if unit.name == name), None)
    if definition is None or (known is not None and not _is_si(known.dimensions)):
        return known  # var, VA, EUR, vehicle: SI cannot tell a var from a watt
    dimensions = {base: float(getattr(definition, base)) for base in _SI if float(getattr(definition, base) or 0)}
    return Quantity(dimensions, float(definition.factor), float(definition.offset))


def _known(text: str | None) -> Quantity | None:
    """Return the quantity of a unit in the registry; None if it is unknown."""
    try:
        unit = unit_registry.parse(str(text))
    except UnitError:
        return None
    # SI values of 0 and 1 in this unit: their difference is the factor
    zero, one = (unit._REGISTRY.Quantity(value, unit).to_base_units() for value in (0.0, 1.0))
    powers: Iterable[tuple[str, Any]] = zero.units._units.items()
    dimensions = {_SHORT.get(name, name): float(power) for name, power in powers if name != "radian"}
    return Quantity(dimensions, float(one.magnitude - zero.magnitude), float(zero.magnitude))


def _is_si(dimensions: Iterable[str]) -> bool:
    return all(name in _SI for name in dimensions)


def _si_text(dimensions: dict[str, float]) -> str:
    return "*".join(f"{base}**{power:g}" for base, power in dimensions.items()) or "1"
