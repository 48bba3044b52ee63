"""One file per kind of thread."""
