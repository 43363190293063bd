"""The urban domain: the city model and its synthesis, policies, indicators and the ready twins."""
