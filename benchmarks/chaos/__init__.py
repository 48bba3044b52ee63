"""A simulated line with one fault after another, and an account of every part: `make chaos`."""
