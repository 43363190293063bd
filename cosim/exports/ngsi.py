"""NGSI-LD entities of the Smart Data Models, from a run's windows or from a step of a live one.

NGSI-LD as ETSI GS CIM 009 defines it, in the normalized representation that its interfaces exchange.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

import numpy as np
import pandas as pd
import shapely

from cosim.core.arguments import require
from cosim.core.errors import CosimError
from cosim.core.units import factor, is_level
from cosim.results.layers import Layer

from .places import Places
from .run import Run
from .vocabulary import EntityType, Term, Vocabulary, vocabulary

Entity: TypeAlias = dict[str, Any]
CORE = "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context.jsonld"
_MODELS = "https://raw.githubusercontent.com/smart-data-models/{}/master/context.jsonld"


@dataclass(frozen=True)
class Values:
    """The values of an output over one window: a mean, or a state at its end."""

    unit: str
    labels: tuple[str, ...]
    numbers: np.ndarray
    """Shape (n_labels,); NaN where a value is missing."""


class Entities:
    """Builds the entities of one scenario.

    An entity is named after the scenario, its type and its element, so that it is the same from window to window and a
    context broker keeps its newest state.

    Parameters
    ----------
    name
        Name of the scenario, part of every identifier.
    layers, crs
        Map layers with the places of the elements, see `cosim.Scenario`.
    country
        ISO 3166-1 code for addresses; empty if it is unknown.
    known
        What standards call the outputs; the registered vocabularies by default.

    Examples
    --------
    For a step of a scenario that runs, ``Entities.of(scenario).at({"traffic.speed": Values("m/s", labels, values)},
    start, end)``.
    """

    def __init__(
        self, name: str, layers: Iterable[Layer], crs: str = "", country: str = "", known: Vocabulary | None = None
    ) -> None:
        self.name, self.country = name, country
        self.places = Places(layers, crs)
        self.known = vocabulary() if known is None else known
        self.left_out: dict[str, str] = {}
        """Outputs and elements that no entity carries, each with the reason."""

    @classmethod
    def of(cls, scenario: Any) -> Entities:
        """Return the builder for a scenario's outputs."""
        return cls(scenario.name, scenario.layers, scenario.crs, str(scenario.parameters.get("country", "")))

    def at(self, values: Mapping[str, Values], start: dt.datetime, end: dt.datetime) -> list[Entity]:
        """Return the entities that carry the values of a window.

        Parameters
        ----------
        values
            By ``adapter.port``; outputs without a term are left out.
        start, end
            The window's bounds, with time zone.

        Raises
        ------
        UnitError
            If a port's unit does not convert to the attribute's.
        """
        found: dict[str, Entity] = {}
        window_s = (end - start).total_seconds()
        for port, given in values.items():
            term = self.known.terms.get(port)
            if term is None or not term.entity:
                self.left_out[port] = "no Smart Data Model carries it"
                continue
            kind = self.known.types[term.entity]
            layer = self.places.layer_of(port, given.labels)
            shapes = self.places.shapes(layer) if layer else {}
            scale = _scale(given.unit, term, window_s)
            for label, number in zip(given.labels, given.numbers.tolist(), strict=True):
                if (term.label and label != term.label) or not math.isfinite(number):
                    continue
                shape = self.places.centre() if term.whole else shapes.get(label)
                if shape is None:
                    self.left_out[port] = "its elements have no place"
                    break
                identifier = self._identifier(term.entity, port, "" if term.whole else label)
                entity = found.get(identifier)
                if entity is None:
                    entity = self._entity(identifier, term.entity, kind, label, shape, layer, start, end)
                    if entity is None:
                        self.left_out[port] = f"{term.entity} needs what its elements lack"
                        break
                    found[identifier] = entity
                value = {"type": "Property", "value": round(number * scale, 6), "observedAt": _stamp(end)}
                entity[term.attribute] = value | ({"unitCode": term.code} if term.code else {})
        for entity in list(found.values()):
            refers = self.known.types[entity["type"]].refers_to
            if refers is not None:
                target = entity["id"].replace(f":{entity['type']}:", f":{refers[1]}:")
                entity[refers[0]] = {"type": "Relationship", "object": target}
        return list(found.values())

    def _identifier(self, entity: str, port: str, label: str) -> str:
        parts = (part for part in (self.name, port.partition(".")[0], label) if part)
        return ":".join(["urn:ngsi-ld", entity, *(quote(part, safe="") for part in parts)])

    def _entity(
        self,
        identifier: str,
        name: str,
        kind: EntityType,
        label: str,
        shape: Any,
        layer: Layer | None,
        start: dt.datetime,
        end: dt.datetime,
    ) -> Entity | None:
        times = {"start": _stamp(start), "end": _stamp(end), "interval": f"{_stamp(start)}/{_stamp(end)}"}
        plain: dict[str, Any] = {attribute: times[which] for attribute, which in kind.times.items()} | dict(kind.fixed)
        for own, attribute in kind.properties.items():
            value = layer.properties.get(own, {}).get(label) if layer else None
            if value is None:
                return None
            plain[attribute] = int(value) if isinstance(value, float) and value.is_integer() else value
        if kind.addressed:
            plain["address"] = {"addressCountry": self.country or "unknown", "addressLocality": self.name}
        plain["name"] = self.places.names(layer).get(label, label) if layer else label
        plain["source"] = f"urn:cosim:{quote(self.name, safe='')}"
        plain["description"] = "Simulated by cosim, not measured"
        entity: Entity = {"id": identifier, "type": name}
        entity |= {key: {"type": "Property", "value": value} for key, value in plain.items()}
        if kind.located:
            entity["location"] = {"type": "GeoProperty", "value": json.loads(shapely.to_geojson(shape))}
        entity["@context"] = [_MODELS.format(kind.subject), CORE]
        return entity


def key_values(entity: Entity) -> Entity:
    """Return an entity's simplified representation (keyValues): values without their metadata."""
    return {
        key: value
        if key in ("id", "type", "@context")
        else value["object" if value["type"] == "Relationship" else "value"]
        for key, value in entity.items()
    }


def _scale(unit: str, term: Term, window_s: float) -> float:
    if term.unit == unit or is_level(unit):
        return window_s if term.total else 1.0
    if term.total:
        return window_s * factor(f"{unit}*s", term.unit)
    return factor(unit, term.unit)


def _stamp(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def windows(run: Run, every_s: float) -> Iterator[tuple[dt.datetime, list[Entity]]]:
    """Yield the end of every window of a run, and the entities with its means and last states.

    Raises
    ------
    CosimError
        If the windows do not consist of whole rows of the recorded outputs.
    """
    about = run.about
    country = str(about["parameters"].get("country", ""))
    known = run.vocabulary
    builder = Entities(run.result.name, run.places.layers, run.places.crs, country, known)
    tables: dict[str, pd.DataFrame] = {}
    for port in run.ports():
        if not known.terms.get(port, Term()).entity:
            builder.left_out[port] = "no Smart Data Model carries it"
        elif about["outputs"][port]["kind"] == "mean":
            tables[port] = run.result.means(port, every_s)
        else:
            series = run.result.series(port)
            ends = run.start + pd.to_timedelta(
                np.arange(1, math.ceil(about["simulated_s"] / every_s) + 1) * every_s, "s"
            )
            tables[port] = series.reindex(ends, method="ffill")
    moments = sorted({time for table in tables.values() for time in table.index})
    for end in moments:
        start = (end - pd.Timedelta(every_s, "s")).to_pydatetime()
        at = {
            port: Values(about["outputs"][port]["unit"], tuple(map(str, table.columns)), table.loc[end].to_numpy(float))
            for port, table in tables.items()
            if end in table.index
        }
        yield end.to_pydatetime(), builder.at(at, start, end.to_pydatetime())
    by_reason: dict[str, list[str]] = {}
    for port, reason in builder.left_out.items():
        by_reason.setdefault(reason, []).append(port)
    for reason, ports in by_reason.items():
        run.tell(f"{', '.join(ports)}: {reason}")
    run.tell("indicators, events: no Smart Data Model carries them; export to csv or ro-crate")


def write(run: Run, folder: Path, every_s: float = 3600.0) -> None:
    """Write a file per window, each an array of entities as a batch of a context broker takes it.

    Raises
    ------
    CosimError
        If no output of the run has a place and a Smart Data Model.
    """
    require(every_s, (int, float), "the window of entities", "give seconds")
    count = 0
    for end, entities in windows(run, every_s):
        path = folder / f"{end.strftime('%Y-%m-%dT%H-%M-%SZ')}.jsonld"
        path.write_text(json.dumps(entities, ensure_ascii=False, allow_nan=False, indent=1) + "\n", encoding="utf-8")
        count += len(entities)
    if not count:
        raise CosimError(
            f"no output of the run in {run.folder} makes an entity: {'; '.join(run.left_out) or 'it recorded none'}"
        )
