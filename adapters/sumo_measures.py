"""What happened on every edge since the last exchange? SUMO's own sums over every second, read from its edgeData."""

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

from cosim.core import CosimError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from cosim.adapters.sumo_network import Network
    from cosim.core.ports import Vector

EMISSION_DIGITS = 6
_EMITTED = "sampledSeconds CO2_abs PMx_abs NOx_abs fuel_abs"
_DRIVEN = "sampledSeconds timeLoss distance"
_INTERVAL = re.compile(rb'<interval [^>]*?id="cosim\.(\w+)"(?:/>|>(.*?)</interval>)', re.S)
_EMISSION_ROW = re.compile(
    rb'<edge id="([^"]*)" sampledSeconds="([^"]*)"(?: numEdges="[^"]*")? CO2_abs="([^"]*)" PMx_abs="([^"]*)" '
    rb'NOx_abs="([^"]*)" fuel_abs="([^"]*)"'
)
# The time loss is left out where nobody was.
_TRAFFIC_ROW = re.compile(
    rb'<edge id="([^"]*)" sampledSeconds="([^"]*)"(?: timeLoss="([^"]*)")? distance="([^"]*)"'
)
_NOISE_ROW = re.compile(rb'<edge id="([^"]*)" (?:sampledSeconds="[^"]*" )?noise="([^"]*)"')
_TRIP = re.compile(rb"<tripinfo (?:[^>]*/>|[^>]*[^/]>.*?</tripinfo>)", re.S)
_FRAME = re.compile(rb"<\?xml.*?\?>|<!--.*?-->|</?(?:tripinfos|meandata)\b[^>]*>", re.S)


@dataclass(frozen=True)
class Exchange:
    """What SUMO summed over one exchange step.

    `edges` has shape (7, n_edges): vehicle-seconds [s], vehicle-metres [m], time loss [s], then CO2, PMx, NOx and
    fuel [mg]; `classes` has shape (4, n_classes): the latter four per emission class; `noise` the equivalent sound
    level per edge, shape (n_edges,) [dB(A)], and `trips` those that ended.
    """

    edges: Vector
    classes: Vector
    noise: Vector
    trips: list[Element]


class _Rows(dict[bytes, int]):
    """The row of every edge of SUMO's, junctions included, by its name as SUMO writes it; -1 for footpaths."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self._rows = {name: row for row, name in enumerate(names)}

    def __missing__(self, edge: bytes) -> int:
        return self.setdefault(edge, self._rows.get(html.unescape(edge.decode()), -1))


class EdgeMeasures:
    """Reads edgeData as SUMO writes them, from one file that stays small.

    Parameters
    ----------
    network
        The edges.
    classes
        The vehicle types of every emission class. SUMO spends time on every filter: the emissions of the class with
        the most types are what the others leave of the total.
    folder
        Where the file goes.
    noise
        Whether sound is computed.
    trips
        A file that takes SUMO's trips, if `Exchange.trips` are wanted: SUMO then writes them into this object's file,
        which it completes at every exchange, and they are copied from there.
    """

    def __init__(
        self, network: Network, classes: Mapping[str, Sequence[str]], folder: Path, *, noise: bool, trips: Path | None
    ) -> None:
        self.file = folder / "sumo-exchange.xml"
        self._position, self._noise, self._trips = 0, noise, trips
        rows = {label: row for row, label in enumerate(network.labels)}
        inner = {name: rows[edge] for name, edge in network.leaves.items() if edge in rows and name not in rows}
        self._rows, self._n_edges = _Rows((*rows, *inner)), len(rows)
        # What happens in a junction counts for the edge that the vehicle comes from.
        self._edge_of_row = np.array([*rows.values(), *inner.values()], np.intp)
        self._rest = max(range(len(classes)), key=lambda k: len(list(classes.values())[k]))
        self._filtered = {k: types for k, types in enumerate(classes.values()) if k != self._rest}
        self._n_classes = len(classes)
        if trips:
            trips.write_bytes(b"<tripinfos>\n")

    def define(self, period_s: float) -> Path:
        """Write the additional file that makes SUMO measure."""
        common = f'period="{period_s:.3f}" file="{self.file.name}" excludeEmpty="true"'
        emissions = f'type="emissions" withInternal="true" {common} writeAttributes="{_EMITTED}"'
        definitions = [
            f'<edgeData id="cosim.emissions" {emissions}/>',
            f'<edgeData id="cosim.traffic" withInternal="true" {common} writeAttributes="{_DRIVEN}"/>',
        ]
        for k, types in self._filtered.items():
            filtered = quoteattr(" ".join(types))
            definitions.append(f'<edgeData id="cosim.class{k}" {emissions} aggregate="true" vTypes={filtered}/>')
        if self._noise:
            definitions.append(f'<edgeData id="cosim.noise" type="harmonoise" {common} writeAttributes="noise"/>')
        self._expected = len(definitions)
        path = self.file.with_name("sumo-measured.add.xml")
        path.write_text("<additional>" + "".join(definitions) + "</additional>\n", encoding="utf-8")
        return path

    def read(self) -> Exchange:
        """Return what SUMO wrote for the exchange step that has just ended.

        Raises
        ------
        CosimError
            If SUMO wrote more or less than one period.
        """
        text = self._new_text()
        periods = dict(_INTERVAL.findall(text))
        found = text.count(b"<interval ")
        if found != self._expected or len(periods) != found:
            raise CosimError(f"SUMO wrote {found} sums for one step instead of {self._expected}: see {self.file}")
        fronts_s, *emitted = self._columns(periods[b"emissions"], _EMISSION_ROW)
        whole_s, time_loss, distance = self._columns(periods[b"traffic"], _TRAFFIC_ROW)
        share = np.divide(fronts_s, whole_s, out=np.zeros_like(whole_s), where=whole_s > 0)
        columns = (fronts_s, distance, time_loss * np.minimum(share, 1.0), *emitted)
        edges = np.array([np.bincount(self._edge_of_row, column, self._n_edges) for column in columns])
        classes = np.zeros((4, self._n_classes))
        for k in self._filtered:
            _, table = _table(periods[b"class%d" % k], _EMISSION_ROW)
            classes[:, k] = table[1:].sum(axis=1)
        classes[:, self._rest] = np.maximum(edges[3:].sum(axis=1) - classes.sum(axis=1), 0.0)
        noise = self._columns(periods[b"noise"], _NOISE_ROW)[0, : self._n_edges] if self._noise else np.zeros(0)
        return Exchange(edges, classes, noise, self._ended(text))

    def close(self) -> None:
        """Copy the last trips and remove the file; SUMO must have ended."""
        if not self.file.exists():
            return
        text = self._new_text()
        if self._trips:
            self._ended(text)
            with self._trips.open("ab") as file:
                file.write(b"</tripinfos>\n")
        self.file.unlink()

    def _new_text(self) -> bytes:
        with self.file.open("rb+") as file:
            file.seek(self._position)
            text = file.read()
            self._position += len(text)
            # SUMO goes on at its own position, so what was read becomes a hole and takes no room on the disk.
            file.truncate(0)
        return text

    def _columns(self, text: bytes, pattern: re.Pattern[bytes]) -> Vector:
        """Return the numbers of a period, shape (n_columns, n_rows)."""
        names, table = _table(text, pattern)
        row = np.fromiter(map(self._rows.__getitem__, names), np.intp, len(names))
        columns = np.zeros((len(table), len(self._edge_of_row)))
        columns[:, row[row >= 0]] = table[:, row >= 0]
        return columns

    def _ended(self, text: bytes) -> list[Element]:
        if not self._trips:
            return []
        text = _FRAME.sub(b"", _INTERVAL.sub(b"", text)).strip()
        if text:
            with self._trips.open("ab") as file:
                file.write(b"    " + text + b"\n")
        return list(fromstring(b"<trips>" + b"".join(_TRIP.findall(text)) + b"</trips>"))


def _table(text: bytes, pattern: re.Pattern[bytes]) -> tuple[list[bytes], Vector]:
    """Return the names and, per attribute, the numbers of the rows that match."""
    rows = pattern.findall(text)
    numbers = np.array([[cell or b"0" for cell in row[1:]] for row in rows], float).reshape(-1, pattern.groups - 1)
    return [row[0] for row in rows], numbers.T
