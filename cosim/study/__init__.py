"""Studies: many runs of one scenario over a design of its parameters and over seeds, and their analysis."""
