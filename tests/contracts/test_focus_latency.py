"""How old a camera's pictures are is found out by a screen that it looks at."""

import time

import numpy as np
import pytest

from edge_inspector.commands import focus_latency
from edge_inspector.commands.focus_latency import flashes, measure_latency
from edge_inspector.drivers import Camera
from edge_inspector.errors import DeviceError
from edge_inspector.records import Frame

LATE_MS, INTERVAL_MS = 180.0, 20.0


class Looking(Camera):
    """A camera at a screen: what it delivers is so old, and it stamps it with its arrival."""

    name = "cam"

    def __init__(self, *, blind: bool = False) -> None:
        self.shown: list[tuple[float, bool]] = []
        self._blind = blind
        self._number = 0

    def show(self, colour: str) -> None:
        self.shown.append((time.monotonic(), "107" in colour))

    def open(self) -> None: ...

    def close(self) -> None: ...

    def grab(self, timeout_s: float) -> Frame | None:  # noqa: ARG002 -- it always has one in time
        time.sleep(INTERVAL_MS / 1000)
        now, self._number = time.monotonic(), self._number + 1
        white = [white for at, white in self.shown if at < now - LATE_MS / 1000]
        image = np.full((4, 4), 200 if white and white[-1] and not self._blind else 20, np.uint8)
        return Frame(self.name, self._number, time.monotonic_ns(), 0, received_ns=time.monotonic_ns(), image=image)


def test_what_is_typed_holds_the_truth() -> None:
    camera = Looking()
    late_ms = list(flashes(camera, camera.show, 4))
    assert all(late >= LATE_MS for late in late_ms)
    assert min(late_ms) < LATE_MS + 2 * INTERVAL_MS + 100, "or the machine was very busy each time"


def test_it_says_what_to_type(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    camera = Looking()
    monkeypatch.setattr(focus_latency, "_show", camera.show)
    monkeypatch.setattr(focus_latency, "flashes", lambda *_: [170.0, 190.0, 180.0])
    monkeypatch.setattr("edge_inspector.commands.focus_latency.time.sleep", lambda _: None)
    assert measure_latency(camera, 10.0) == 0
    told = capsys.readouterr().out.splitlines()
    # A screen may be 50 ms late itself: 130 to 200 ms.
    assert told[-2:] == ["latency_ms = 165", "latency_error_ms = 36"]


def test_a_camera_that_does_not_see_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(focus_latency, "_LONGEST_S", 1.8)
    camera = Looking(blind=True)
    with pytest.raises(DeviceError, match="saw no flash of this screen"):
        list(flashes(camera, camera.show, 1))
