"""Meta data of mosaik simulators, by the rules of mosaik's API 3."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cosim.core import CosimError


def checked_models(meta: Any, model: str) -> Mapping[str, Any]:
    """Return the models from the meta data of ``init`` after checking them and that ``model`` can be created.

    Raises
    ------
    CosimError
        If it is not the meta data of a simulator of API 3, or the model is unknown or not public.
    """
    if not isinstance(meta, Mapping) or not isinstance(meta.get("models"), Mapping):
        raise CosimError(f"the simulator's init() returned {meta!r}: it must return its meta data, with 'models'")
    api = str(meta.get("api_version", "none"))
    if api.partition(".")[0] != "3":
        raise CosimError(f"the simulator uses version {api} of mosaik's API: only version 3 is supported")
    if meta.get("type", "time-based") not in ("time-based", "hybrid", "event-based"):
        raise CosimError(f"the simulator is of type {meta['type']!r}: it must be time-based, hybrid or event-based")
    public = {name: about for name, about in meta["models"].items() if about.get("public", True)}
    if model not in public:
        raise CosimError(f"the simulator has no model {model!r} to create; available: {few(public)}")
    models: Mapping[str, Any] = meta["models"]
    return models


def check_methods(meta: Mapping[str, Any], methods: Sequence[str]) -> None:
    """Check that a simulator offers methods beside those of the API.

    Raises
    ------
    CosimError
        If it does not declare one of them in ``extra_methods``.
    """
    offered = list(meta.get("extra_methods") or ())
    for method in methods:
        if method not in offered:
            raise CosimError(f"the simulator offers no extra method {method!r}; available: {few(offered)}")


def triggers(kind: str, model: Mapping[str, Any], attribute: str) -> bool:
    """Return whether an input triggers a step of a simulator of a given type.

    Every input triggers an event-based simulator; a hybrid one declares which inputs do or do not.

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
    """Return the attributes of a model, which may be listed only by their trigger and persistence."""
    listed = (model.get(key) for key in ("attrs", "trigger", "non-trigger", "persistent", "non-persistent"))
    return list(dict.fromkeys(name for names in listed for name in names or ()))


def with_children(entities: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield entities as described by ``create``, each followed by its children."""
    for entity in entities:
        yield entity
        yield from with_children(entity.get("children") or ())


def few(names: Iterable[object]) -> str:
    """Return the first of many names for a message."""
    known = [str(name) for name in names]
    return ", ".join(known[:12]) + (f" and {len(known) - 12} more" if len(known) > 12 else "") if known else "none"
