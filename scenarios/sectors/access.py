"""Access: which functions of daily life residents reach within a quarter of an hour."""

from __future__ import annotations

import numpy as np

from cosim import Indicator, Result
from cosim.scenarios.buildings.premises import Premises
from cosim.scenarios.indicators.access import access_indicators
from cosim.scenarios.model import City

from .premises import NAME, OUTLINES

ORDER = 56
INDICATOR_ORDER = 22  # after travel


def indicators(result: Result, city: City) -> dict[str, Indicator]:
    """Return the 15-minute access of the residents to the city's premises."""
    found = city.sectors.get(NAME)
    if not isinstance(found, Premises) or not found.labels or "persons" not in city.sites:
        return {}
    at = {str(site): (float(x), float(y)) for site, x, y in city.sites[["x", "y"]].itertuples()}
    outlines = city.sectors.get(OUTLINES, {})
    # premises without an outline of their own are in the building that their label begins with
    places = [
        np.mean(outlines[label], axis=0) if label in outlines else at[label.rsplit(" ", 1)[0]] for label in found.labels
    ]
    return access_indicators(city.sites, found.uses, np.array(places), city.network)
