"""Published unit costs of measures, and what they cost each year."""
