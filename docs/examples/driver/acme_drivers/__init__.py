"""Drivers for the line controller and the camera of Acme, a maker that does not exist."""
