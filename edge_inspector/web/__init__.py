"""What a browser or Prometheus may ask of the daemon."""
