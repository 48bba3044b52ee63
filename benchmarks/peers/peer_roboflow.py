"""Roboflow's InferencePipeline with the same model as custom logic, as its documents advise for live sources.

Over the network it opens the cameras itself. Pictures from memory come through our own video frame producer.
"""

# ruff: noqa: E402 -- the product reads its environment when it is imported
from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

# Other models, which this work does not need, are off, as its warnings advise. So is its telemetry.
_OFF = (
    "CLIP PE SAM SAM2 SAM3 OWLV2 GAZE DOCTR EASYOCR TROCR PPOCR GROUNDINGDINO YOLO_WORLD",
    "PALIGEMMA FLORENCE2 QWEN_2_5 QWEN_3 QWEN_3_5 QWEN_3_8 SMOLVLM2 MOONDREAM2 GLM_OCR DEPTH_ESTIMATION",
)
os.environ |= {f"CORE_MODEL_{name}_ENABLED": "False" for name in _OFF[0].split()}
os.environ |= {f"{name}_ENABLED": "False" for name in _OFF[1].split()}
os.environ |= {"TELEMETRY_OPT_OUT": "True", "DISABLE_VERSION_CHECK": "True", "LOG_LEVEL": "ERROR"}

import torch_ops  # noqa: F401 -- before the product imports torchvision
import work
from inference import InferencePipeline
from inference.core.interfaces.camera.entities import SourceProperties, StatusUpdate, VideoFrame, VideoFrameProducer
from inference.core.interfaces.camera.video_source import BufferFillingStrategy
from inference.core.interfaces.stream.pipeline import SinkMode


class Producer(VideoFrameProducer):
    """Pictures from memory behind its interface, which has no field for a capture time."""

    def __init__(self, chosen: work.Task, lane: int) -> None:
        self._camera = work.opener(chosen, lane)()
        self._fps = 1e9 / chosen.interval_ns
        self._side = work.side(chosen)
        self._released = False

    def grab(self) -> bool:
        """Waits for the next picture."""
        good, image = self._camera.read()
        while not good and not self._released:  # the line has ended: a live camera would wait, too
            good, image = self._camera.read()
        self._image = image
        return good

    def retrieve(self) -> tuple[bool, work.Image]:
        """The picture of the last grab."""
        return True, self._image

    def release(self) -> None:
        """End a wait for a picture."""
        self._released = True

    def isOpened(self) -> bool:  # noqa: N802 -- its name
        """Always."""
        return True

    def discover_source_properties(self) -> SourceProperties:
        """A live source."""
        return SourceProperties(
            width=self._side, height=self._side, total_frames=-1, is_file=False, fps=self._fps, is_reconnectable=True
        )


def sources(chosen: work.Task) -> list[str | Callable[[], Producer]]:
    """The sources that the pipeline opens."""
    if chosen.pictures is None and chosen.station is None:
        return list(chosen.urls)
    return [lambda lane=lane: Producer(chosen, lane) for lane in range(chosen.cameras)]


def monotonic_ns(stamp: datetime) -> int:
    """The product's naive local time, converted to the shared monotonic clock."""
    return int(stamp.timestamp() * 1e9) - time.time_ns() + time.monotonic_ns()


def main() -> None:
    """Run until SIGTERM."""
    chosen = work.task()
    stop, judgement = work.until_stopped(), work.Judgement(chosen.model)
    segment = work.load_model(chosen.model)
    sink = work.sinks(chosen)()
    dropped = 0

    def infer(frames: list[VideoFrame]) -> list[int]:
        found = [segment(work.windows(frame.image)) for frame in frames]
        return [sum(judgement.defects(mask) for mask in masks) for masks in found]

    def deliver(defects: int, frame: VideoFrame) -> None:
        sink.result(frame.source_id, frame.image, monotonic_ns(frame.frame_timestamp), defects)

    def listen(update: StatusUpdate) -> None:
        nonlocal dropped
        dropped += update.event_type == "FRAME_DROPPED"

    pipeline: Any = InferencePipeline.init_with_custom_logic(
        video_reference=sources(chosen),
        on_video_frame=infer,
        on_prediction=deliver,
        status_update_handlers=[listen],
        # Its default may drop frames of a camera that is slower than its header says.
        source_buffer_filling_strategy=BufferFillingStrategy.DROP_OLDEST,
        sink_mode=SinkMode.SEQUENTIAL,
        video_processing_mode="auto",
        # By its time stamps a picture is one interval old on arrival: its own limit of 0.5 s would drop most.
        max_staleness=2.0,
    )
    pipeline.start(use_main_thread=False)
    stop.wait()
    pipeline.terminate()
    pipeline.join()
    sink.lost(dropped)


if __name__ == "__main__":
    main()
