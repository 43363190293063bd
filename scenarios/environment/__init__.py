"""Environment: street canyons, background air, what exhaust is made of, and façades."""
