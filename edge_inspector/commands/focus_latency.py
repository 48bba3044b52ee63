"""`edge-inspector focus CAMERA --latency`: measure the age of arriving pictures with a flashing screen."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator

from edge_inspector.drivers import Camera
from edge_inspector.errors import DeviceError, FrameIncompleteError

_FLASHES = 12
_SEEN = 12.0  # a flash must change the mean of the picture by this many levels of 255
_LONGEST_S = 15.0
_SCREEN_MS = 50.0  # a terminal and its screen may show a flash this much later
_BLACK, _WHITE, _PLAIN = "\033[40m\033[2J\033[H", "\033[107m\033[2J\033[H", "\033[0m\033[2J\033[H"


def measure_latency(camera: Camera, known_ms: float) -> int:
    """Flash the terminal and print the setting to type. The timestamps are already corrected by `known_ms`."""
    print("Point the camera at this screen, so near that the screen fills the picture. Ctrl-C ends it.", flush=True)
    time.sleep(2.0)
    try:
        late_ms = [late + known_ms for late in flashes(camera, _show)]
    finally:
        _show(_PLAIN)
    least, most = max(0.0, min(late_ms) - _SCREEN_MS), max(late_ms)
    print(f"The flashes of this screen were in pictures that came {min(late_ms):.0f} to {most:.0f} ms later. Type:")
    print(f"latency_ms = {(least + most) / 2:.0f}")
    print(f"latency_error_ms = {(most - least) / 2 + 1:.0f}")
    return 0


def flashes(camera: Camera, show: Callable[[str], None], count: int = _FLASHES) -> Iterator[float]:
    """For each flash, how many milliseconds late the timestamp of the first picture with it is."""
    for number in range(count):
        show(_WHITE if number % 2 else _BLACK)
        # The time between flashes varies, so that a rhythm of the stream cannot hide part of the latency.
        settled_ns = time.monotonic_ns() + int(random.uniform(1.0, 1.5) * 1e9)
        before = next(level for came_ns, _, level in _pictures(camera) if came_ns > settled_ns)
        show(_BLACK if number % 2 else _WHITE)
        shown_ns = time.monotonic_ns()
        yield next(
            (stamp_ns - shown_ns) / 1e6 for _, stamp_ns, level in _pictures(camera) if abs(level - before) > _SEEN
        )


def _pictures(camera: Camera) -> Iterator[tuple[int, int, float]]:
    """For each picture, its arrival time, its timestamp and its mean. Raises DeviceError if it takes too long."""
    until_ns = time.monotonic_ns() + int(_LONGEST_S * 1e9)
    while time.monotonic_ns() < until_ns:
        try:
            frame = camera.grab(0.2)
        except FrameIncompleteError:
            continue
        if frame is not None:
            yield time.monotonic_ns(), frame.captured_ns, float(frame.image.mean())
    raise DeviceError(f"the camera saw no flash of this screen in {_LONGEST_S:g} s: go nearer, or darken the room")


def _show(colour: str) -> None:
    sys.stdout.write(colour)
    sys.stdout.flush()
