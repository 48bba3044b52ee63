"""The wire to an S7 PLC: its connection and the layout of its two blocks."""
