"""The building stock: TABULA types, footprints, refurbishment."""
