"""Carbon accounts and the carbon intensity of electricity."""
