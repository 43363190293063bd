"""Building physics: thermal zones, envelopes, households, heat pumps and storage."""
