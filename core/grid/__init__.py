"""AC power flow: backward/forward sweep and Newton solvers."""
