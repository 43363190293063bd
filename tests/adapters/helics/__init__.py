"""Federations of HELICS: real brokers on loopback, federates in processes of their own."""
