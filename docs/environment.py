"""Print the figures of docs/environment.md: a street of the Eixample by traffic, and SUMO's particles by class.

``python docs/environment.py``; takes some seconds.
"""

import numpy as np

from cosim.adapters.weather import load
from cosim.core.environment.ospm import FRONTAL_AREA, TRAFFIC_DRAG
from cosim.core.environment.streets import Streets
from cosim.core.environment.wear import WEAR_CLASSES, wear_factors
from cosim.scenarios.environment.annual import annual_means, screening
from cosim.scenarios.environment.background import read_background
from cosim.scenarios.environment.exhaust import exhaust_share

SPEED_KMH, NOX_G_KM, PRIMARY = 25.0, 0.4, 0.15
"""Of a mixed fleet in town: assumptions."""


def canyon(width: float, height: float) -> Streets:
    """Return a street of the Eixample, 113 m long from crossing to crossing."""
    turned = np.radians(45.0)
    axis = np.array([[0.0, 0.0], [113.3 * np.sin(turned), 113.3 * np.cos(turned)]])
    half = np.full((1, 2), width / 2)
    return Streets(("street",), np.array([113.3]), np.array([45.0]), half, np.full((1, 2), height), (axis,))


def day_of(vehicles: float, street: Streets) -> dict[str, np.ndarray]:
    """Return a day of traffic, as `annual_means` takes it, with two thirds of it from 8 to 20 h."""
    by_hour = np.where((np.arange(24) >= 8) & (np.arange(24) < 20), 2.0, 1.0)
    flow = vehicles * by_hour / by_hour.sum() / 3600
    metres = float(street.length[0])
    wear = wear_factors(SPEED_KMH)[:, WEAR_CLASSES.index("car")]
    kg = (flow * metres * 1e-6)[:, None]
    stirred = flow * SPEED_KMH / 3.6 * FRONTAL_AREA["light"] / float(street.width[0])
    return {
        "nox": kg * NOX_G_KM,
        "pm10": kg * wear[0],
        "pm25": kg * wear[1],
        "turbulence": TRAFFIC_DRAG * np.sqrt(stirred)[:, None],
        "primary": np.full(24, PRIMARY),
    }


def main() -> None:
    """Print the tables."""
    year, background, street = load("barcelona"), read_background("barcelona"), canyon(20.0, 22.0)
    print("| vehicles a day | NO2 by OSPM | NO2 by SRM1 | PM10 by OSPM | PM2.5 by OSPM |\n|---|---|---|---|---|")
    for vehicles in (0, 1_000, 10_000, 20_000, 30_000):
        traffic = day_of(vehicles, street)
        ospm = 1e9 * annual_means(street, traffic, year, background).mean(axis=(1, 2))
        srm1 = 1e9 * screening(street, traffic, year, background)[0].mean()
        print(f"| {vehicles:,} | {ospm[0]:.1f} | {srm1:.1f} | {ospm[3]:.1f} | {ospm[4]:.1f} |")
    print("\n| emission class | exhaust in SUMO's PMx |\n|---|---|")
    for name in (
        "HBEFA4/PC_BEV",
        "HBEFA4/PC_petrol_Euro-4",
        "HBEFA4/PC_petrol_Euro-6d",
        "HBEFA4/PC_diesel_Euro-4",
        "HBEFA4/PC_diesel_Euro-6d",
        "HBEFA4/UBus_Std_gt15-18t_Euro-VI_A-C",
        "HBEFA3/PC_G_EU4",
        "HBEFA2/P_7_7",
    ):
        print(f"| {name} | {100 * exhaust_share(name):.0f} % |")


if __name__ == "__main__":
    main()
