"""Segmenters, which turn pictures into masks: one file per runtime."""
