"""What standards call the quantities of ports; packages register it as entry points ``cosim.vocabularies``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Term:
    """What standards call the quantity of a port.

    Parameters
    ----------
    standard_name
        Its standard name of the CF conventions; empty if they have none.
    entity, attribute
        Type of the Smart Data Models' entity that carries it, and the attribute's name there; empty if none does.
    unit, code
        Unit of the attribute, as for ports, and its UN/CEFACT common code.
    label
        The port's only element that the attribute carries, such as "horizontal"; every element by default.
    total
        Whether the attribute is the sum over a window, as the vehicles counted, instead of the mean.
    udunits
        The port's unit as UDUNITS writes it, where that does not follow from the unit itself, as of levels.
    whole
        Whether the port's elements stand for the whole area, as its weather does.
    """

    standard_name: str = ""
    entity: str = ""
    attribute: str = ""
    unit: str = "1"
    code: str = ""
    label: str = ""
    total: bool = False
    udunits: str = ""
    whole: bool = False


@dataclass(frozen=True, kw_only=True)
class EntityType:
    """A type of the Smart Data Models.

    Parameters
    ----------
    subject
        Its repository, as in "dataModel.Transportation", whose ``context.jsonld`` defines its terms.
    times
        Attributes that tell when a value was observed: the start or end of its window, or both as an interval.
    fixed
        Attributes with the same value for all entities.
    properties
        Attributes by the layers' property that gives their value, as in ``{"points": "capacity"}``.
    refers_to
        Attribute and type of the entity of the same element to which this one refers, if any.
    addressed
        Whether it needs an address: the country, and the name of the scenario as locality.
    located
        Whether it has a location of its own.
    """

    subject: str
    times: Mapping[str, Literal["start", "end", "interval"]]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    refers_to: tuple[str, str] | None = None
    addressed: bool = False
    located: bool = True


@dataclass(frozen=True)
class Vocabulary:
    """Terms by ``adapter.port``, and the entity types that they name."""

    terms: Mapping[str, Term] = field(default_factory=dict)
    types: Mapping[str, EntityType] = field(default_factory=dict)


def vocabulary() -> Vocabulary:
    """Return all registered vocabularies as one; of two terms for a port that of the first package by name counts."""
    terms: dict[str, Term] = {}
    types: dict[str, EntityType] = {}
    for point in sorted(entry_points(group="cosim.vocabularies"), key=lambda p: p.name, reverse=True):
        found: Vocabulary = point.load()
        terms |= found.terms
        types |= found.types
    return Vocabulary(terms, types)
