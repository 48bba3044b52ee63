"""How fast a machine is, on the simulated line: `edge-inspector bench`. Each benchmark returns plain figures."""
