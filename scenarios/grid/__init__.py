"""Synthesis of low- and medium-voltage grids, and their reinforcement."""
