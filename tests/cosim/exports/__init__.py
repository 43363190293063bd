"""Exports: each format written by us and read by others."""
