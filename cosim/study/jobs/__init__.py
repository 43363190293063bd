"""The execution of a study's runs: attempts, records, workers, Dask and SLURM."""
