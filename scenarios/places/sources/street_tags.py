"""Corrections of street tags that SUMO's netconvert would take wrongly.

netconvert 1.28 leaves cars on streets with ``motor_vehicle=no``, gives 100 km/h to a ``maxspeed`` that it cannot parse,
drops a street with ``lanes=0``, and opens reversible streets in both directions. The tags are put right before it reads
them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import median_low

from cosim.scenarios.places.findings import Findings

CAR_CLASSES = (
    "motorway", "motorway_link", "trunk", "trunk_link", "primary", "primary_link", "secondary", "secondary_link",
    "tertiary", "tertiary_link", "unclassified", "residential", "living_street",
)  # fmt: skip
"""Values of ``highway`` that are open to cars unless other tags say otherwise."""

NO_CARS, BUS_ONLY = "nocar", "busonly"
"""Variants of `CAR_CLASSES` in the type map: ``residential.nocar``."""

PRIVATE_KMH = "10"
"""Speed on private streets, so low that no route leads through them: they are for those who live there. Assumption."""

_YES = {"yes", "designated", "permissive", "official"}
_CLOSED = {"no", "forestry", "agricultural", "emergency", "military"}
_BY_PERMIT = {"permit", "permission", "residents"}
_SPEED = re.compile(r"(\d+(?:\.\d+)?)\s*(?:km/?h|kph|mph)?", re.IGNORECASE)
_NAMED_SPEED = re.compile(r"none|walk|[A-Z]{2}:[a-z_]+(?::\w+)?")
_GONE = ("construction", "proposed", "planned", "razed", "abandoned", "disused", "demolished")


def corrected(name: str, tags: Mapping[str, str], findings: Findings) -> dict[str, str] | None:
    """Return the tags with which netconvert reads a street as meant; None for a street that no car or bus uses.

    Parameters
    ----------
    name
        Name of the way, for the findings.
    tags
        Its tags.
    findings
        Receives what is changed.
    """
    tags = dict(tags)
    kind = tags.get("highway", "")
    bus = any(tags.get(key) in _YES for key in ("bus", "psv"))
    if kind in _GONE or tags.get("construction:highway"):
        findings.add("dropped", "street that does not exist yet or any more", name, kind)
        return None
    if kind == "road":
        findings.add("guessed", "highway=road taken as unclassified", name)
        kind = "unclassified"
    elif kind == "busway":
        tags.setdefault("maxspeed", "50")
        kind = f"unclassified.{BUS_ONLY}"
    elif (kind == "service" and bus) or kind == "bus_guideway":
        kind = f"unclassified.{BUS_ONLY}"
    elif kind not in CAR_CLASSES:
        return None
    if tags.get("area") == "yes":
        findings.add("dropped", "area tagged as a street", name)
        return None
    if kind in CAR_CLASSES:
        suffix = _access(name, tags, bus, findings)
        if suffix is None:
            return None
        kind += suffix
    tags["highway"] = kind
    for key in ("access", "vehicle", "motor_vehicle", "motorcar"):
        tags.pop(key, None)
    if not _direction(name, tags, findings):
        return None
    _lanes(name, tags, findings)
    _speed(name, tags, findings)
    return tags


def _access(name: str, tags: dict[str, str], bus: bool, findings: Findings) -> str | None:
    """Return the suffix of the street's type, or None if nobody may use it."""
    key = next((key for key in ("motorcar", "motor_vehicle", "vehicle", "access") if key in tags), "")
    value = tags.get(key, "")
    if conditional := next((k for k in tags if k.endswith(":conditional") and k.split(":")[0] in _MODES), ""):
        findings.add(
            "listed", "restricted at certain times: candidate of a zone", name, f"{conditional}={tags[conditional]}"
        )
    if value in _BY_PERMIT:
        findings.add("listed", "open by permit: candidate of a zone", name, f"{key}={value}")
    elif value in _CLOSED:
        if bus:
            findings.add("mended", "closed to cars, open to buses", name, f"{key}={value}")
            return f".{BUS_ONLY}"
        if key == "access" and tags.get("bicycle") not in _YES and tags.get("foot") not in _YES:
            findings.add("dropped", "street closed to everybody", name, f"{key}={value}")
            return None
        findings.add("mended", "closed to cars", name, f"{key}={value}")
        return f".{NO_CARS}"
    elif value == "private":
        findings.add("mended", f"private street: destination only, {PRIVATE_KMH} km/h", name)
        tags["maxspeed"] = PRIVATE_KMH
    return ""


_MODES = {"access", "vehicle", "motor_vehicle", "motorcar"}


def _direction(name: str, tags: dict[str, str], findings: Findings) -> bool:
    oneway = tags.get("oneway", "")
    if oneway == "reversible":
        findings.add("dropped", "reversible street: closed", name)
        return False
    if oneway == "alternating":
        findings.add("mended", "alternating one-way street: one lane each way, twice its capacity", name)
        tags.update(oneway="no", lanes="2")
    elif "oneway:conditional" in tags:
        findings.add("listed", "one-way at certain times", name, tags["oneway:conditional"])
    return True


def _lanes(name: str, tags: dict[str, str], findings: Findings) -> None:
    two_way = tags.get("oneway", "no") in ("no", "") and not tags["highway"].startswith("motorway")
    numbers = {}
    for key in ("lanes", "lanes:forward", "lanes:backward"):
        if (text := tags.get(key)) is None:
            continue
        parts = re.findall(r"\d+(?:\.\d+)?", text)
        least = min((int(float(part)) for part in parts), default=0)
        if least < 1:
            findings.add("mended", f"{key} is no number of lanes: the street's type decides", name, text)
            del tags[key]
            continue
        if text.strip() != str(least):
            findings.add("mended", f"{key} has several numbers or a fraction: the least counts", name, text)
            tags[key] = str(least)
        numbers[key] = least
    if two_way and numbers.get("lanes") == 1:
        findings.add("listed", "two-way street with lanes=1: one lane each way, twice its capacity", name)
    directed = [numbers.get(key) for key in ("lanes:forward", "lanes:backward")]
    if two_way and any(directed):
        whole = sum(number or 1 for number in directed)
        if numbers.get("lanes", whole) < whole:
            findings.add("mended", "lanes below the sum of its directions", name, f"{numbers['lanes']} < {whole}")
        if numbers.get("lanes", 0) < whole:
            tags["lanes"] = str(whole)
    _bus_lane(name, tags, findings)


def fill_lanes(streets: Iterable[tuple[str, dict[str, str]]], findings: Findings) -> None:
    """Give one-way streets without a number of lanes the median of the others of their class in the map.

    SUMO's types have one lane for most of them, which is right in an old town and wrong in a district of wide ones.

    Parameters
    ----------
    streets
        Name and tags, as returned by `corrected`, of every street; ``lanes`` is filled in.
    findings
        Receives what is guessed.
    """
    known: dict[str, list[int]] = defaultdict(list)
    unknown = []
    for name, tags in streets:
        if tags.get("oneway") in _ONE_WAY and tags.get("junction") != "roundabout" and "highway" in tags:
            if "lanes" in tags:
                known[tags["highway"]].append(int(tags["lanes"]))
            else:
                unknown.append((name, tags))
    for name, tags in unknown:
        if len(numbers := known[tags["highway"]]) >= _LEAST_KNOWN:
            tags["lanes"] = str(median_low(numbers))
            findings.add("guessed", "lanes of a one-way street: as most of its class", name, tags["lanes"])


_ONE_WAY = {"yes", "true", "1", "-1"}
_LEAST_KNOWN = 3


def _bus_lane(name: str, tags: dict[str, str], findings: Findings) -> None:
    """Translate ``lanes:psv`` and ``lanes:bus``, which netconvert ignores, to ``busway``, which it reads."""
    for key in ("lanes:psv", "lanes:bus"):
        text = tags.get(key) or tags.get(f"{key}:forward") or tags.get(f"{key}:backward")
        if text is None or any(tag.startswith("busway") for tag in tags):
            continue
        if not text.strip().isdigit() or int(text) < 1:
            findings.add("dropped", f"{key} is no number of lanes", name, text)
            continue
        both = key in tags and tags.get("oneway", "no") in ("no", "") and int(text) > 1
        against = tags.get("oneway") == "-1" or f"{key}:backward" in tags
        side = "both" if both else "left" if against else "right"
        tags[f"busway:{side}"] = "lane"
        findings.add("mended", f"{key} read as a bus lane", name, text)


def _speed(name: str, tags: dict[str, str], findings: Findings) -> None:
    for key in ("maxspeed", "maxspeed:forward", "maxspeed:backward"):
        text = tags.get(key)
        if text is None or _NAMED_SPEED.fullmatch(text) or _SPEED.fullmatch(text.strip()):
            continue
        parts = [part.strip() for part in re.split(r"[;,|]", text)]
        speeds = [part for part in parts if _SPEED.fullmatch(part)]
        if speeds:
            tags[key] = min(speeds, key=_kmh)
            findings.add("mended", "maxspeed has several values: the lowest counts", name, text)
        else:
            del tags[key]
            findings.add("guessed", "maxspeed is no speed: the urban speed of the street's type", name, text)


def _kmh(text: str) -> float:
    number = float(re.findall(r"\d+(?:\.\d+)?", text)[0])
    return number * 1.609344 if "mph" in text.lower() else number
