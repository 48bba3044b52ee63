"""No part of a station: the simulated line of `demo` and `bench`, which the tests and the campaigns use, too.

A station runs without this package. Only a station file that names a `simulated` driver loads something from it.
"""
