"""What does a mosaik simulator tell of itself, by the rules of mosaik's API 3?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cosim.core import CosimError


def checked_models(meta: Any, model: str) -> Mapping[str, Any]:
    """Return the models that ``init`` has told of, if all is as it should be and one can be created.

    Raises
    ------
    CosimError
        If it is no meta data of a simulator of API 3, or there is no such public model.
    """
    if not isinstance(meta, Mapping) or not isinstance(meta.get("models"), Mapping):
        raise CosimError(f"the simulator's init() returned {meta!r}: it must return its meta data, with 'models'")
    api = str(meta.get("api_version", "none"))
    if api.partition(".")[0] != "3":
        raise CosimError(f"the simulator speaks version {api} of mosaik's API: only version 3 is understood here")
    if meta.get("type", "time-based") not in ("time-based", "hybrid", "event-based"):
        raise CosimError(f"the simulator is of type {meta['type']!r}: there are time-based, hybrid and event-based")
    public = {name: about for name, about in meta["models"].items() if about.get("public", True)}
    if model not in public:
        raise CosimError(f"the simulator has no model {model!r} to create: there are {few(public)}")
    models: Mapping[str, Any] = meta["models"]
    return models


def triggers(kind: str, model: Mapping[str, Any], attribute: str) -> bool:
    """Tell whether an input makes a simulator of a kind step.

    Every input does with an event-based simulator; a hybrid one says which do or which do not.

    Examples
    --------
    >>> triggers("hybrid", {"trigger": ["x"]}, "x"), triggers("hybrid", {"attrs": ["x"]}, "x")
    (True, False)
    >>> triggers("hybrid", {"non-trigger": ["y"]}, "x"), triggers("event-based", {}, "x")
    (True, True)
    """
    if kind != "hybrid":
        return kind == "event-based"
    if "trigger" in model:
        return attribute in model["trigger"]
    return "non-trigger" in model and attribute not in model["non-trigger"]


def attributes(model: Mapping[str, Any]) -> list[str]:
    """Return the attributes of a model, which may say them by what they do only."""
    listed = (model.get(key) for key in ("attrs", "trigger", "non-trigger", "persistent", "non-persistent"))
    return list(dict.fromkeys(name for names in listed for name in names or ()))


def with_children(entities: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield entities as ``create`` describes them, each followed by its children."""
    for entity in entities:
        yield entity
        yield from with_children(entity.get("children") or ())


def few(names: Iterable[object]) -> str:
    """Return the first of many names, for a message."""
    known = [str(name) for name in names]
    return ", ".join(known[:12]) + (f" and {len(known) - 12} more" if len(known) > 12 else "") if known else "none"
