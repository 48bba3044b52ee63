"""Judging a recorded shift again, with the code that judges parts on the line."""
