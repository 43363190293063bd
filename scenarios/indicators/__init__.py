"""Indicators of a city's run: traffic, buildings, grid, households and storage."""
