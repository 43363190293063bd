"""Sums over an exchange step for every edge, read from SUMO's edgeData."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

import numpy as np
from defusedxml.ElementTree import fromstring

from cosim.adapters.traffic import _rows
from cosim.adapters.traffic.demand import is_electric
from cosim.core import CosimError
from cosim.core.quantities import Vector

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from cosim.adapters.traffic.network import Network

EMISSION_DIGITS = 6
_EMITTED = ("sampledSeconds", "CO2_abs", "PMx_abs", "NOx_abs", "fuel_abs")
_DRIVEN = ("sampledSeconds", "timeLoss", "distance")  # the time loss is omitted on edges without vehicles
_INTERVAL = re.compile(rb'<interval [^>]*?id="cosim\.(\w+)"(/?)>')
_INTERVAL_END = b"</interval>"
_FRAME = re.compile(rb"<\?xml.*?\?>|<!--.*?-->|</?(?:tripinfos|meandata)\b[^>]*>", re.S)


@dataclass(frozen=True)
class Exchange:
    """SUMO's sums over one exchange step.

    `edges` has shape (8, n_edges): vehicle-metres on the edge alone, without junctions [m], vehicle-seconds [s],
    vehicle-metres [m], time loss [s], then CO2, PMx, NOx and fuel [mg]; `classes` has shape (4, n_classes): the latter
    four per emission class; `kinds` the vehicle-metres by kind of vehicle, shape (n_kinds, n_edges) [m]; `noise` the
    equivalent sound level per edge, shape (n_edges,) [dB(A)], and `trips` the trips that ended.

    SUMO's own ``timeLoss`` of an edge counts a vehicle on every edge that it touches (in Bologna 4.5 % more than the
    trips' total). It is scaled by the edge's vehicle-seconds of fronts over those of whole vehicles, which in Bologna
    agrees with the trips' total to within 0.1 %.
    """

    edges: Vector
    classes: Vector
    kinds: Vector
    noise: Vector
    trips: list[Element]


class _Rows(dict[bytes, int]):
    """Row of every SUMO edge, junctions included, by its name as SUMO writes it; -1 for footpaths."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self._rows = {name: row for row, name in enumerate(names)}

    def __missing__(self, edge: bytes) -> int:
        return self.setdefault(edge, self._rows.get(html.unescape(edge.decode()), -1))


class EdgeMeasures:
    """Reads edgeData while SUMO writes it, from one file that stays small.

    Parameters
    ----------
    network
        The edges.
    classes
        The vehicle types of every emission class. Every filter costs SUMO time, so the emissions of the class with
        the most types are the total less those of the others.
    folder
        Folder of the file.
    noise
        Whether sound is computed.
    kinds
        The vehicle types of every kind whose vehicle-metres are counted; the kind with the most types is the total less
        the others, so that together they must have all types.
    trips
        File for SUMO's trips, if `Exchange.trips` is required: SUMO then writes them into this object's file,
        which it flushes at every exchange, and they are copied from there.
    """

    def __init__(
        self,
        network: Network,
        classes: Mapping[str, Sequence[str]],
        folder: Path,
        *,
        noise: bool,
        trips: Path | None,
        kinds: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.file = folder / "sumo-exchange.xml"
        self._position, self._noise, self._trips = 0, noise, trips
        rows = {label: row for row, label in enumerate(network.labels)}
        inner = {name: rows[edge] for name, edge in network.leaves.items() if edge in rows and name not in rows}
        self._rows, self._n_edges = _Rows((*rows, *inner)), len(rows)
        # Values in a junction count for the edge from which the vehicle enters it.
        self._edge_of_row = np.array([*rows.values(), *inner.values()], np.intp)
        emitting = [k for k, name in enumerate(classes) if not is_electric(name)] or [0]
        self._rest = max(emitting, key=lambda k: len(list(classes.values())[k]))
        self._filtered = {k: types for k, types in enumerate(classes.values()) if k in emitting and k != self._rest}
        self._n_classes = len(classes)
        self._rest_kind, self._kinds = _all_but_the_largest(kinds or {})
        self._n_kinds = len(kinds or {})
        if trips:
            trips.write_bytes(b"<tripinfos>\n")

    def define(self, period_s: float) -> Path:
        """Write the additional file that defines SUMO's measurements."""
        common = f'period="{period_s:.3f}" file="{self.file.name}" excludeEmpty="true"'
        emissions = f'type="emissions" withInternal="true" {common} writeAttributes="{" ".join(_EMITTED)}"'
        traffic = f'withInternal="true" {common} writeAttributes='
        definitions = [
            f'<edgeData id="cosim.emissions" {emissions}/>',
            f'<edgeData id="cosim.traffic" {traffic}"{" ".join(_DRIVEN)}"/>',
        ]
        for k, types in self._filtered.items():
            filtered = quoteattr(" ".join(types))
            definitions.append(f'<edgeData id="cosim.class{k}" {emissions} aggregate="true" vTypes={filtered}/>')
        for k, types in self._kinds.items():
            filtered = quoteattr(" ".join(types))
            definitions.append(f'<edgeData id="cosim.kind{k}" {traffic}"{_DRIVEN[2]}" vTypes={filtered}/>')
        if self._noise:
            definitions.append(f'<edgeData id="cosim.noise" type="harmonoise" {common} writeAttributes="noise"/>')
        self._expected = len(definitions)
        path = self.file.with_name("sumo-measured.add.xml")
        path.write_text("<additional>" + "".join(definitions) + "</additional>\n", encoding="utf-8")
        return path

    def read(self) -> Exchange:
        """Return SUMO's output for the exchange step that has just ended.

        Raises
        ------
        CosimError
            If SUMO wrote more or less than one period.
        """
        text = self._new_text()
        periods, rest = _periods(text)
        found = text.count(b"<interval ")
        if found != self._expected or len(periods) != found:
            raise CosimError(f"SUMO wrote {found} sums for one step instead of {self._expected}: see {self.file}")
        fronts_s, *emitted = self._columns(periods[b"emissions"], _EMITTED)
        whole_s, time_loss, distance = self._columns(periods[b"traffic"], _DRIVEN)
        share = np.divide(fronts_s, whole_s, out=np.zeros_like(whole_s), where=whole_s > 0)
        summed = (fronts_s, distance, time_loss * np.minimum(share, 1.0), *emitted)
        edges = np.array(
            [distance[: self._n_edges], *(np.bincount(self._edge_of_row, c, self._n_edges) for c in summed)]
        )
        classes = np.zeros((4, self._n_classes))
        for k in self._filtered:
            classes[:, k] = _rows.columns(periods[b"class%d" % k], _EMITTED[1:], {b"AGGREGATED": 0}, 1)[:, 0]
        classes[:, self._rest] = np.maximum(edges[4:].sum(axis=1) - classes.sum(axis=1), 0.0)
        kinds = np.zeros((self._n_kinds, self._n_edges))
        for k in self._kinds:
            metres = self._columns(periods[b"kind%d" % k], _DRIVEN[2:])[0]
            kinds[k] = np.bincount(self._edge_of_row, metres, self._n_edges)
        if self._n_kinds:
            kinds[self._rest_kind] = np.maximum(edges[2] - kinds.sum(axis=0), 0.0)
        noise = self._columns(periods[b"noise"], ("noise",))[0, : self._n_edges] if self._noise else np.zeros(0)
        return Exchange(edges, classes, kinds, noise, self._ended(rest))

    def close(self) -> None:
        """Copy the last trips and remove the file; SUMO must have ended."""
        if not self.file.exists():
            return
        text = self._new_text()
        if self._trips:
            self._ended(_periods(text)[1])
            with self._trips.open("ab") as file:
                file.write(b"</tripinfos>\n")
        self.file.unlink()

    def _new_text(self) -> bytes:
        with self.file.open("rb+") as file:
            file.seek(self._position)
            text = file.read()
            self._position += len(text)
            # SUMO continues at its own position, so the part already read becomes a hole without disk space.
            file.truncate(0)
        return text

    def _columns(self, text: bytes, attributes: Sequence[str]) -> Vector:
        """Return the numbers of a period, shape (n_attributes, n_rows)."""
        return _rows.columns(text, attributes, self._rows, len(self._edge_of_row))

    def _ended(self, text: bytes) -> list[Element]:
        if not self._trips:
            return []
        text = _FRAME.sub(b"", text).strip()
        if not text:
            return []
        with self._trips.open("ab") as file:
            file.write(b"    " + text + b"\n")
        return [e for e in fromstring(b"<trips>" + text + b"</trips>") if e.tag == "tripinfo"]


def _all_but_the_largest(types: Mapping[str, Sequence[str]]) -> tuple[int, dict[int, Sequence[str]]]:
    """Return the number of the group with the most vehicle types, and the types of the others by number."""
    rest = max(range(len(types)), key=lambda k: len(list(types.values())[k]), default=0)
    return rest, {k: members for k, members in enumerate(types.values()) if k != rest}


def _periods(text: bytes) -> tuple[dict[bytes, bytes], bytes]:
    """Return the rows of every period by its name, and what else a text has."""
    periods, rest, at = {}, [], 0
    while begin := _INTERVAL.search(text, at):
        rest.append(text[at : begin.start()])
        at = begin.end() if begin[2] else text.index(_INTERVAL_END, begin.end())
        periods[begin[1]] = text[begin.end() : at]
        at += 0 if begin[2] else len(_INTERVAL_END)
    return periods, b"".join([*rest, text[at:]])
