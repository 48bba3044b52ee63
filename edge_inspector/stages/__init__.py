"""One file per kind of thread. Everything here has start, step and stop."""
