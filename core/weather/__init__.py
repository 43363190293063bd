"""Weather data, solar radiation, glazing and photovoltaic yield."""
