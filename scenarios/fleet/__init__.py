"""Electric vehicles of a city: trips, parking places and charging plans from its demand."""
