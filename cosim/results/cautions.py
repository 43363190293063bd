"""What two runs differ in beyond the plan whose effect they are to show: parameters and model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .result import Result


def cautions(base_name: str, base: Result, name: str, plan: Result) -> list[str]:
    """Return what a plan's run differs in from the base's, apart from the plan.

    The plan is the policies that differ or, where the policies are the same, the one parameter that differs.
    """
    before, now = base.provenance, plan.provenance
    names = (base_name, name)
    first, second = _parameters(before), _parameters(now)
    policies = first.pop("policies", []), second.pop("policies", [])
    parameters = _differences(names, first, second)
    same = policies[0] == policies[1]
    found = []
    if bool(before["parameters"]) != bool(now["parameters"]):
        unknown = name if before["parameters"] else base_name
        found.append(f"the parameters of {unknown} are not recorded: whether others differ than the plan's is unknown")
    elif same and len(parameters) > 1:
        found.append(f"the difference is that of {len(parameters)} parameters together: {'; '.join(parameters)}")
    elif not same:
        found += [f"beside the policies, {text}" for text in parameters]
    found += _model_differences(names, before, now, may_add=not same)
    if same and not parameters:
        found += _input_differences(before, now)
    return found


def cautions_within(name: str, runs: Sequence[Result]) -> list[str]:
    """Return what runs that are to differ in their seed alone differ in otherwise."""
    found = []
    for run in runs[1:]:
        names = (f"seed {runs[0].provenance['seed']}", f"seed {run.provenance['seed']}")
        before, now = runs[0].provenance, run.provenance
        found += _differences(names, _parameters(before), _parameters(now))
        found += _model_differences(names, before, now, may_add=False)
    return [f"the runs of {name} differ in more than the seed: {text}" for text in found]


def _parameters(provenance: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in provenance["parameters"].items() if key != "seed"}


def _differences(names: tuple[str, str], first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    return [
        f"{key} is {first.get(key, 'not recorded')} in {names[0]} and {second.get(key, 'not recorded')} in {names[1]}"
        for key in {**first, **second}
        if first.get(key) != second.get(key)
    ]


def _model_differences(
    names: tuple[str, str], before: Mapping[str, Any], now: Mapping[str, Any], *, may_add: bool
) -> list[str]:
    """Return differences of the models; with ``may_add``, a plan may add adapters and connections."""
    found = []
    built = [(about.get("builder") or {}).get("target") for about in (before, now)]
    if None not in built and built[0] != built[1]:
        found.append(f"{names[0]} was built by {built[0]}, {names[1]} by {built[1]}")
    shared = [key for key in before["versions"] if key in now["versions"]]
    found += _differences(
        names,
        {f"the version of {key}": before["versions"][key] for key in shared},
        {f"the version of {key}": now["versions"][key] for key in shared},
    )
    parts = before["adapters"], now["adapters"]
    for key in {**parts[0], **parts[1]}:
        if key not in parts[1]:
            found.append(f"another model: only {names[0]} has the adapter {key}")
        elif key not in parts[0]:
            found += [] if may_add else [f"another model: only {names[1]} has the adapter {key}"]
        elif _lasting(parts[0][key]) != _lasting(parts[1][key]):
            one, other = (f"{part[key]['class']} with a step of {part[key]['step_s']:g} s" for part in parts)
            found.append(f"another model: {key} is {one} in {names[0]} and {other} in {names[1]}")
    lines = [{row["connection"]: row for row in about["connections"]} for about in (before, now)]
    for key in lines[0].keys() & lines[1].keys():
        found += [
            f"another model: {what} of {key} is {lines[0][key][what]} in {names[0]} and {lines[1][key][what]} in "
            f"{names[1]}"
            for what in ("delay", "if_missing", "partial")
            if lines[0][key][what] != lines[1][key][what]
        ]
    return sorted(found)


def _lasting(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is recorded of an adapter without its warm-up, whose length follows from the buildings drawn."""
    settings = {key: value for key, value in part.get("settings", {}).items() if key != "warm_up"}
    return {**part, "settings": settings}


def _input_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    digests = [{Path(path).name: digest for path, digest in about["inputs"].items()} for about in (before, now)]
    return [
        f"no parameter differs, but the content of the input file {name} does"
        for name in sorted(digests[0].keys() & digests[1].keys())
        if digests[0][name] != digests[1][name]
    ]
