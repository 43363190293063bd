"""Results on disk: series, indicators, layers, comparisons and their tables."""
