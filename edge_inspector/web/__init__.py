"""The web server: the operator page for browsers, and metrics for Prometheus."""
