"""The encoder is wired to a camera, which latches its count with each picture."""

from __future__ import annotations

import queue
from contextlib import suppress
from typing import Annotated

from pydantic import Field

from edge_inspector.drivers import DriverSettings
from edge_inspector.records import EncoderSample, Frame

_WAIT_S = 0.2
_KEPT = 64  # pictures that nobody has read yet. One is enough to know where the belt is

_RUN = 1  # the camera does not say when its counter started. A count that cannot follow begins a new epoch


class CameraChunkEncoder:
    """One sample for each picture. Between two pictures nobody knows how the belt moved."""

    class Settings(DriverSettings):
        """The camera to which the encoder is wired."""

        camera: str
        """Name of the camera. Its driver must deliver the count with each picture, as `chunk_encoder` of `genicam`."""

        settle_ms: Annotated[float, Field(ge=0, le=60_000)] = 2000.0
        """Time from the start of the belt until it runs evenly. It matters if the gate acts by time."""
        never_stops: bool = False
        """The belt never stops while parts are on it. It matters if the gate acts by time."""

        @property
        def settle_s(self) -> float | None:
            """Between two pictures nobody knows whether the belt runs."""
            return None if self.never_stops else self.settle_ms / 1000

        @property
        def states_run(self) -> bool:
            """A camera does not know when its counter started."""
            return False

        @property
        def reads_camera(self) -> str | None:
            """The camera that has the counts."""
            return self.camera

    def __init__(self, settings: Settings) -> None:
        del settings
        self._samples: queue.Queue[EncoderSample] = queue.Queue(_KEPT)

    def see(self, frame: Frame) -> None:
        """Take the count of a picture. It never waits. The camera's thread calls it."""
        if frame.encoder_count is None:
            return
        taken, error = frame.captured_ns, frame.captured_error_ns
        sample = EncoderSample(
            count=frame.encoder_count, device_ns=None, asked_ns=taken - error, answered_ns=taken + error, boot_id=_RUN
        )
        with suppress(queue.Full):
            self._samples.put_nowait(sample)

    def open(self) -> None:
        """Nothing to connect: the camera has a thread of its own."""

    def read(self) -> EncoderSample | None:
        """The count of the next picture. None if none comes for a while, because no part passes."""
        with suppress(queue.Empty):
            return self._samples.get(timeout=_WAIT_S)
        return None

    def close(self) -> None:
        """Nothing to disconnect."""
