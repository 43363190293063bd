"""Assignment of a grid's controls to the net's elements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .controls import Control, Fuse, Inverter, Inverters, PowerCap, Shedding, TapControl
from .net import NetElements


class PlacedControls:
    """A grid's controls by kind, with the elements they act on.

    Parameters
    ----------
    controls
        The controls.
    points
        Label → bus of the connection points.
    elements
        The names of the net's elements.
    supplied
        Buses that have a voltage.
    problems
        List to which problems are appended.

    Attributes
    ----------
    taps, tap_rows
        Controls of tap changers, and the rows of their transformers.
    inverters
        The inverters; None if there is none.
    caps, cap_places
        Caps, and the indices of their connection points.
    sheds
        Index of a connection point → its shedding.
    fuses, fused
        Fuses, and the elements they protect: rows of lines, and -1 minus rows of two-winding transformers.
    """

    def __init__(
        self,
        controls: Sequence[Control],
        points: Mapping[str, int],
        elements: NetElements,
        supplied: set[int],
        problems: list[str],
    ) -> None:
        places = {label: k for k, label in enumerate(points)}

        def of(kind: type[Any], element: str, known: Mapping[str, int], what: str) -> tuple[list[Any], list[int]]:
            some = [control for control in controls if isinstance(control, kind)]
            named = [getattr(control, element) for control in some]
            lost = [name for name in named if name not in known]
            problems.extend(f"{kind.__name__} names {name!r}, which is not a {what}" for name in lost)
            twice = [name for name, count in Counter(named).items() if count > 1]
            problems.extend(f"duplicate {kind.__name__} of {name!r}: give it once" for name in twice)
            some = [control for control, name in zip(some, named) if name in known]
            return some, [known[getattr(control, element)] for control in some]

        known = (TapControl, Inverter, PowerCap, Shedding, Fuse)
        problems += [
            f"{each!r} is not a control: pass {', '.join(kind.__name__ for kind in known)}"
            for each in controls
            if not isinstance(each, known)
        ]
        trafos = {name: k for k, name in enumerate(elements.names["trafo"])}
        self.taps, self.tap_rows = of(TapControl, "transformer", trafos, "transformer of the net")
        problems += elements.without_taps(self.tap_rows, supplied)
        inverters, at = of(Inverter, "point", places, "connection point")
        self.inverters = Inverters(at, inverters) if at else None
        self.caps, self.cap_places = of(PowerCap, "point", places, "connection point")
        sheds, at = of(Shedding, "point", places, "connection point")
        self.sheds = dict(zip(at, sheds))
        fused = {name: -1 - k for k, name in enumerate(elements.names["trafo"])}
        fused |= {name: k for k, name in enumerate(elements.names["line"])}
        self.fuses, self.fused = of(Fuse, "element", fused, "line or two-winding transformer of the net")
        problems += elements.without_limit([row for row in self.fused if row >= 0])
