"""One file per command of `edge-inspector model`."""
