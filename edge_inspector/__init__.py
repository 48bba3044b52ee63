"""Edge Inspector: real-time inspection beside a production line."""

__version__ = "0.1.0"
