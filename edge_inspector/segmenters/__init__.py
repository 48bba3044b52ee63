"""Pictures to masks: one file per runtime."""
