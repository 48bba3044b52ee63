"""The memory that a frame takes on its way from camera to judge. The real stages run in one thread."""

from __future__ import annotations

import resource
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import gettempdir

from edge_inspector.drivers import Camera, DriverSettings, load_driver
from edge_inspector.inspection.admission import Admission
from edge_inspector.inspection.recipe import ClassLimits, Criteria, PictureLimits, Recipe
from edge_inspector.inspection.view import Look
from edge_inspector.records import Frame, Image, Job, JudgeItem, Segmented
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.simulation.station_files import models_dir
from edge_inspector.simulation.tiles import TileLine
from edge_inspector.stages.acquire import Acquire
from edge_inspector.stages.measure import Measure
from edge_inspector.stages.segment import Segment
from edge_inspector.store.album import Album
from edge_inspector.store.openings import Openings

_CAMERA = "cam1"
_RECIPE = Recipe(
    id=1,
    name="tile",
    model="any",
    views=[_CAMERA],
    part_length_mm=200,
    min_pitch_mm=300,
    position_tolerance_mm=5,
    picture=PictureLimits(may_repeat=True),
)


class _Replay(Camera):
    """The same few pictures again and again, as from a driver that has its own buffers."""

    def __init__(self, pictures: list[Image]) -> None:
        self.name = _CAMERA
        self._pictures = pictures
        self._count = 0

    class Settings(DriverSettings):
        """None."""

    def open(self) -> None:
        """Nothing to open."""

    def grab(self, timeout_s: float) -> Frame | None:  # noqa: ARG002 -- there is always one
        """The next picture, at once."""
        self._count += 1
        now = time.monotonic_ns()
        picture = self._pictures[self._count % len(self._pictures)]
        return Frame(self.name, self._count, captured_ns=now, exposure_ns=200_000, received_ns=now, image=picture)

    def close(self) -> None:
        """Nothing to release."""


def allocations_per_frame(model: str, runtime: str, frames: int = 1000) -> dict[str, float]:
    """Bytes taken for one frame at its peak, bytes that stay, and pages that the kernel had to provide."""
    frame = _way_of_a_frame(model, runtime)
    for _ in range(300):  # until the album is full and every buffer exists
        frame()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(frames):
        frame()
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    tracemalloc.start()
    try:
        for _ in range(50):
            frame()
        begun = tracemalloc.get_traced_memory()[0]
        for _ in range(frames):
            frame()
        kept = tracemalloc.get_traced_memory()[0] - begun
        peaks = []
        for _ in range(100):
            held = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            frame()
            peaks.append(tracemalloc.get_traced_memory()[1] - held)
    finally:
        tracemalloc.stop()
    return {"allocated_bytes": median(peaks), "kept_bytes": kept / frames, "page_faults": faults / frames}


def _way_of_a_frame(model: str, runtime: str) -> Callable[[], None]:
    driver = load_driver("segmenters", runtime)
    segmenter = driver(Path(models_dir() / model), driver.Settings(workers=1))
    segmenter.open()
    limits = {name: ClassLimits(min_area_mm2=20.0) for name in segmenter.info.classes}
    criteria = Criteria(_RECIPE, limits)
    scales = {_CAMERA: 0.8}
    look = Look(lambda: [criteria], segmenter.info, scales, scales)
    jobs: Mailbox[Job] = Mailbox("jobs", 8, key=lambda job: job.decide_by)
    views: Mailbox[JudgeItem] = Mailbox("judge", 8)
    conditions, album = Conditions(), Album(4 * 2**20)
    admission = Admission(lambda _now, _at: 0.0, 0.0, 1, lambda: 1)
    line = TileLine(seed=7, lanes=1)
    camera = _Replay([line.render(part, 0) for part in range(8)])
    openings = Openings(Path(gettempdir()), [_CAMERA])  # nobody writes notes here
    acquire = Acquire(
        camera,
        to_line={_CAMERA: 1_000_000},
        estimate=lambda _: 0.0,
        admission=admission,
        limits=lambda _: _RECIPE.picture,
        guard=lambda _: None,
        jobs=jobs,
        views=views,
        conditions=conditions,
        album=album,
        openings=openings,
    )
    masks: Mailbox[Segmented] = Mailbox("masks", 8)
    measure = Measure(look, masks, views, album, rejects=lambda _: False, rejected=admission.rejected)
    segment = Segment(
        0,
        segmenter,
        admission=admission,
        jobs=jobs,
        masks=masks,
        measure=measure.measure,
        views=views,
        conditions=conditions,
        album=album,
    )

    def frame() -> None:
        acquire.step()
        segment.step()  # and the mask is measured, because no other frame waits
        views.take(8, 0.0)

    acquire.start()
    frame()  # the first step opens the camera
    return frame
