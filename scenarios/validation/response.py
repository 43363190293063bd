"""Reactions of travellers beside published ones: prices of fuel, fares, parking and roads, time, lanes and zones.

Nothing of a whole day is simulated: travellers of a district answer to changed costs at given times, and streets are
skims of SUMO's mesoscopic model or a corridor of parallel streets. All rows use one set of parameters.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

from cosim.core import CosimError
from cosim.core.quantities import Vector
from cosim.scenarios.mobility.choice import BICYCLE, CAR, MODES, PUBLIC, RIDE, Frequency, Shares, respond
from cosim.scenarios.mobility.costs import TASTES, TravelChanges, utility_changes
from cosim.scenarios.mobility.drives import CarDay
from cosim.scenarios.mobility.population import Habits, activity_chains
from cosim.scenarios.mobility.resident_cars import everybody_of
from cosim.scenarios.mobility.routing import shortest_routes
from cosim.scenarios.mobility.skims import StreetTimes, times_s
from cosim.scenarios.mobility.travellers import FIRM, Travellers
from cosim.scenarios.model import Workspace
from cosim.scenarios.policies.mobility import SpeedLimit
from cosim.scenarios.streets.eixample import building_sites, eixample_streets

CITY = Habits(modes={"car": 0.16, "motorcycle and passenger": 0.1004, "public": 0.3733, "active": 0.3663})
"""Barcelona, trips within the city and to and from it: Urban Mobility Plan 2024, private 26.04 %, public 37.33 %, on
foot and by bicycle 36.63 %. That 16 % are drivers of cars is an assumption."""

PERSONS, VISITS, CROSSINGS, BLOCKS = 40.0, 0.2, 0.4, (3, 3)
"""Residents of a building, car trips of visitors and across the district per resident, and the district's blocks:
assumptions, only for the mix of travellers."""

KMH, KM, SIGMA = 18.0, 8.0, 0.7
"""Mean speed by car, and mean and sigma of the length of trips to a city's centre. [km/h], [km] Assumptions."""

WORK = 0.4
"""Share of trips to work among those to a centre. Assumption."""

FEW, FULLER = 0.10, 1.2
"""Share of the trips by public transport, and flow over capacity of a busiest hour, with which rows that miss are tried
again. Assumptions."""

SLOWER = 0.05
"""Longer times in a city with a limit of 30 km/h. Not above 5 % for Bologna's buses, by the studies that were made for
it (italy.cleancitiescampaign.org, 14 February 2024)."""

_TAG = "Department for Transport (UK): TAG Unit M2.1 (2025), realism tests, as quoted by github.com/kakduman/sf-trace"
_COMMONS = "House of Commons, written answers of 10 May 1993 (R. Freeman), buses"


@dataclass(frozen=True)
class Reaction:
    """One reaction beside the published one."""

    name: str
    value: float
    low: float
    high: float
    unit: str
    source: str
    remark: str = ""

    @property
    def inside(self) -> bool:
        """Whether the value lies in the published range."""
        return bool(self.low <= self.value <= self.high)

    @property
    def shown(self) -> str:
        """The value with its unit."""
        return self._text(self.value)

    @property
    def span(self) -> str:
        """The published range with its unit."""
        return f"{self._text(self.low).removesuffix(' %')} to {self._text(self.high)}"

    def _text(self, value: float) -> str:
        return f"{value:.1f} %" if self.unit == "%" else f"{value:.3f}"


def reactions(seed: int = 0) -> list[Reaction]:
    """Return all reactions; takes about a minute."""
    workspace = Workspace("response")
    net = eixample_streets(workspace.path, *BLOCKS)
    sites = building_sites(*BLOCKS).assign(persons=PERSONS)
    day = CarDay(net, sites, seed)
    chains = activity_chains(sites, seed, CITY)
    people = everybody_of(day, chains, CITY, {"visit": VISITS, "through": CROSSINGS}, 0, 0, "UTC")
    return [*_elasticities(people), *_charges(), *_streets(people, net, workspace.path, seed)]


class _Pool:
    """Travellers as arrays, and sums over what they do."""

    def __init__(self, people: Travellers) -> None:
        tours = people.tours
        self.shares = people.shares
        self.km = tours["distance_km"].to_numpy(float)
        self.trips = tours["trips"].to_numpy(float)
        self.pays = tours["pays_parking"].to_numpy(float)
        self.firm = tours["purpose"].map(FIRM).to_numpy(float)

    def after(self, changes: TravelChanges, **costs: Any) -> Shares:
        change = utility_changes(changes, self.km, pays_parking=self.pays, **costs)
        return respond(self.shares, change, Frequency(self.firm))

    def ratio(self, after: Shares, mode: int, weight: Vector | None = None) -> float:
        """Return the trips by a mode over those of the base case, weighted."""
        weights = self.trips if weight is None else self.trips * weight
        return float((after[:, mode] * weights).sum() / (self.shares[:, mode] * weights).sum())

    def with_share(self, mode: int, share: float) -> _Pool:
        """Return the same travellers with other odds of a mode, alike for all, that give it a share of the trips.

        Raises
        ------
        CosimError
            If the share is not between 0 and 1.
        """
        if not 0 < share < 1:
            raise CosimError(f"the share of {MODES[mode]!r} is {share}: it must lie between 0 and 1")
        found, low, high = copy.copy(self), -20.0, 20.0
        for _ in range(60):
            middle = (low + high) / 2
            odds = self.shares * np.where(np.arange(len(MODES)) == mode, np.exp(middle), 1.0)
            found.shares = odds / odds.sum(axis=1, keepdims=True)
            mean = float((found.shares[:, mode] * self.trips).sum() / self.trips.sum())
            low, high = (middle, high) if mean < share else (low, middle)
        return found


def _elasticities(people: Travellers) -> list[Reaction]:
    pool, step = _Pool(people), 1.1

    def arc(ratio: float, factor: float = step) -> float:
        return float(np.log(ratio) / np.log(factor))

    fuel = pool.after(TravelChanges(fuel=step))
    fare = pool.after(TravelChanges(fare=step))
    time = pool.after(TravelChanges(), car_min=pool.km / KMH * 60 * (step - 1))
    parking = pool.after(TravelChanges(parking=1.5))
    headway = pool.after(TravelChanges(headway=1 / step))
    lanes = pool.after(TravelChanges(cycling=0.85))
    few = pool.with_share(PUBLIC, FEW)
    rarely = arc(few.ratio(few.after(TravelChanges(headway=1 / step)), PUBLIC))
    return [
        Reaction(
            "fuel price, car km",
            arc(pool.ratio(fuel, CAR, pool.km)),
            -0.35,
            -0.15,
            "elasticity",
            _TAG,
            "23 sources have −0.1 to −0.5 (Dunkerley, Rohr and Daly, RAND Europe RR-888, 2014).",
        ),
        Reaction(
            "fares, trips by public transport",
            arc(pool.ratio(fare, PUBLIC)),
            -0.9,
            -0.2,
            "elasticity",
            _TAG,
            f"{_COMMONS}: −0.3, with a range of perhaps −0.1 to −0.6.",
        ),
        Reaction(
            "fuel price, trips by public transport",
            arc(pool.ratio(fuel, PUBLIC)),
            0.0,
            0.25,
            "elasticity",
            "Burguillo et al., Research in Transportation Economics 62 (2017): Madrid, cross elasticity +0.25",
            "Madrid's +0.25 is the highest that is expected: part of it comes with years.",
        ),
        Reaction(
            "time by car, car trips",
            arc(pool.ratio(time, CAR)),
            -0.75,
            0.0,
            "elasticity",
            _TAG,
            "Too strong. By the whole generalised cost, of which time is a part, London's car trips had −1.3 to −2.1 "
            "in 2003 (Santos, researchgate 258181286).",
        ),
        Reaction(
            "price of parking +50 %, stays that pay",
            arc(pool.ratio(parking, CAR, pool.pays), 1.5),
            -0.48,
            -0.19,
            "elasticity",
            "Kelly and Clinch (University College Dublin, 2005): Dublin, meters before and after, −0.29; San Francisco "
            "1970, −0.19 to −0.48 (TCRP report 95, chapter 13, as quoted by CAPCOA 2010, PDT-3)",
            "The base price of a stay, 2.20 EUR, was set by this figure.",
        ),
        Reaction(
            "frequency +10 %, trips by public transport",
            arc(pool.ratio(headway, PUBLIC)),
            0.4,
            0.6,
            "elasticity",
            f"{_COMMONS}: a central range of 0.4 to 0.6, and estimates from 0.16 to 1.0",
            "Too weak. Systems of central cities have about 0.3, and where the headway is under ten minutes it is 0.22 "
            "(TCRP report 95, chapter 9, as quoted by github.com/kakduman/sf-trace). Who goes by public "
            "transport already cannot be won, and in Barcelona these are four in ten: "
            f"with {FEW:.0%} of the trips, as in a British town (assumption), the same travellers give {rarely:.2f}.",
        ),
        Reaction(
            "protected cycle lanes, trips by bicycle",
            100 * (pool.ratio(lanes, BICYCLE) - 1),
            11.0,
            48.0,
            "%",
            "Kraus and Koch, PNAS 118 (2021) e2024399118: 106 European cities",
            "The perceived time that a lane saves, 15 %, is an assumption.",
        ),
    ]


def to_centre(
    shares: dict[str, float], toll_eur: float, firm: float, km: float = KM, *, tastes_scale: float = 1.0
) -> float:
    """Return the change of car trips to a centre under a toll per trip.

    Parameters
    ----------
    shares
        Base shares by mode, of any sum.
    toll_eur
        Per trip: half of a charge by the day. [EUR]
    firm
        See `choice.Frequency`.
    km
        Mean length of the trips. [km]
    tastes_scale
        Weight of money relative to the model's.
    """
    draws = (np.arange(400) + 0.5) / 400
    distance = km * np.exp(SIGMA * norm.ppf(draws) - SIGMA**2 / 2)
    base = np.array([shares.get(name, 0.0) for name in MODES])
    before = np.tile(base / base.sum(), (len(distance), 1))
    change = utility_changes(TravelChanges(), distance, toll_eur=toll_eur * tastes_scale)
    return float(respond(before, change, Frequency(firm))[:, CAR].mean() / before[0, CAR] - 1)


def _charges() -> list[Reaction]:
    mixed = WORK * FIRM["work"] + (1 - WORK) * FIRM["other"]
    milan = {"public": 0.56, "car": 0.30, MODES[RIDE]: 0.08, "bicycle": 0.06}
    # 25,686 authorised entries a day of 134,700 before the charge; 9.9 % of 88,500 after it are clean vehicles
    chargeable = 1 - (25_686 + 0.099 * 88_500) / 134_700
    stockholm = {"car": 0.33, "public": 0.60, "bicycle": 0.04, "walk": 0.03}
    crossing = 1.4
    work, other = (to_centre(stockholm, crossing, FIRM[purpose]) for purpose in ("work", "other"))
    london = {"car": 0.12, MODES[RIDE]: 0.02, "public": 0.80, "bicycle": 0.03, "walk": 0.03}
    stockholm_source = "Börjesson, Eliasson et al., Transport Policy 20 (2012) 1–12, and the authors' slides"
    return [
        Reaction(
            "Milan, 5 EUR a day, vehicles that enter",
            100 * chargeable * to_centre(milan, 2.5, mixed),
            -34.3,
            -31.0,
            "%",
            "AMAT Milano, Area C 2012: −34.3 % to April, −32.8 % to September, −31.6 % to November; modes: Maran 2014",
            f"{chargeable:.0%} of the vehicles pay: of the others taxis are most, then clean vehicles (AMAT).",
        ),
        Reaction(
            "Stockholm, 1 to 2 EUR a crossing, car trips to work",
            100 * work,
            -27.0,
            -23.0,
            "%",
            stockholm_source,
            "Published: −24 % to public transport and −1 % to other routes. The modes before are an assumption.",
        ),
        Reaction(
            "Stockholm, other car trips",
            100 * other,
            -30.0,
            -20.0,
            "%",
            stockholm_source,
            "Published: −21 % to other things, −1 % to other routes; a quarter of all cars disappeared in 2006.",
        ),
        Reaction(
            "Stockholm, traffic across the cordon",
            100 * (0.8 * (WORK * work + (1 - WORK) * other)),
            -22.0,
            -18.0,
            "%",
            stockholm_source,
            "A fifth of the vehicles, professional traffic, is taken as not reacting; it fell by 15 %.",
        ),
        Reaction(
            "London 2003, 5 GBP a day, cars that enter",
            100 * to_centre(london, 3.75, mixed),
            -33.0,
            -27.0,
            "%",
            "Transport for London, as in Santos (researchgate 258181286): cars −30 %, all traffic −18 %",
            "Too strong. One weight of money serves all cities; drivers into London's centre earn more than those of "
            "Île-de-France, and many paid a tenth (residents: The Times, 2003) or nothing. With money at "
            f"{_london_scale(london, mixed):.0%} of its weight the model gives −30 %; with half of it, as drivers who "
            "choose their way under Stockholm's charge weigh money (174 to 190 SEK/h, Börjesson, Levander and Eliasson "
            f"2007), {100 * to_centre(london, 3.75, mixed, tastes_scale=0.5):.0f} %, but then Stockholm's work trips "
            f"would fall by {-100 * to_centre(stockholm, crossing, FIRM['work'], tastes_scale=0.5):.0f} % only.",
        ),
    ]


def _london_scale(shares: dict[str, float], firm: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if to_centre(shares, 3.75, firm, tastes_scale=middle) > -0.30 else (low, middle)
    return high


def _streets(people: Travellers, net: Path, folder: Path, seed: int) -> list[Reaction]:
    on_street, beside, gone = corridor()
    fuller = corridor(saturation=FULLER)[2]
    limit = SpeedLimit(limit_kmh=30.0).change_travel(TravelChanges(), net)
    drives = people.driving(people.tours["mode"].to_numpy())
    routes = shortest_routes(net, drives, folder, seed)
    ways = [(label, s, routes[label]) for label, s in drives["depart_s"].items() if routes.get(label)]
    given = [(depart, edges) for _, depart, edges in ways]
    seconds = [
        float(times_s(StreetTimes(net, folder / name, changes, seed).simulate(ways), given).sum())
        for name, changes in (("50", TravelChanges()), ("30", limit))
    ]
    bologna = {"car": 0.35, MODES[RIDE]: 0.06, "public": 0.25, "bicycle": 0.20, "walk": 0.14}
    slower = seconds[1] / seconds[0] - 1  # of the streets as they are in the twin
    barred, replaced = 0.09, 0.5
    evaporation = "Nello-Deakin, Case Studies on Transport Policy 10 (2022): 11 streets of Barcelona, 2020–21"
    return [
        Reaction(
            "green axes, the street itself", on_street, -16.0, -13.0, "%", evaporation, "Set by the lost capacity."
        ),
        Reaction("green axes, streets around", beside, -1.0, 1.0, "%", evaporation + ": next parallels +0.7 %"),
        Reaction(
            "green axes, of the lost traffic that is nowhere",
            gone,
            80.0,
            100.0,
            "%",
            evaporation + ": +0.7 % on the two next parallels and −0.9 % within 500 m against −14.8 %",
            "Too weak. Drivers lose time only in saturated hours, and share it with all parallel streets: with a flow "
            f"of {FULLER:.1f} times the capacity in the busiest hour instead of {SATURATION:.2f}, {fuller:.0f} % are "
            "nowhere. The rest is other destinations and habits, which a model of mode and frequency does not have. "
            "Traffic does not always evaporate: around a closed square in Bologna it was −24 % on the street and "
            "+3.5 % on those around (TomTom data, 2022, transformtransport.org).",
        ),
        Reaction(
            "30 km/h, car trips in the city",
            100 * _slower(bologna, SLOWER),
            -6.0,
            -3.0,
            "%",
            "Comune di Bologna, Città 30: −3 % to −6 % across the cordon in 2024, −5 % in the first year",
            f"With times {SLOWER:.0%} longer, as estimated for Bologna's buses; in Brussels times by car stayed. On "
            f"empty streets of a grid like the Eixample, skims give {slower:.0%}, and that the model turns into "
            f"{_slower(bologna, slower):.0%}: how full the streets are decides.",
        ),
        Reaction(
            "low-emission zone, first month, traffic",
            -100 * barred * (1 - replaced),
            -4.9,
            -1.9,
            "%",
            "Ajuntament de Barcelona, January 2020: centre −3.6 %, accesses −1.9 %, ring roads −4.9 %",
            "By input: 8 to 10 % of the vehicles had no label left in that month, and half of the barred cars are "
            "taken to be replaced, an assumption of the policy.",
        ),
    ]


def _slower(shares: dict[str, float], slower: float) -> float:
    draws = (np.arange(400) + 0.5) / 400
    distance = KM * np.exp(SIGMA * norm.ppf(draws) - SIGMA**2 / 2)
    base = np.array([shares.get(name, 0.0) for name in MODES])
    before = np.tile(base / base.sum(), (len(distance), 1))
    change = utility_changes(TravelChanges(), distance, car_min=distance / KMH * 60 * slower)
    firm = WORK * FIRM["work"] + (1 - WORK) * FIRM["other"]
    return float(respond(before, change, Frequency(firm))[:, CAR].mean() / before[0, CAR] - 1)


PARALLELS, SATURATION, CAPACITY_H, FREE_S_KM, CROSSING_KM = 16, 0.95, 2_400.0, 120.0, 2.0
"""Streets parallel to the sea in the Eixample; flow over capacity of the busiest hour (a municipal model had Mallorca
above 0.9 in 2023); vehicles an hour of a street of three lanes; free time per km with signals [s]; length of the way
in the district [km]. Assumptions but for the second."""

PROFILE = (1.1, 0.5, 0.2, 0.2, 0.3, 0.8, 2.1, 6.6, 7.7, 6.4, 5.4, 5.5, 5.6, 5.7, 6.0, 5.8, 6.7, 7.3, 7.4, 6.6, 4.8, 2.8,
           2.3, 2.2)  # fmt: skip
"""Share of a working day's traffic by hour, 58 edges of Bologna in February 2024. [%]"""

DELAY = 0.4
"""Delay parameter of Akçelik's time-dependent function; an assumption.

0.5 are random arrivals and even departures, for which the function tends to the mean wait of an M/D/1 queue; vehicles
from coordinated signals arrive more evenly. With 0.3 or 0.5 no verdict changes."""


def street_s_per_km(saturation: Vector) -> Vector:
    """Return the time per kilometre of a street by its flow over capacity. [s/km]

    R. Akçelik: Travel time functions for transport planning purposes. Australian Road Research 21(3) (1991) 49–59,
    with a flow period of an hour.
    """
    x = np.asarray(saturation, float)
    delay_h: Vector = 0.25 * ((x - 1) + np.sqrt((x - 1) ** 2 + 8 * DELAY * x / CAPACITY_H))
    return FREE_S_KM + 3600 * delay_h


def corridor(cut: float = 0.15, saturation: float | None = None) -> tuple[float, float, float]:
    """Return what happens when one of many parallel streets loses capacity: itself, the others, and what is nowhere.

    Drivers distribute so that all streets are as fast as each other; demand answers to the time, hour by hour, with the
    shares of those who come from outside.

    Parameters
    ----------
    cut
        Share of the street's capacity that is lost.
    saturation
        Flow over capacity of the busiest hour; by default `SATURATION`.

    Returns
    -------
    Change of traffic on the street and on each of the others, and the share of the lost traffic that is on none. [%]
    """
    flow = np.array(PROFILE) / max(PROFILE) * (SATURATION if saturation is None else saturation)
    left = (PARALLELS - cut) / PARALLELS
    share = 0.468
    firm = FIRM["through"]
    new = flow / left
    for _ in range(200):
        minutes = (street_s_per_km(new) - street_s_per_km(flow)) * CROSSING_KM / 60
        change = np.zeros((len(flow), len(MODES)))
        change[:, CAR] = TASTES.car * minutes
        base = np.zeros((len(flow), len(MODES)))
        base[:, CAR], base[:, PUBLIC] = share, 1 - share
        made = respond(base, change, Frequency(firm))[:, CAR] / share
        new = 0.9 * new + 0.1 * flow * made / left
    day, after = float(flow.sum()), float(new.sum())
    on_street, beside = after * (1 - cut) / day - 1, after / day - 1
    lost = -on_street
    return 100 * on_street, 100 * beside, 100 * (lost - (PARALLELS - 1) * beside) / lost
