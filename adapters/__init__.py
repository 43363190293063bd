"""Adapters: one simulator behind the contract each, independent of one another."""
