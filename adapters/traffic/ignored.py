"""What SUMO's files ask and SUMO ignores without a word, because of an option or parameter that is not set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from cosim.adapters.traffic.files import SumoConfiguration, elements, mentions, pieces, version_of

_DEVICE = re.compile(r"device\.(\w+)\.|has\.(\w+)\.device")
_ASKS = re.compile(rb"device\.(\w+)\.")
_HAS = re.compile(rb"has\.(\w+)\.device")
_EQUIPS = re.compile(r"device\.(\w+)\.(?:probability|explicit)")
_OFF = ("", "0", "0.0", "-1", "-1.0", "false", "off", "no", "f")


class _Needed(NamedTuple):
    what: re.Pattern[bytes]
    options: tuple[str, ...]
    """Options of which one must be set."""
    text: str
    words: tuple[bytes, ...] = ()
    """One of them is in every match."""


_NEEDED = (
    _Needed(
        re.compile(rb"\s(?:latAlignment|minGapLat|lcSublane|lcPushy|lcPushyGap)\s*="),
        ("lateral-resolution",),
        "lateral alignment, gaps and pushing of vehicle types are ignored without lateral-resolution",
        (b"latAlignment", b"minGapLat", b"lcSublane", b"lcPushy"),
    ),
    _Needed(
        re.compile(rb"\smaneuverAngleTimes\s*="),
        ("parking.maneuver",),
        "times to manoeuvre into a parking space are ignored without parking.maneuver",
        (b"maneuverAngleTimes",),
    ),
    _Needed(
        re.compile(rb"<stop\s[^>]*\sended\s*="), ("use-stop-ended",), "ended of stops is ignored without use-stop-ended"
    ),
    _Needed(
        re.compile(rb"<stop\s[^>]*\sstarted\s*="),
        ("use-stop-started",),
        "started of stops is ignored without use-stop-started",
    ),
    _Needed(
        re.compile(rb"<overheadWireSegment\s"),
        (),
        "energy from overhead wires is in none of the outputs: charging_power is that of charging stations",
    ),
)


def ignored(configuration: SumoConfiguration) -> Iterator[tuple[str, str]]:
    """Yield each option that is not set, and what of a scenario's files SUMO ignores for that reason."""
    for need in _NEEDED:
        if not any(_is_on(configuration.options, option) for option in need.options):
            for path in configuration.demand:
                if mentions(path, need.what, need.words):
                    yield next(iter(need.options), path.name), f"{path.name}: {need.text}"
                    break
    yield from _idle_devices(configuration)


def _is_on(options: Mapping[str, str], option: str) -> bool:
    return options.get(option, "").lower() not in _OFF


def _idle_devices(configuration: SumoConfiguration) -> Iterator[tuple[str, str]]:
    """Yield devices that have parameters, but that no vehicle has."""
    asked: dict[str, str] = {}
    given = configuration.options
    equipped = {found[1] for option in given if (found := _EQUIPS.fullmatch(option)) and _is_on(given, option)}
    # A day's vehicles ask for devices that their types have: those files are read first, and theirs only if need be.
    for path in sorted(configuration.demand, key=lambda path: not mentions(path, _HAS, (b"has.",))):
        if _devices(path, version_of(path)) <= equipped:
            continue
        for _, element in elements(path, ("end",)):
            for parameter in element.findall("param"):
                if (found := _DEVICE.match(parameter.get("key", ""))) is None:
                    continue
                if found[2]:
                    equipped |= {found[2]} if parameter.get("value", "").lower() not in _OFF else set()
                else:
                    asked.setdefault(found[1], f"{path.name}: {element.tag} {element.get('id')!r}")
    for device, where in asked.items():
        if device not in equipped:
            yield (
                f"has.{device}.device",
                f"{where} has parameters of the device {device}, which no vehicle has without has.{device}.device",
            )


@lru_cache(maxsize=256)
def _devices(path: Path, version: tuple[int, ...]) -> frozenset[str]:
    """Return the devices whose parameters a file may have, once for each version of it."""
    found = (name for piece in pieces(path) for pattern in (_ASKS, _HAS) for name in pattern.findall(piece))
    return frozenset(name.decode() for name in set(found))
