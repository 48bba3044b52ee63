"""What the pipeline needs from the station file, in the units of its stages."""
