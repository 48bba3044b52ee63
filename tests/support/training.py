"""Tests that train. They need PyTorch, which a station never has."""

from __future__ import annotations

import importlib
import os

import pytest

REQUIRED = "TRAINING_REQUIRED"  # set by `make test-training`, and so by CI
MISSING = "the extra `training` is not installed"


def needs_training() -> None:
    """Skip if the extra `training` is not installed. With TRAINING_REQUIRED set, this is a failure."""
    for library in ("torch", "onnx", "onnxscript", "matplotlib"):
        if os.environ.get(REQUIRED):
            importlib.import_module(library)
        else:
            pytest.importorskip(library, reason=MISSING)
