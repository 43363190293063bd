"""Units of ports and conversion factors between them.

One pint registry serves the whole package. It also knows ``var``, ``VA``, ``EUR``, ``vehicle`` and ``person``,
each a dimension of its own, and ``pu`` = 1: a watt is not a var, and a vehicle is not a person. Units are
resolved when a scenario is built; a running simulation does not use pint.
"""

from __future__ import annotations

import re
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import UnitError
from .quantities import Vector

if TYPE_CHECKING:
    import pint

_DEFINITIONS = (
    "var = [reactive_power]",
    "VA = [apparent_power]",
    "EUR = [currency]",
    "vehicle = [vehicle]",
    "person = [person]",
    "pu = 1",
)
# Units whose sum over elements is a physical total, which a mapping between elements must conserve.
_TOTALS = ("W", "var", "VA", "kg/s", "m**3/s", "vehicle/s", "person/s", "EUR/s", "J", "kg", "vehicle", "person", "EUR")
_COMMON = {
    **dict.fromkeys(("W", "var", "J", "kg/s", "vehicle/s", "vehicle", "person", "EUR"), True),
    **dict.fromkeys(("1", "pu", "degC", "K", "dB", "m", "s", "m/s", "W/m**2", "kg/m**3", "EUR/J"), False),
    **dict.fromkeys(("vehicle*m/s", "vehicle/m"), False),
}
"""Units of this package's ports, and whether their values add up: known without pint, which takes half a second to
load."""
_FACTORS = {("kg/m**3", "µg/m^3"): 1e9}
"""Factors between them and units of indicators, known like them."""
_OFFSET = frozenset({"degree_Celsius", "degree_Fahrenheit", "degree_Reaumur"})
_LEVEL = re.compile(r"(?:dB|decibel)\s*\(?[ABCDZ]?\)?")
_LOGARITHMIC = frozenset({"decibelmilliwatt", "decibelwatt", "decibelmicrowatt", "neper", "octave", "decade"})
_LOADING = Lock()
_loaded: pint.UnitRegistry[float] | None = None


def _registry() -> pint.UnitRegistry[float]:
    """Return the one registry, made when the first unit is resolved; units of two registries cannot be compared."""
    global _loaded
    with _LOADING:
        if _loaded is None:
            # Here, not above: pint takes longer to load than all else in the contract together, and neither the
            # command line's help nor a worker process, whose ports arrive resolved, needs a unit.
            import pint

            _loaded = pint.UnitRegistry(on_redefinition="ignore", autoconvert_offset_to_baseunit=False)
            for definition in _DEFINITIONS:
                _loaded.define(definition)
        return _loaded


@cache
def _extensive() -> frozenset[Any]:
    return frozenset(_registry().parse_units(text).dimensionality for text in _TOTALS)


@cache
def parse(text: str) -> pint.Unit:
    """Resolve a unit.

    Raises
    ------
    UnitError
        If the unit is unknown.

    Examples
    --------
    >>> str(parse("kW"))
    'kilowatt'
    """
    if text in ("1", ""):
        return _registry().parse_units("")
    try:
        unit = _registry().parse_units("dB" if is_level(text) else text.replace("°C", "degC"))
    except Exception as error:
        raise UnitError(
            f"unknown unit {text!r}: write it as in 'W', 'kg/s', 'degC', 'vehicle', 'EUR/J', or '1' for a ratio"
        ) from error
    if logarithmic := sorted(_LOGARITHMIC & {*unit._units}):
        raise UnitError(f"{text!r} has the logarithmic unit {logarithmic[0]}: only levels in 'dB' are known")
    return unit


def check(text: str) -> None:
    """Refuse an unknown unit, see `parse`."""
    if text not in _COMMON:
        parse(text)


@cache
def factor(source: str, target: str) -> float:
    """Return the factor that converts a value in ``source`` to ``target``.

    Raises
    ------
    UnitError
        If the dimensions differ, or the conversion needs an offset (°C and K).

    Examples
    --------
    >>> factor("kW", "W")
    1000.0
    >>> factor("W", "var")
    Traceback (most recent call last):
        ...
    cosim.core.errors.UnitError: W and var are different quantities
    """
    if source == target and source in _COMMON:
        return 1.0
    if (source, target) in _FACTORS:
        return _FACTORS[source, target]
    a, b = parse(source), parse(target)
    if a == b:
        return 1.0
    if a.dimensionality != b.dimensionality or is_level(source) != is_level(target):
        raise UnitError(f"{source} and {target} are different quantities")
    if _OFFSET & {*a._units, *b._units}:
        raise UnitError(
            f"{source} and {target} differ by an offset, not a factor: use the same temperature unit at both ends"
        )
    return float(_registry().convert(1.0, a, b))


def seconds(text: str) -> float:
    """Return a duration, written with a unit or as a bare number of seconds, in seconds.

    Raises
    ------
    UnitError
        If it is not a duration.

    Examples
    --------
    >>> seconds("10 min"), seconds("1 day"), seconds("30")
    (600.0, 86400.0, 30.0)
    """
    try:
        quantity: Any = _registry().Quantity(text)
        return float(quantity.m if quantity.dimensionless else quantity.m_as("s"))
    except Exception as error:
        raise UnitError(f"{text!r} is not a duration") from error


@cache
def is_extensive(text: str) -> bool:
    """Return whether values in this unit add up over elements to a total that must be conserved.

    Examples
    --------
    >>> is_extensive("kW"), is_extensive("vehicle/s"), is_extensive("degC"), is_extensive("EUR/J")
    (True, True, False, False)
    """
    return _COMMON[text] if text in _COMMON else parse(text).dimensionality in _extensive()


def is_level(text: str) -> bool:
    """Return whether values in this unit are levels, whose means and sums are those of the energies behind them.

    Examples
    --------
    >>> is_level("dB"), is_level("dB(A)"), is_level("W")
    (True, True, False)
    """
    return _LEVEL.fullmatch(text.strip()) is not None


def energies(levels: Vector) -> Vector:
    """Return the energies of levels in dB, relative to that of 0 dB."""
    return 10.0 ** (np.asarray(levels) / 10)


def levels(energies: Vector) -> Vector:
    """Return the levels of energies, in dB; no energy has 0 dB, the threshold of hearing.

    Examples
    --------
    >>> float(levels(np.mean(energies([70.0, 60.0]))).round(2))
    67.4
    """
    energies = np.asarray(energies)
    some = energies > 0
    level: Vector = 10 * np.log10(energies, out=np.zeros(energies.shape), where=some)
    return np.where(np.isnan(energies), np.nan, level)


@cache
def conversion(source: str, target: str) -> tuple[float, float]:
    """Return factor and offset that convert a measured value in ``source`` to ``target``.

    Raises
    ------
    UnitError
        If the dimensions differ.

    Examples
    --------
    >>> conversion("K", "degC"), conversion("vehicle/h", "vehicle/s") == (1 / 3600, 0)
    ((1.0, -273.15), True)
    """
    a, b = parse(source), parse(target)
    if not _OFFSET & {*a._units, *b._units} or a.dimensionality != b.dimensionality:
        return factor(source, target), 0.0
    zero, one = (float(_registry().Quantity(value, a).m_as(b)) for value in (0.0, 1.0))
    return round(one - zero, 12), zero
