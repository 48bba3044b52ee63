"""Simulated lines of other kinds: each has a process of its own that does what the real line would do."""
