"""Argument checks with uniform messages."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from numbers import Real

from .errors import CosimError

_LONGEST = 60


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint to the known name that is most similar; empty if none is.

    >>> did_you_mean("EVshare", ["EvShare", "HeatPumps"]), did_you_mean("x", ["EvShare"])
    (', did you mean EvShare?', '')
    """
    by_lower = {one.lower(): one for one in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.7)
    return f", did you mean {by_lower[found[0]]}?" if found else ""


def shown(value: object) -> str:
    """Return a value as shown in messages: the first line of its repr, truncated if long.

    Examples
    --------
    >>> shown("8 o'clock"), len(shown(list(range(1000))))
    ('"8 o\\'clock"', 60)
    """
    line = repr(value).partition("\n")[0]
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def require(value: object, kinds: type | tuple[type, ...], what: str, rule: str) -> None:
    """Check the type of an argument.

    Parameters
    ----------
    value, kinds
        The argument, and the types it may have.
    what, rule
        Its name in the message, and how to write it.

    Raises
    ------
    CosimError
        If the type does not match.

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
    """Return whether an argument is a finite number and not a bool.

    Examples
    --------
    >>> is_finite(3), is_finite(float("nan")), is_finite("3"), is_finite(True)
    (True, False, False, False)
    """
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


def finite(value: object, what: str) -> float:
    """Return an argument as a finite float.

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
