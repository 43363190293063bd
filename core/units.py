"""Which units do ports speak, and which of them convert into which?

One pint registry serves the whole package. It also knows ``var``, ``VA``, ``EUR``, ``vehicle`` and ``person``,
each a dimension of its own, and ``pu`` = 1: a watt is not a var, and a vehicle is not a person. Units are
resolved when a scenario is built; nothing of pint is left in a running simulation.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pint

from .errors import UnitError

_REGISTRY: pint.UnitRegistry[float] = pint.UnitRegistry(on_redefinition="ignore", autoconvert_offset_to_baseunit=False)
for _definition in (
    "var = [reactive_power]",
    "VA = [apparent_power]",
    "EUR = [currency]",
    "vehicle = [vehicle]",
    "person = [person]",
    "pu = 1",
):
    _REGISTRY.define(_definition)

# Units whose sum over elements is a physical total, so that moving them between elements must not lose any.
_EXTENSIVE = frozenset(
    _REGISTRY.parse_units(text).dimensionality
    for text in (
        "W", "var", "VA", "kg/s", "m**3/s", "vehicle/s", "person/s", "EUR/s",
        "J", "kg", "vehicle", "person", "EUR",
    )
)  # fmt: skip
_OFFSET = frozenset({"degree_Celsius", "degree_Fahrenheit", "degree_Reaumur"})


@cache
def parse(text: str) -> pint.Unit:
    """Resolve a unit.

    Raises
    ------
    UnitError
        If the registry does not know it.

    Examples
    --------
    >>> str(parse("kW"))
    'kilowatt'
    """
    if text in ("1", ""):
        return _REGISTRY.parse_units("")
    try:
        return _REGISTRY.parse_units(text.replace("°C", "degC"))
    except Exception as error:
        raise UnitError(
            f"unknown unit {text!r}: write it as in 'W', 'kg/s', 'degC', 'vehicle', 'EUR/J', or '1' for a ratio"
        ) from error


@cache
def factor(source: str, target: str) -> float:
    """Return what a value in ``source`` is multiplied by to be in ``target``.

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
    a, b = parse(source), parse(target)
    if a == b:
        return 1.0
    if a.dimensionality != b.dimensionality:
        raise UnitError(f"{source} and {target} are different quantities")
    if _OFFSET & {*a._units, *b._units}:
        raise UnitError(
            f"{source} and {target} differ by an offset, not a factor: use the same temperature unit at both ends"
        )
    return float(_REGISTRY.convert(1.0, a, b))


def seconds(text: str) -> float:
    """Return a length of time written with its unit, or a bare number of seconds, in seconds.

    Raises
    ------
    UnitError
        If it is no length of time.

    Examples
    --------
    >>> seconds("10 min"), seconds("1 day"), seconds("30")
    (600.0, 86400.0, 30.0)
    """
    try:
        quantity: Any = _REGISTRY.Quantity(text)
        return float(quantity.m if quantity.dimensionless else quantity.m_as("s"))
    except Exception as error:
        raise UnitError(f"{text!r} is no length of time") from error


@cache
def is_extensive(text: str) -> bool:
    """Tell whether values in this unit add up over elements to a total that must be conserved.

    Examples
    --------
    >>> is_extensive("kW"), is_extensive("vehicle/s"), is_extensive("degC"), is_extensive("EUR/J")
    (True, True, False, False)
    """
    return parse(text).dimensionality in _EXTENSIVE
