"""Where the repository and the real input files stand."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
"""Real inputs beside the checkout: networks, counts, weather, published cases."""
BOLOGNA = DATA / "bologna"
