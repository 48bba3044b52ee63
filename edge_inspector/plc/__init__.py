"""Talking to a PLC: the bytes of the two blocks, what they must say to be believed, and one file per driver."""
