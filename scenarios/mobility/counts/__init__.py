"""Days of traffic from hourly counts: where loops stand, how much drives on each route, and the vehicles of a day."""
