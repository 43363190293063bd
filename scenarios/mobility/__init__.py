"""Travel demand: residents and their trips, cars, chargers, and routes through a network."""
