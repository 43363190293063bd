"""Live runs: a scenario that follows data from outside, publishes what it computes, and forecasts from its state."""
