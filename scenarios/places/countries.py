"""What follows from where a city lies: country, time zone, side of traffic, projection, and the country's figures."""

from __future__ import annotations

import csv
import dataclasses
from dataclasses import dataclass
from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cosim.core import CosimError

_LEFT_HAND = """
AG AI AU BB BD BM BN BS BT BW CC CK CX CY DM FJ FK GB GD GG GI GY HK ID IE IM IN JE JM JP KE KI KN KY LC LK LS MO MS MT
MU MV MW MY MZ NA NF NP NR NU NZ PG PK PN SB SC SG SH SR SZ TC TH TK TL TO TT TV TZ UG VC VG VI WS ZA ZM ZW
"""
LEFT_HAND = frozenset(_LEFT_HAND.split())
"""Countries with traffic on the left, ISO 3166-1."""


DRIVERS = 0.72
"""Drivers among those who go by car: drivers make 43 % of all trips in Germany (MiD 2017, as in Verkehrsbrief) and 40 %
in England (395 of 986 a year, National Travel Survey 2018), where 58 % mainly go by car (see ``countries.csv``)."""


@dataclass(frozen=True)
class Figures:
    """Figures of a country, as in ``countries.csv``: persons a household, cars a person, intensity, prices, storeys,
    share of the dwellings that are lived in, trips a person, shares of the persons by main mode.
    """

    country: str
    persons: float
    cars: float
    kg_per_kwh: float
    eur_per_kwh: float
    eur_per_kwh_gas: float
    storeys: float
    house_storeys: float
    occupied: float
    trips: float
    by_car: float
    public: float
    motorcycle: float
    assumed: tuple[str, ...] = ()
    """Figures that are those of the EU, as the table has none of the country."""

    def modes(self, car: float | None = None) -> dict[str, float]:
        """Return the shares of the tours by mode, as of `population.MODES`; ``car`` is that of drivers.

        Where it is given, the others keep their proportions.

        Examples
        --------
        >>> figures("DE").modes()
        {'car': 0.418, 'motorcycle and passenger': 0.172, 'public': 0.14, 'active': 0.27}
        """
        own = round(DRIVERS * self.by_car, 3)
        with_others = round(self.by_car - own + self.motorcycle, 3)
        shares = {"motorcycle and passenger": with_others, "public": self.public}
        shares["active"] = round(1 - own - sum(shares.values()), 3)
        car = own if car is None else car
        return {
            "car": car,
            **{mode: share if car == own else share * (1 - car) / (1 - own) for mode, share in shares.items()},
        }


@dataclass(frozen=True)
class Location:
    """Where a city lies.

    Attributes
    ----------
    country, zone
        ISO 3166-1 code and IANA time zone.
    left_hand
        Whether traffic drives on the left.
    projection
        PROJ's words for the UTM zone of the centre.
    """

    country: str
    zone: str
    left_hand: bool
    projection: str


def locate(
    bounds: tuple[float, float, float, float], *, country: str | None = None, zone: str | None = None
) -> Location:
    """Return what follows from bounds in degrees.

    Parameters
    ----------
    bounds
        West, south, east, north. [°]
    country, zone
        Replace what follows from the place.

    Raises
    ------
    CosimError
        If the country is unknown, or the time zone is none or lies in another country.

    Examples
    --------
    >>> leeds = locate((-1.55, 53.80, -1.50, 53.83))
    >>> leeds.country, leeds.zone, leeds.left_hand, leeds.projection[:18]
    ('GB', 'Europe/London', True, '+proj=utm +zone=30')
    """
    import tzfpy  # of the extra "city", which running a city does not need

    west, south, east, north = bounds
    lon, lat = (west + east) / 2, (south + north) / 2
    here = tzfpy.get_tz(lon, lat)
    found = _zones().get(here, ())
    if country is None:
        if not found:
            raise CosimError(
                f"the place at {lat:.3f}, {lon:.3f} lies in no country's time zone ({here or 'none'}): give --country "
                "and --zone"
            )
        country = found[0]
    country = country.upper()
    known = {code for codes in _zones().values() for code in codes}
    if country not in known:
        raise CosimError(f"unknown country {country!r}: give its ISO 3166-1 code, such as DE or ES")
    if found and country not in found:
        raise CosimError(
            f"the place at {lat:.3f}, {lon:.3f} lies in {found[0]} (time zone {here}), not in {country}: leave out "
            "--country, or give the file of that country"
        )
    try:
        ZoneInfo(zone or here)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise CosimError(f"unknown time zone {zone!r}: give an IANA name, such as {here}") from error
    if zone and country not in (there := _zones().get(zone, (country,))):
        raise CosimError(
            f"the time zone {zone} is that of {there[0]}, not of {country}: leave out --zone, or give {here}"
        )
    hemisphere = " +south" if lat < 0 else ""
    utm = f"+proj=utm +zone={int((lon + 180) // 6) % 60 + 1}{hemisphere} +ellps=WGS84 +datum=WGS84 +units=m +no_defs"
    return Location(country, zone or here, country in LEFT_HAND, utm)


@cache
def _zones() -> dict[str, tuple[str, ...]]:
    """Return the countries of each time zone by the table of the time zone database."""
    found: dict[str, tuple[str, ...]] = {}
    for name in ("zone1970.tab", "zone.tab"):
        table = resources.files("tzdata").joinpath("zoneinfo", name).read_text(encoding="utf-8")
        for line in table.splitlines():
            if not line.startswith("#"):
                codes, _, zone = line.split("\t")[:3]
                found[zone] = tuple(codes.split(","))  # the second table names one country, the zone's own
    return found


def figures(country: str) -> Figures:
    """Return the figures of a country; those that the table does not have are of the EU, and named in ``assumed``.

    Examples
    --------
    >>> figures("FI").persons, figures("GB").assumed[:2]
    (1.9, ('persons', 'cars'))
    """
    rows = _table()
    row, union = rows.get(country, {}), rows["EU"]
    names = [field.name for field in dataclasses.fields(Figures) if field.name not in ("country", "assumed")]
    values = {name: float(row.get(name) or union[name]) for name in names}
    return Figures(country, **values, assumed=tuple(name for name in names if not row.get(name)))


@cache
def _table() -> dict[str, dict[str, str]]:
    text = resources.files("cosim.scenarios.places").joinpath("countries.csv").read_text(encoding="utf-8")
    return {row["country"]: row for row in csv.DictReader(line for line in text.splitlines() if line[0] != "#")}
