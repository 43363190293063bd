"""What SUMO's files ask and SUMO ignores without a word, because of an option or parameter that is not set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cosim.adapters.traffic.files import SumoConfiguration, elements, mentions

_DEVICE = re.compile(r"device\.(\w+)\.|has\.(\w+)\.device")
_MENTIONS_DEVICE = re.compile(rb"""["'](?:device\.\w+\.|has\.\w+\.device)""")
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
    equipped: set[str] = set()
    for path in configuration.demand:
        if not mentions(path, _MENTIONS_DEVICE, (b"device",)):
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
        options = (f"device.{device}.probability", f"device.{device}.explicit")
        if device not in equipped and not any(_is_on(configuration.options, option) for option in options):
            yield (
                f"has.{device}.device",
                f"{where} has parameters of the device {device}, which no vehicle has without has.{device}.device",
            )
