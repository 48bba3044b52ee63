"""A simulated line that is hurt on purpose, one fault after another, and what became of every part: `make chaos`."""
