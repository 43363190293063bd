"""Classes of the Eixample's streets: lanes, bus lanes, speed limits and traffic."""

from __future__ import annotations

from dataclasses import dataclass

from cosim.core import CosimError


@dataclass(frozen=True)
class StreetClass:
    """A class of streets.

    Parameters
    ----------
    name
        As in the network's edge types and in the indicators.
    lanes, lanes_each_way
        Lanes for all vehicles of a one-way street, and of each direction of a two-way street.
    bus_lane
        Whether each direction has a bus lane on its right as well, which taxis also use.
    kmh
        Speed limit. [km/h]
    through_per_day
        Through traffic of a working day, both directions together: what counts have beyond the traffic that residents
        and visitors make on such a street. [vehicles/day]
    """

    name: str
    lanes: int
    lanes_each_way: int
    bus_lane: bool
    kmh: float
    through_per_day: float


MAIN = StreetClass("main", 4, 2, True, 50.0, 20_500.0)
"""As Aragó and Gran Via. With what residents and visitors add, the traffic is that of the loops 40 to 500 m from the
first green axes, 18,604 to 22,091 vehicles on working days of 2024 and 2025 [1]_, in the lower half of the range.

.. [1] S. N. Moode: From traffic evaporation to network adaptation. Manuscript, Universitat Politècnica de Catalunya,
   table 7, on Open Data BCN's loops.
"""
ORDINARY = StreetClass("ordinary", 3, 2, False, 50.0, 5_500.0)
"""The rest of the basic network. The traffic lies between that of Consell de Cent before the works, about 5,000 (Nació
Digital), and the mean of loops farther away, 13,733 to 15,527 [1]_."""
CALM = StreetClass("calm", 2, 1, False, 30.0, 1_500.0)
"""Streets of 30 km/h: from fewer than 2,000 vehicles a day on Enric Granados (El País, 20 April 2022) to about 5,000 on
Consell de Cent before it became a green axis (Nació Digital)."""
CLASSES = (MAIN, ORDINARY, CALM)

MAIN_EVERY = 3
"""A main street at every third crossing, as in the city's plan of 2021, which bounds superblocks of 3 × 3 blocks."""


def street_classes(n: int, m: int) -> dict[str, StreetClass]:
    """Return the class of every street of ``n × m`` blocks, as named by `eixample_streets`.

    Examples
    --------
    >>> [kind.name for kind in street_classes(4, 4).values()][:5]
    ['main', 'ordinary', 'calm', 'main', 'ordinary']
    """
    kinds = (MAIN, ORDINARY, CALM)
    found = {}
    for axis, last in (("x", n), ("y", m)):
        for index in range(last + 1):
            kind = kinds[index % MAIN_EVERY]
            # traffic closes its loops on the two-way streets along the edge
            found[f"{axis}{index}"] = ORDINARY if kind is CALM and index == last else kind
    return found


def class_named(name: str) -> StreetClass:
    """Return the class of a name.

    Raises
    ------
    CosimError
        If there is none.
    """
    for kind in CLASSES:
        if kind.name == name:
            return kind
    raise CosimError(f"unknown street class {name!r}: known are {', '.join(kind.name for kind in CLASSES)}")
