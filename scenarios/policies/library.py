"""The library of policies: the policy classes in the modules of this package, by sector."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from importlib.resources import files

from .policy import Policy


def library() -> dict[str, tuple[type[Policy], ...]]:
    """Return the policies by the ``SECTOR`` of their module, in the order in which they are defined."""
    package = __name__.rpartition(".")[0]
    found: dict[str, tuple[type[Policy], ...]] = {}
    for _, name, _ in pkgutil.iter_modules([str(files(package))]):
        module = importlib.import_module(f"{package}.{name}")
        own = tuple(
            value
            for value in vars(module).values()
            if inspect.isclass(value) and issubclass(value, Policy) and value.__module__ == module.__name__
        )
        if hasattr(module, "SECTOR"):
            found[module.SECTOR] = found.get(module.SECTOR, ()) + own
    return dict(sorted(found.items()))
