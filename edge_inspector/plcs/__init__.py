"""Decisions out: one file per link."""
