"""Position in: one file per driver, and the timeline."""
