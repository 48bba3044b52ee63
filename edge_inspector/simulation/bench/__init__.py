"""Measures a machine's speed on the simulated line: `edge-inspector bench`. Each benchmark returns plain figures."""
