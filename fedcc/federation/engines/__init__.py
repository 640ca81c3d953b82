"""Running a simulation under Flower's own engines: their processes, and what travels by file."""
