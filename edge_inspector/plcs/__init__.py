"""The links that deliver verdicts: one file per link."""
