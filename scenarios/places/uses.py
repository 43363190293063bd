"""What a building is used for, from its tags, the places in it and the area that it stands in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import shapely

HOME, NOTHING = "residential", "none"

LEAST_HOME_M2 = 25.0
"""Footprint below which nobody lives in a building. [m²] Assumption."""
LEAST_UNNAMED_M2 = 50.0
"""Footprint below which nobody lives in a building whose own tags name no use: a garage or shed. [m²] Assumption."""

_HOMES = (
    "house", "detached", "semidetached_house", "terrace", "apartments", "residential", "bungalow", "dormitory", "farm",
    "villa", "houseboat", "static_caravan", "cabin", "block", "townhouse", "duplex", "flat",
)  # fmt: skip
_UNUSED = (
    "garage", "garages", "carport", "shed", "roof", "hut", "greenhouse", "ruins", "container", "service", "toilets",
    "transformer_tower", "water_tower", "bunker", "silo", "storage_tank", "tank", "barn", "stable", "cowshed", "sty",
    "farm_auxiliary", "boathouse", "tent", "gazebo", "parking", "collapsed", "bridge", "tower", "chimney", "gatehouse",
    "outbuilding", "conservatory", "digester", "guardhouse", "slurry_tank", "allotment_house", "pavilion", "canopy",
)  # fmt: skip
_BY_BUILDING = {
    "office": "office", "commercial": "office", "government": "office", "public": "office", "civic": "office",
    "retail": "retail", "supermarket": "retail", "shop": "retail", "kiosk": "retail", "mall": "retail",
    "warehouse": "storage", "storage": "storage", "industrial": "workshop", "manufacture": "workshop",
    "factory": "workshop", "workshop": "workshop", "school": "school", "kindergarten": "school", "college": "school",
    "university": "university", "hospital": "hospital", "clinic": "clinic", "hotel": "hotel", "hostel": "hotel",
    "church": "assembly", "chapel": "assembly", "cathedral": "assembly", "mosque": "assembly", "temple": "assembly",
    "synagogue": "assembly", "monastery": "assembly", "religious": "assembly", "shrine": "assembly",
    "museum": "culture", "theatre": "culture", "cinema": "culture", "sports_hall": "sport", "sports_centre": "sport",
    "stadium": "sport", "grandstand": "sport", "riding_hall": "sport", "train_station": "transport",
    "transportation": "transport", "fire_station": "emergency", "hangar": "storage", "restaurant": "food",
    "pub": "food", "bank": "office", "data_center": "office",
}  # fmt: skip
_BY_AMENITY = {
    "school": "school", "kindergarten": "school", "college": "school", "childcare": "school", "music_school": "school",
    "language_school": "school", "university": "university", "hospital": "hospital", "clinic": "clinic",
    "doctors": "clinic", "dentist": "clinic", "veterinary": "clinic", "pharmacy": "retail", "restaurant": "food",
    "cafe": "food", "fast_food": "food", "bar": "food", "pub": "food", "biergarten": "food", "ice_cream": "food",
    "food_court": "food", "bank": "office", "post_office": "office", "townhall": "office", "courthouse": "office",
    "embassy": "office", "police": "emergency", "fire_station": "emergency", "ambulance_station": "emergency",
    "place_of_worship": "assembly", "community_centre": "assembly", "social_centre": "assembly", "library": "culture",
    "theatre": "culture", "cinema": "culture", "arts_centre": "culture", "museum": "culture", "nightclub": "food",
    "fuel": "retail", "marketplace": "retail", "car_wash": "workshop", "car_rental": "office", "nursing_home": "care",
    "social_facility": "care", "retirement_home": "care", "toilets": NOTHING, "parking": NOTHING, "shelter": NOTHING,
    "bicycle_parking": NOTHING, "recycling": NOTHING, "waste_disposal": NOTHING, "crematorium": "workshop",
    "prison": "care", "bus_station": "transport", "ferry_terminal": "transport", "casino": "food",
}  # fmt: skip
_BY_LAND = {
    "residential": HOME, "commercial": "office", "retail": "retail", "industrial": "workshop", "garages": NOTHING,
    "allotments": NOTHING, "farmyard": NOTHING, "cemetery": NOTHING, "railway": NOTHING, "religious": "assembly",
    "education": "school", "military": NOTHING, "depot": "storage", "port": "storage",
    "greenhouse_horticulture": NOTHING,
    "farmland": NOTHING, "forest": NOTHING, "meadow": NOTHING, "construction": NOTHING,
}  # fmt: skip
_GROUNDS = {"school", "university", "hospital", "college", "kindergarten"}
"""Amenities that are mapped as grounds with several buildings."""


class Use(NamedTuple):
    """What a building is used for, and where that is known from: ``measured``, ``neighbour`` or ``country``."""

    use: str
    source: str


def own_use(tags: Mapping[str, str]) -> str:
    """Return the use that a building's own tags name; empty if they name none.

    Examples
    --------
    >>> own_use({"building": "yes", "amenity": "toilets"}), own_use({"building": "yes"})
    ('none', '')
    >>> own_use({"building": "apartments", "shop": "bakery"}), own_use({"building": "church"})
    ('residential', 'assembly')
    """
    kind = tags.get("building", tags.get("building:part", "yes"))
    if tags.get("power") in ("substation", "transformer", "plant", "generator"):
        return NOTHING
    if kind in _HOMES:
        return HOME
    if kind in _UNUSED:
        return NOTHING
    if (by_amenity := _BY_AMENITY.get(tags.get("amenity", ""))) is not None:
        return by_amenity
    if kind in _BY_BUILDING:
        return _BY_BUILDING[kind]
    if tags.get("shop", "no") not in ("no", "vacant"):
        return "retail"
    if "office" in tags:
        return "office"
    if tags.get("tourism") in ("hotel", "hostel", "motel", "guest_house"):
        return "hotel"
    if tags.get("tourism") in ("museum", "gallery"):
        return "culture"
    if "healthcare" in tags:
        return "clinic"
    if tags.get("leisure") in (
        "sports_centre",
        "sports_hall",
        "fitness_centre",
        "stadium",
        "swimming_pool",
        "ice_rink",
    ):
        return "sport"
    if "man_made" in tags or "building:use" in tags:
        return {"residential": HOME}.get(
            tags.get("building:use", ""), _BY_BUILDING.get(tags.get("building:use", ""), NOTHING)
        )
    return ""


def uses_of(
    shapes: Sequence[Any], tags: Sequence[Mapping[str, str]], areas: Sequence[tuple[Any, Mapping[str, str]]]
) -> list[Use]:
    """Return the use of every building.

    What its own tags name counts; then the grounds of a school, university or hospital in which it stands; then the
    smallest mapped land use around it; else people live there.

    Parameters
    ----------
    shapes, tags
        The buildings.
    areas
        Shape and tags of other areas, in the same coordinates.
    """
    grounds = [
        (shape, _BY_AMENITY[t["amenity"]]) for shape, t in areas if t.get("amenity") in _GROUNDS and "building" not in t
    ]
    land = [(shape, _BY_LAND[t["landuse"]]) for shape, t in areas if t.get("landuse") in _BY_LAND]
    inside = [_smallest(shapes, kind) for kind in (grounds, land)]
    found = []
    for k, mine in enumerate(tags):
        if own := own_use(mine):
            found.append(Use(own, "measured"))
        else:
            around = next((uses[k] for uses in inside if uses[k]), "")
            found.append(Use(around, "neighbour") if around else Use(HOME, "country"))
    return found


def _smallest(shapes: Sequence[Any], areas: Sequence[tuple[Any, str]]) -> list[str]:
    """Return the use of the smallest area around each building's inner point; empty where there is none."""
    found = [""] * len(shapes)
    if not areas or not shapes:
        return found
    size = np.full(len(shapes), np.inf)
    points = [shape.representative_point() for shape in shapes]
    tree = shapely.STRtree([shape for shape, _ in areas])
    for k, j in tree.query(points, predicate="within").T.tolist():
        if areas[j][0].area < size[k]:
            size[k], found[k] = areas[j][0].area, areas[j][1]
    return found


def shop_floors(shapes: Sequence[Any], points: Sequence[tuple[Any, Mapping[str, str]]]) -> list[list[str]]:
    """Return the uses of the shops, restaurants and offices that are mapped as points inside each building."""
    found: list[list[str]] = [[] for _ in shapes]
    named = [(point, own_use({"building": "yes", **tags})) for point, tags in points]
    named = [(point, use) for point, use in named if use not in ("", NOTHING, HOME)]
    if named and shapes:
        tree = shapely.STRtree(list(shapes))
        for j, k in tree.query([point for point, _ in named], predicate="within").T.tolist():
            found[k].append(named[j][1])
    return [sorted(uses) for uses in found]
