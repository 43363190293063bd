"""How would SUMO's own tools time the traffic lights of a city for its traffic?"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

from cosim import CosimError
from cosim.adapters.sumo_files import read_configuration
from cosim.adapters.sumo_network import network_edges
from cosim.scenarios.city import City
from cosim.scenarios.streets import sumo_home

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
        Begin of the hour that Webster's method looks at, in SUMO's time. [s]

    Raises
    ------
    CosimError
        If there is no light, or the tool fails, with its own words.
    """
    configuration = read_configuration(city.sumocfg, city.traffic_options)
    if not network_edges(configuration.net).programs:
        raise CosimError(f"{configuration.net} has no traffic light to retime")
    target = city.workspace.path / f"signals-{sum(1 for _ in city.workspace.path.glob('signals-*'))}.add.xml"
    routes = ",".join(map(str, configuration.routes))
    if method == "webster":
        tool, options = "tlsCycleAdaptation.py", ["-b", str(int(begin_s)), "-p", "retimed"]
    else:
        tool, options = "tlsCoordinator.py", []
    command = [sys.executable, str(sumo_home() / "tools" / tool), "-n", str(configuration.net), "-r", routes,
               "-o", str(target), *options]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, cwd=city.workspace.path)
    except subprocess.TimeoutExpired as error:
        raise CosimError(f"{tool} was still running after {_TIMEOUT_S} s: use a smaller network") from error
    if done.returncode or not target.is_file():
        raise CosimError(f"{tool} failed: {(done.stderr or done.stdout).strip().rpartition(chr(10))[2]}")
    added = (*configuration.additionals, target)
    options_left = _without(city.traffic_options, "--additional-files")
    return replace(city, traffic_options=(*options_left, "--additional-files", ",".join(map(str, added))))


def _without(options: tuple[str, ...], name: str) -> tuple[str, ...]:
    if name not in options:
        return options
    at = options.index(name)
    return options[:at] + options[at + 2 :]
