"""What a city is made from: maps, footprints of other sources, timetables."""
