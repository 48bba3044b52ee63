"""Measures how good a model is. Needs a runtime, but no training library."""
