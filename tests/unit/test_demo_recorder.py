"""The demo's witness outlives whatever comes over MQTT."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge_inspector.simulation import ending
from edge_inspector.simulation.ending import await_last_words, when_told
from edge_inspector.simulation.recorder import Recorder


@pytest.mark.parametrize("payload", [b"[" * 100_000, b"nonsense", b"5", b"[]", b"\xff"])
@pytest.mark.parametrize("topic", ["edge/x/verdict", "edge/x/state", "edge/x/command"])
def test_nothing_that_comes_ends_its_thread(payload: bytes, topic: str) -> None:
    recorder: Any = Recorder.__new__(Recorder)
    recorder._heard = []
    recorder._on_message(None, None, SimpleNamespace(payload=payload, topic=topic))
    assert recorder._heard == []


def test_a_station_that_has_no_time_to_tell_may_have_verdicts_that_wait() -> None:
    waits = 'edge_inspector_verdicts_waiting{link="plc"} %d'
    answers = iter(("", waits % 2, "", waits % 0, "never asked"))
    assert when_told(lambda: next(answers), lambda: True) == waits % 0


def test_a_station_that_died_is_asked_once() -> None:
    answers = iter(("", "never asked"))
    assert when_told(lambda: next(answers), lambda: False) == ""


def test_the_report_waits_until_the_line_has_heard_that_the_station_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_text('{"kind": "ready", "at_ns": 1, "ready": true}\n')
    recorder: Any = SimpleNamespace(state="ready")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        recorder.state = "offline"
        if len(slept) == 3:
            ledger.write_text(ledger.read_text() + '{"kind": "ready", "at_ns": 9, "ready": false}\n{"kind"')

    monkeypatch.setattr(ending.time, "sleep", sleep)
    await_last_words(recorder, ledger)
    assert len(slept) == 3
