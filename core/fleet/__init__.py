"""Electric vehicle fleets: plans, vehicle states, charging strategies."""
