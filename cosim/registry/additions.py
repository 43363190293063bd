"""Additions to a built scenario: adapters and connections described by text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cosim.core.errors import ScenarioError
from cosim.engine.scenario import Scenario

from . import plugins
from .files import faults_named, load_object
from .parameters import Parameters, split_settings


def load_adapter(target: str) -> Callable[..., Any]:
    """Return the adapter class or factory function that a text names.

    Parameters
    ----------
    target
        ``module:Class``, ``path/file.py:Class``, or the name of an installed adapter.

    Raises
    ------
    CosimError
        If the class, function or adapter does not exist or cannot be loaded.
    """
    if ":" in target:
        return load_object(target)  # type: ignore[no-any-return]
    otherwise = "write module:Class or path/file.py:Class"
    return plugins.load(plugins.ADAPTERS, target, otherwise=otherwise)  # type: ignore[no-any-return]


def add(scenario: Scenario, adapters: Sequence[str], connections: Sequence[str]) -> None:
    """Add adapters and connections to a scenario.

    Parameters
    ----------
    scenario
        The scenario, changed in place.
    adapters
        ``name=module:Class`` each, followed by arguments of the constructor, as in
        ``"electrolyser=electrolyser.py:Electrolyser,rated_w=5e5"``.
    connections
        ``adapter.output=adapter.input`` each, followed by options of `Scenario.connect`, as in
        ``"grid.voltage=electrolyser.voltage,delay=1,initial=1"``. Elements are matched by name.

    Raises
    ------
    ScenarioError
        If an adapter or port is unknown, or an argument is unknown or has the wrong type.
    """
    for text in adapters:
        name, equals, rest = text.partition("=")
        target, *settings = split_settings(rest)
        if not equals or not target:
            raise ScenarioError([f"--add {text}: write NAME=MODULE:CLASS, or NAME=FILE.py:CLASS"])
        build = load_adapter(target)
        parameters = Parameters(target, build, option=f"--add {name}: ")
        values = parameters.values(settings)
        with faults_named(f"--add {name}: {target}"):
            adapter = build(**values)
        scenario.add(**{name: adapter})
    for text in connections:
        ports, *settings = split_settings(text)
        output, equals, target = ports.partition("=")
        if not equals or "." not in output or "." not in target:
            raise ScenarioError([f"--connect {text}: write ADAPTER.OUTPUT=ADAPTER.INPUT"])
        own = ("self", "output", "input", "via")
        options = Parameters("connect", Scenario.connect, own=own, option=f"--connect {ports},").values(settings)
        scenario.connect(output, target, via=_matching(scenario, output, target), **options)


def _matching(scenario: Scenario, output: str, target: str) -> str | None:
    """Return the ``via`` of a connection: None for equal label sets, otherwise a match by name."""
    labels = []
    for name in (output, target):
        adapter, _, port = name.partition(".")
        labels.append(set(getattr(getattr(scenario.adapters.get(adapter), port, None), "labels", ())))
    return None if labels[0] == labels[1] else "labels"
