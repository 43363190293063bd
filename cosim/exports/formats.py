"""Names of the formats, which the command line's help lists without loading them."""

FORMATS = ("cf-netcdf", "geoparquet", "geojson", "ro-crate", "csv", "ngsi-ld", "dcat")
