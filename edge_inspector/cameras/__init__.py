"""Pictures in: one file per driver."""
