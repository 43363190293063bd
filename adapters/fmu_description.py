"""What does an FMU say about itself, and what do its variables mean in the units of ports?

Only the model description is read here; nothing of the FMU is unpacked or run.
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
"""What an FMU may unpack to: a bound against archives that are bombs; an assumption."""
_NUMBERS = frozenset(
    ("Real", "Integer", "Boolean", "Enumeration", "Float32", "Float64", "Int8", "UInt8", "Int16", "UInt16",
     "Int32", "UInt32", "Int64", "UInt64")
)  # fmt: skip
_SHORT = {
    "kilogram": "kg", "meter": "m", "second": "s", "ampere": "A", "kelvin": "K", "mole": "mol", "candela": "cd",
}  # fmt: skip
_SI = tuple(_SHORT.values())  # FMI's base units with a dimension; its rad is a ratio


@dataclass(frozen=True)
class Meaning:
    """How a variable of the FMU and an element of a port belong together: port = factor · variable + offset."""

    unit: str
    factor: float = 1.0
    offset: float = 0.0


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
        If the file is missing, no FMU, malformed, not to be trusted, of another FMI version or kind, or built for
        other platforms only.
    """
    fmpy = load_fmpy()
    if not path.is_file():
        raise InputFileError(f"there is no FMU {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_names(path, archive)
            text = archive.read("modelDescription.xml")
        defusedxml.ElementTree.fromstring(text, forbid_dtd=True)
        description = fmpy.read_model_description(path)
    except CosimError:
        raise
    except (zipfile.BadZipFile, KeyError) as error:
        raise InputFileError(f"{path.name} is no FMU: it must be a zip archive with a modelDescription.xml") from error
    except Exception as error:
        words = " ".join((str(error).strip().splitlines() or [type(error).__name__])[:3])
        raise InputFileError(f"{path.name} has a model description that cannot be read: {words}") from error
    if description.fmiMajorVersion not in (2, 3):
        raise InputFileError(f"{path.name} is of FMI {description.fmiVersion}: FMI 2 and 3 run here, export it again")
    if description.coSimulation is None:
        raise InputFileError(f"{path.name} is for model exchange only, without a solver: export it for co-simulation")
    there = fmpy.supported_platforms(path)
    if fmpy.platform not in there:
        raise InputFileError(
            f"{path.name} has no binary for {fmpy.platform}, only {', '.join(there) or 'none'}: export it for this "
            "platform, or compile its sources with 'fmpy compile'"
        )
    return description


def load_fmpy() -> Any:
    """Return the package that runs FMUs, which is optional."""
    try:
        import fmpy
    except ImportError as error:
        raise CosimError("FMUs need fmpy: pip install 'cosim[fmu]'") from error
    return fmpy


def _check_names(path: Path, archive: zipfile.ZipFile) -> None:
    for entry in archive.infolist():
        # orig_filename, because zipfile makes a name harmless only on the way out
        name = PurePosixPath(entry.orig_filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in entry.orig_filename:
            raise InputFileError(f"{path.name} would unpack {entry.orig_filename!r} outside its folder: do not use it")
    size_gib = sum(entry.file_size for entry in archive.infolist()) / 2**30
    if size_gib > _LARGEST_GIB:
        raise InputFileError(f"{path.name} would unpack to {size_gib:.1f} GiB: at most {_LARGEST_GIB} are allowed")


def find(description: Any, name: str, causality: str, path: Path) -> Any:
    """Return a variable of numbers by name.

    Raises
    ------
    CosimError
        If there is none, or it is not what is asked for.
    """
    known = {variable.name: variable for variable in description.modelVariables}
    variable = known.get(name)
    if variable is None or variable.causality not in (causality, "local" if causality == "output" else causality):
        there = names(description, causality)
        also = "" if variable is None else f" (it is of causality {variable.causality})"
        raise CosimError(f"{path.name} has no {causality} {name!r}{also}: there are {', '.join(there) or 'none'}")
    if variable.type not in _NUMBERS:
        raise CosimError(f"{path.name}: {name} is a {variable.type}: only numbers can pass through a port")
    return variable


def names(description: Any, causality: str) -> list[str]:
    """Return the names of the variables of numbers with a causality."""
    return [v.name for v in description.modelVariables if v.causality == causality and v.type in _NUMBERS]


def size(variable: Any) -> int:
    """Return the number of elements of a variable, 1 for a scalar."""
    return math.prod(variable.shape or ())


def meaning(description: Any, variable: Any, asked: str | None, path: Path) -> Meaning:
    """Return the unit of a port and how the variable converts into it.

    The unit's definition in the model description decides, and not its name. Without ``asked`` the port has the
    variable's unit if the registry knows it with the same meaning, else its SI unit. Where the model description
    says nothing that can be understood, ``asked`` is taken at its word.

    Raises
    ------
    UnitError
        If nobody says what the unit is, or the variable's does not convert into ``asked``.
    """
    if variable.type not in ("Real", "Float32", "Float64"):
        return Meaning("1" if asked is None else asked)
    declared = variable.unit or (variable.declaredType.unit if variable.declaredType else None)
    own = _own(description, declared)
    if own is None:
        if asked is None:
            said = f"has a unit {declared!r} that is not defined" if declared else "has no unit"
            raise UnitError(f"{path.name}: {variable.name} {said} in the model description: declare it, "
                            f"Variable({variable.name!r}, unit='…')")  # fmt: skip
        return Meaning(asked)
    if asked is None:
        known = _known(declared)
        same = known is not None and known.dimensions == own.dimensions and np.allclose(
            (known.factor, known.offset), (own.factor, own.offset), rtol=1e-9, atol=1e-12
        )  # fmt: skip
        asked = str(declared) if same else _si_text(own.dimensions)
    unit_registry.parse(asked)
    wanted = _known(asked)
    assert wanted is not None
    if wanted.dimensions != own.dimensions:
        raise UnitError(f"{path.name}: {variable.name} [{declared}] is asked for in {asked}: these are different "
                        "quantities")  # fmt: skip
    relative = variable.relativeQuantity or (variable.declaredType and variable.declaredType.relativeQuantity)
    offset = 0.0 if relative else (own.offset - wanted.offset) / wanted.factor
    return Meaning(asked, own.factor / wanted.factor, offset)


def _own(description: Any, name: str | None) -> Quantity | None:
    """Return what a unit of the model description is, by its definition or else by its name."""
    if not name:
        return None
    known = _known(name)
    definition = next((unit.baseUnit for unit in description.unitDefinitions if unit.name == name), None)
    if definition is None or (known is not None and not _is_si(known.dimensions)):
        return known  # var, VA, EUR, vehicle: SI cannot tell a var from a watt
    dimensions = {base: float(getattr(definition, base)) for base in _SI if float(getattr(definition, base) or 0)}
    return Quantity(dimensions, float(definition.factor), float(definition.offset))


def _known(text: str | None) -> Quantity | None:
    """Return what a unit is by the registry; None if it does not know it."""
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
