"""A town of few elements under the names of a city's sectors, for exports that must not wait for a city."""

from __future__ import annotations

import numpy as np

from cosim import Adapter, Clock, Indicator, Layer, Output, Scenario

CRS = "+proj=tmerc +lat_0=41.39 +lon_0=2.16 +k=1 +x_0=0 +y_0=0 +ellps=WGS84 +units=m +type=crs"
STREETS = {"s1": [(0.0, 0.0), (100.0, 0.0)], "s2": [(100.0, 0.0), (100.0, 80.0), (140.0, 90.0)]}
# the second outline runs clockwise
HOUSES = {
    "h1": [(10.0, 10.0), (20.0, 10.0), (20.0, 20.0), (10.0, 20.0)],
    "h2": [(30.0, 10.0), (30.0, 20.0), (40.0, 20.0)],
}
PLUGS = {"c1": [(50.0, 5.0)]}
NAMES = {"s1": "Carrer d’Aragó"}


class Sector(Adapter):
    """Publishes outputs that rise by one each step from the number given."""

    def __init__(self, **outputs: tuple[str, list[str], str, float]) -> None:
        self.begin = {name: value for name, (*_, value) in outputs.items()}
        for name, (unit, labels, kind, _) in outputs.items():
            setattr(self, name, Output(unit, labels, kind, may_be_missing=True))
        self.k = 0

    def open(self):
        for name, value in self.begin.items():
            if getattr(self, name).kind == "end":
                getattr(self, name).value = value

    def advance(self, step):
        for name, value in self.begin.items():
            port = getattr(self, name)
            values = value + self.k + np.arange(len(port))
            if self.k == 1 and name == "speed":
                values = values * np.nan
            port.value = values
        self.k += 1


def town(crs: str = CRS, hours: float = 0.1) -> Scenario:
    streets, houses, facades = [*STREETS], [*HOUSES], ["s1|left"]
    scenario = Scenario(
        Clock("2025-01-15", hours=hours, zone="Europe/Madrid"),
        indicators=lambda result: {
            "energy": Indicator(2.5, "kWh", "lower", "of houses"),
            "no value": Indicator(np.nan, "1"),
        },
        traffic=Sector(
            flow=("vehicle/s", streets, "mean", 0.5),
            speed=("m/s", streets, "mean", 10.0),
            running=("vehicle", ["network"], "end", 0.0),
        ),
        buildings=Sector(
            electric_power=("W", houses, "mean", 100.0),
            reactive_power=("var", houses, "mean", 10.0),
            persons=("person", houses, "mean", 1.0),
            indoor_temperature=("degC", houses, "end", 20.0),
            stored=("kWh", houses, "end", 2.0),
        ),
        fleet=Sector(charging_power=("W", [*PLUGS], "mean", 7000.0)),
        weather=Sector(
            temperature=("degC", ["outdoor"], "mean", 8.0),
            humidity=("1", ["outdoor"], "mean", 0.5),
            irradiance=("W/m**2", ["horizontal", "south"], "mean", 200.0),
        ),
        environment=Sector(no2=("kg/m**3", facades, "mean", 4e-8), noise=("dB", facades, "mean", 60.0)),
        empty=Sector(nothing=("W", [], "mean", 0.0)),
    )
    scenario.name, scenario.crs = "town", crs
    scenario.parameters = {"country": "ES", "blocks": [1, 2]}
    facade = {"s1|left": [(0.0, 3.0), (100.0, 3.0)]}
    scenario.layers = [
        Layer("Flow", "traffic.flow", "line", STREETS, "vehicles/h", 3600, names=NAMES),
        Layer("Power", "buildings.electric_power", "polygon", HOUSES, "kW", 1e-3),
        Layer("Charging", "fleet.charging_power", "point", PLUGS, "kW", 1e-3, properties={"points": {"c1": 2.0}}),
        Layer("Noise", "environment.noise", "line", facade, "dB(A)"),
        Layer.outline("Zone", {"z": [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)]}),
    ]
    scenario.sources = [
        {
            "file": "map.osm",
            "licence": "Open Data Commons Open Database License (ODbL) 1.0",
            "attribution": "© OSM, ODbL",
        }
    ]
    return scenario
