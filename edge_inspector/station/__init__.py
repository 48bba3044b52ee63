"""The station file: its tables, how it is read, and what is wrong in it."""
