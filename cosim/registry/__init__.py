"""Scenarios, adapters and policies, found by name and built from text."""
