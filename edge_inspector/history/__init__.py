"""What the commands make of the past: tables, datasets, one part's story, the reference of the drift watch."""
