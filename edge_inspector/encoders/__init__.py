"""The position of the belt: one file per driver, and the timeline."""
