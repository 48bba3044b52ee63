"""One file for each command: `add_arguments(parser)`, and `run(given)`, which returns the exit code."""
