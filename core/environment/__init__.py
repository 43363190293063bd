"""Numerics of the environment: air quality, noise and exposure."""
