"""Live scenarios built from the command line's text, and built again from a run's record."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cosim.adapters.feed.specification import Feeds, Pace, Publication
from cosim.core.errors import CosimError
from cosim.engine.scenario import Scenario
from cosim.registry import builder as registry
from cosim.registry.builder import load_builder

from .plans import attach_plans, read_plans
from .wiring import attach, read_feeds


def with_speed(feeds: Feeds, speed: str | None) -> Feeds:
    """Return feeds at the pace that a text asks for: ``max``, that of the data, or a multiple of the clock's.

    Raises
    ------
    CosimError
        If it is neither.
    """
    if speed is None:
        return feeds
    own = {name: getattr(feeds.pace, name) for name in feeds.pace.model_fields_set - {"by", "speed"}}
    if speed == "max":
        return feeds.model_copy(update={"pace": Pace(by="data", **own)})
    try:
        factor = float(speed)
        return feeds.model_copy(update={"pace": Pace(by="elapsed", speed=factor, **own)})
    except ValueError:
        raise CosimError(f"--speed is {speed!r}: write 1, 10 or another positive number, or max") from None


def live_scenario(
    target: str,
    settings: Sequence[str],
    policies: Sequence[str],
    *,
    seed: int,
    feeds: Path,
    speed: str | None = None,
    publish: Sequence[str] = (),
    plans: Path | None = None,
    adapters: Sequence[str] = (),
    connections: Sequence[str] = (),
) -> Scenario:
    """Build a scenario and wire its feeds.

    Parameters
    ----------
    target, settings, policies, seed, adapters, connections
        As of ``cosim run``.
    feeds
        The YAML file that describes them.
    speed
        See `with_speed`.
    publish
        Outputs to publish beside those of the file, as ``PATTERN`` or ``PATTERN=TOPIC``.
    plans
        The YAML file of plans that forecasts compare; their inputs are then connected.

    Raises
    ------
    CosimError
        If anything of it is wrong.
    """
    found = with_speed(read_feeds(feeds), speed)
    if publish and found.broker is None:
        raise CosimError(f"--publish needs a broker: add one to {feeds}, as in broker: {{host: 127.0.0.1}}")
    for text in publish:
        pattern, _, topic = text.partition("=")
        found.publish.append(Publication.model_validate({"ports": [pattern]} | ({"topic": topic} if topic else {})))
    scenario = load_builder(target)(settings, policies, seed=seed, adapters=adapters, connections=connections)
    attach(scenario, found)
    if plans is not None:
        attach_plans(scenario, read_plans(plans))
    assert scenario.builder is not None
    scenario.builder["live"] = {"feeds": str(feeds), "speed": speed, "publish": list(publish)}
    if plans is not None:
        scenario.builder["live"]["plans"] = str(plans)
    return scenario


def build_again(record: Mapping[str, Any], *, seed: int) -> Scenario:
    """Build the scenario of a run again, live or not; see `cosim.registry.builder.build_again`."""
    live = record.get("live")
    if live is None:
        return registry.build_again(record, seed=seed)
    with contextlib.chdir(record["folder"]):
        return live_scenario(
            record["target"],
            record["settings"],
            record["policies"],
            seed=seed,
            feeds=Path(live["feeds"]),
            speed=live["speed"],
            publish=live["publish"],
            plans=Path(live["plans"]) if "plans" in live else None,
            adapters=record.get("adapters", ()),
            connections=record.get("connections", ()),
        )
