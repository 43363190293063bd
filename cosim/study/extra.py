"""Packages that parts of a study need beyond the basic installation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cosim.core.errors import CosimError


@contextmanager
def needs(package: str, what: str) -> Iterator[None]:
    """Turn a missing package of the extra ``study`` into one clear error."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise CosimError(f"{what} needs {package}: install it with pip install 'cosim-city[study]'") from error
