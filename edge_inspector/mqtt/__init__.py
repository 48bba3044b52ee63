"""Talking to a broker: the MQTT link, its messages and its commands."""
