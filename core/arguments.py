"""Is what a caller passed of the kind that it must be? One message for every argument that is not."""

from __future__ import annotations

import math
from numbers import Real

from .errors import CosimError

_LONGEST = 60


def shown(value: object) -> str:
    """Return a value as messages show it: the first line of its repr, cut where it gets long.

    Examples
    --------
    >>> shown("8 o'clock"), len(shown(list(range(1000))))
    ('"8 o\\'clock"', 60)
    """
    line = repr(value).partition("\n")[0]
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def require(value: object, kinds: type | tuple[type, ...], what: str, rule: str) -> None:
    """Check that an argument is of a type.

    Parameters
    ----------
    value, kinds
        The argument, and what it may be an instance of.
    what, rule
        What it is called in the message, and how it is written.

    Raises
    ------
    CosimError
        If it is not.

    Examples
    --------
    >>> require(3, str, "zone of the clock", "write one as 'Europe/Madrid'")
    Traceback (most recent call last):
        ...
    cosim.core.errors.CosimError: zone of the clock is 3: write one as 'Europe/Madrid'
    """
    if not isinstance(value, kinds):
        raise CosimError(f"{what} is {shown(value)}: {rule}")


def is_finite(value: object) -> bool:
    """Tell whether an argument is a finite number, and no truth value.

    Examples
    --------
    >>> is_finite(3), is_finite(float("nan")), is_finite("3"), is_finite(True)
    (True, False, False, False)
    """
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


def finite(value: object, what: str) -> float:
    """Return an argument as a number.

    Raises
    ------
    CosimError
        If it is not `is_finite`.

    Examples
    --------
    >>> finite("1", "hours of the clock")
    Traceback (most recent call last):
        ...
    cosim.core.errors.CosimError: hours of the clock is '1': it must be a finite number
    """
    if not is_finite(value):
        raise CosimError(f"{what} is {shown(value)}: it must be a finite number")
    return float(value)  # type: ignore[arg-type]
