"""Retiming of a city's traffic lights by SUMO's own tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree

from cosim import CosimError
from cosim.adapters.traffic.files import read_configuration, root_of
from cosim.adapters.traffic.installation import run_sumo_script
from cosim.adapters.traffic.network import network_edges
from cosim.scenarios.model import City

_TIMEOUT_S = 600


def retimed(city: City, method: str, begin_s: float) -> City:
    """Return a city whose traffic lights are retimed.

    Parameters
    ----------
    city
        The city.
    method
        ``"webster"`` or ``"coordinated"``.
    begin_s
        Start of the hour that Webster's method considers, in SUMO's time. [s]

    Raises
    ------
    CosimError
        If there is no traffic light, or the tool fails, with its own message.
    """
    configuration = read_configuration(city.sumocfg, city.traffic_options)
    if not network_edges(configuration.net).programs:
        raise CosimError(f"{configuration.net} has no traffic light to retime: leave the policy out")
    target = city.workspace.path / f"signals-{sum(1 for _ in city.workspace.path.glob('signals-*.add.xml'))}.add.xml"
    routes = str(_with_own_routes(configuration.routes, target.with_suffix(".rou.xml")))
    if method == "webster":
        tool, options = "tlsCycleAdaptation.py", ["-b", str(int(begin_s)), "-p", "retimed"]
    else:
        tool, options = "tlsCoordinator.py", []
    net = str(configuration.net)
    run_sumo_script(
        tool, "-n", net, "-r", routes, "-o", target, *options, cwd=city.workspace.path, timeout_s=_TIMEOUT_S
    )
    if not target.is_file():
        raise CosimError(f"{tool} failed: it wrote no signal programs")
    added = (*configuration.additionals, target)
    options_left = _without(city.traffic_options, "--additional-files")
    return replace(city, traffic_options=(*options_left, "--additional-files", ",".join(map(str, added))))


def _with_own_routes(files: Sequence[Path], joined: Path) -> Path:
    """Join route files into one in which every vehicle has a route of its own: the tools know no others."""
    roots = [root_of(path) for path in files]
    named = {route.get("id"): route.get("edges", "") for root in roots for route in root.findall("route")}
    routes = Element("routes")
    for root in roots:
        for element in root:
            if element.tag == "vehicle" and (edges := named.get(element.attrib.get("route"))) is not None:
                del element.attrib["route"]
                element.append(Element("route", edges=edges))
            routes.append(element)
    ElementTree(routes).write(joined, encoding="utf-8")
    return joined


def _without(options: tuple[str, ...], name: str) -> tuple[str, ...]:
    if name not in options:
        return options
    at = options.index(name)
    return options[:at] + options[at + 2 :]
