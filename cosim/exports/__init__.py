"""Results of runs in the formats of others: CF-NetCDF, GeoParquet, GeoJSON, CSV, RO-Crate, DCAT-AP and NGSI-LD."""
