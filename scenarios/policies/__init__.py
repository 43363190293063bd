"""Named, typed changes to a city or a scenario; each is applied while the scenario is built."""
