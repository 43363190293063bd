"""What does a part of a study ask for beyond the plain installation?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cosim.core.errors import CosimError


@contextmanager
def needs(package: str, what: str) -> Iterator[None]:
    """Turn a package of the extra ``study`` that is not there into one clear error."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise CosimError(f"{what} needs {package}: install it with pip install 'cosim[study]'") from error
