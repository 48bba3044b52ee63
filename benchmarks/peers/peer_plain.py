"""A plain loop, as a good engineer writes it in an afternoon: a thread for each camera, latest frames, one model.

A camera that dies is opened again every half second. Frames are stamped when `read` returns.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import work

Segment = Callable[[list[work.Image]], work.Image]
_RETRY_S = 0.5


class Latest:
    """The newest frame of each camera that was not taken yet."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frames: dict[int, tuple[work.Image, int]] = {}
        self.replaced = 0

    def put(self, lane: int, image: work.Image, stamp_ns: int) -> None:
        """Store a frame in place of an older one."""
        with self._changed:
            self.replaced += lane in self._frames
            self._frames[lane] = (image, stamp_ns)
            self._changed.notify()

    def take(self, most: int) -> dict[int, tuple[work.Image, int]]:
        """The stored frames, at most this many. Nothing after a while without frames."""
        with self._changed:
            self._changed.wait_for(lambda: self._frames, 0.1)
            return {lane: self._frames.pop(lane) for lane in list(self._frames)[:most]}


def capture(chosen: work.Task, lane: int, latest: Latest, stop: threading.Event) -> None:
    """Run one camera."""
    open_camera = work.opener(chosen, lane)
    while not stop.is_set():
        camera = open_camera()
        while not stop.is_set():
            good, image = camera.read()
            if not good:
                break
            latest.put(lane, image, time.monotonic_ns())
        camera.release()
        stop.wait(_RETRY_S)


def segmented(segment: Segment, image: work.Image) -> list[work.Image]:
    """The masks of the image's windows, one by one: on a CPU, batches gain nothing."""
    return [segment([window])[0] for window in work.windows(image)]


def run(chosen: work.Task, segment: Segment, workers: int, most: int) -> None:
    """Run until SIGTERM. The workers share the model, and each takes at most `most` frames at once."""
    stop, latest, judgement = work.until_stopped(), Latest(), work.Judgement(chosen.model)
    sinks = work.sinks(chosen)

    def infer() -> None:
        sink = sinks()
        while not stop.is_set():
            frames = latest.take(most)
            if frames:
                masks = [segmented(segment, image) for image, _ in frames.values()]
                for (lane, (image, stamp_ns)), found in zip(frames.items(), masks, strict=True):
                    sink.result(lane, image, stamp_ns, sum(judgement.defects(mask) for mask in found))

    threads = [threading.Thread(target=capture, args=(chosen, lane, latest, stop)) for lane in range(chosen.cameras)]
    threads += [threading.Thread(target=infer) for _ in range(workers)]
    for thread in threads:
        thread.start()
    stop.wait()
    for thread in threads:
        thread.join()
    sinks().lost(latest.replaced)


if __name__ == "__main__":
    given = work.task()
    run(given, work.load_model(given.model, threads=1), workers=2, most=1)
