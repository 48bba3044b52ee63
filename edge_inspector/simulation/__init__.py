"""The simulated line for the demo, the tests and the benchmarks."""
