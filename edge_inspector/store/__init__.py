"""Data that must survive a power cut."""
