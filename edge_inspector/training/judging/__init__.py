"""How good a model is; needs a runtime, no training library."""
