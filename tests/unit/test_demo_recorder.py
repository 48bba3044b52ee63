"""The demo's witness outlives whatever comes over MQTT."""

from types import SimpleNamespace
from typing import Any

import pytest

from edge_inspector.simulation.recorder import Recorder


@pytest.mark.parametrize("payload", [b"[" * 100_000, b"nonsense", b"5", b"[]", b"\xff"])
@pytest.mark.parametrize("topic", ["edge/x/verdict", "edge/x/state", "edge/x/command"])
def test_nothing_that_comes_ends_its_thread(payload: bytes, topic: str) -> None:
    recorder: Any = Recorder.__new__(Recorder)
    recorder._heard = []
    recorder._on_message(None, None, SimpleNamespace(payload=payload, topic=topic))
    assert recorder._heard == []
