"""Inference servers of others: what a picture costs there, and a line whose servers are killed, stopped and slowed."""
