"""Prints annual means of NO2 on the streets around a measuring station, from a run that covers a day.

python docs/station.py RUN LATITUDE LONGITUDE
"""

import sys

import shapely

from cosim import Result
from cosim.adapters.traffic.files import read_configuration
from cosim.registry.builder import build_again
from cosim.scenarios.environment.annual import annual_means, screening
from cosim.scenarios.indicators.air import typical_traffic
from cosim.scenarios.streets.network import project

NEAR_M, BUSY = 60.0, 5000


def main(folder: str, latitude: float, longitude: float) -> None:
    """Print street, distance [m], vehicles a day, and the mean over both façades by OSPM and SRM1 [µg/m³]."""
    run = Result.open(folder)
    city = build_again(run.provenance["builder"], seed=run.provenance["seed"]).model
    made, weather = city.sectors["environment"], city.weather
    traffic = typical_traffic(run, made, weather)
    ospm, srm1 = (
        1e9 * function(made.streets, traffic, weather, made.background)[0].mean(axis=1)
        for function in (annual_means, screening)
    )
    station = shapely.Point(project(read_configuration(city.sumocfg).net, longitude, latitude))
    shapes = dict(zip(city.network.labels, city.network.shapes))
    volume = run.series("traffic.flow").mean() * 86400
    for k, street in enumerate(made.streets.labels):
        away = station.distance(shapely.LineString(shapes[street]))
        if away <= NEAR_M and volume[street] > BUSY:
            print(f"{street}: {away:.0f} m, {volume[street]:.0f} vehicles, OSPM {ospm[k]:.1f}, SRM1 {srm1[k]:.1f}")


if __name__ == "__main__":
    main(sys.argv[1], *map(float, sys.argv[2:]))
