"""CPU time of one large frame, beside the model: `python benchmarks/frame_cost.py [--side 2048] [--rounds 9]`.

Each step runs alone, with the station's own code. The pictures are those of the rendered tile line, and the masks hold
one defect in every eighth window. Two threads share a model that takes time and no CPU, so `windows` is all that a
frame costs around its calls. `PYTHONSAFEPATH=1 PYTHONPATH=CHECKOUT` measures an earlier checkout.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import cv2
import numpy as np

from edge_inspector.drivers import Due
from edge_inspector.inspection.picture import picture_figures
from edge_inspector.inspection.picture_guard import signature
from edge_inspector.inspection.recipe import ClassLimits, Criteria, Recipe
from edge_inspector.inspection.view import Look
from edge_inspector.records import Frame, Image, Picture
from edge_inspector.segmenters.ending import Ending
from edge_inspector.segmenters.engine import Bound, Engine
from edge_inspector.segmenters.manifest import Manifest
from edge_inspector.segmenters.model_folder import FolderSegmenter, FolderSettings
from edge_inspector.simulation.station_files import models_dir
from edge_inspector.simulation.tiles import TileLine
from edge_inspector.store.images import ImageArchive, ImageLimits

_MODEL = "tile-1.1"
_THREADS = 2
_CALL_S = 0.001
_EVERY = 8  # windows: one of so many has a defect
Step = Callable[[], object]


class Elsewhere(Engine):
    """A model that waits instead of computing."""

    runtime, provider, kind, on_cpu, single, fell_back = "none", "none", "int8", True, False, False
    ending = Ending("", "")
    errors = (RuntimeError,)

    def bind(self, pixels: tuple[int, int, int], masks: tuple[int, int, int]) -> Bound:  # noqa: ARG002
        """Masks with a round defect of the first class in every eighth of them."""
        calls, found = count(), np.zeros(masks, np.uint8)
        cv2.circle(found[0], (masks[2] // 2, masks[1] // 2), 6, 230, -1)

        def run(_: Image, results: Image, number: int) -> None:
            time.sleep(_CALL_S)
            results[:number] = 0 if next(calls) % _EVERY else found

        return run

    def output_shape(self, pixels: Image) -> tuple[int, ...]:
        """As the manifest says."""
        return (len(pixels), 5, pixels.shape[1] // 2, pixels.shape[2] // 2)


class AroundModel(FolderSegmenter):
    """The station's way from frame to mask with that model."""

    def _start(self, manifest: Manifest) -> Engine:  # noqa: ARG002
        return Elsewhere()


def frame_of(side: int, *, grey: bool) -> Frame:
    """A frame of rendered tiles, side by side."""
    line, tiles = TileLine(seed=7, lanes=1), side // 256
    shown = [np.hstack([line.render(row * tiles + column, 0) for column in range(tiles)]) for row in range(tiles)]
    image: Image = np.vstack(shown)
    image = np.ascontiguousarray(image[:, :, 1]) if grey else image
    return Frame("cam1", 1, captured_ns=1, exposure_ns=1, received_ns=1, image=image)


def windows(segmenter: FolderSegmenter, image: Image) -> None:
    """One frame in each thread, at the same time."""
    due = Due(0.0, lambda: True)
    callers = [threading.Thread(target=segmenter.segment_due, args=([image], due)) for _ in range(_THREADS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()


def steps(frame: Frame, segmenter: FolderSegmenter, folder: Path) -> dict[str, tuple[Step, int]]:
    """What is done with a frame, by name, and the number of frames in each call."""
    image, info = frame.image, segmenter.info
    mask = segmenter.segment([image])[0]
    clean = np.zeros_like(mask)
    recipe = Recipe(
        id=1, name="tile", model="tile", views=["cam1"], part_length_mm=9, min_pitch_mm=9, position_tolerance_mm=1
    )
    criteria = Criteria(recipe, {name: ClassLimits(min_area_mm2=1.0) for name in info.classes})
    look = Look(lambda: [criteria], info, {"cam1": 0.1}, {"cam1": 0.1})
    wide = ImageLimits(budget=2**40, min_free=0)
    packed = {kind: ImageArchive(folder / kind, wide, kind) for kind in ("png", "jpeg")}

    def save(kind: str, *, masked: bool) -> Step:
        return lambda: packed[kind].save(f"2026-12-01/cam1/{kind}", Picture(frame, mask if masked else None), {})

    return {
        "look at the picture": (lambda: signature(image, picture_figures(image)), 1),
        "windows": (lambda: windows(segmenter, image), _THREADS),
        "measure a clean mask": (lambda: look(frame, clean, begun_ns=0, inference_ns=0), 1),
        "measure a mask with defects": (lambda: look(frame, mask, begun_ns=0, inference_ns=0), 1),
        "archive: PNG": (save("png", masked=False), 1),
        "archive: PNG and mask": (save("png", masked=True), 1),
        "archive: JPEG and mask": (save("jpeg", masked=True), 1),
    }


def least_ms(step: Step, frames: int, rounds: int) -> float:
    """The least CPU of this process for a frame, in milliseconds."""
    step()
    took = []
    for _ in range(rounds):
        begun = time.process_time()
        step()
        took.append(1000 * (time.process_time() - begun) / frames)
    return min(took)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=2048, help="width and height of the frame, a multiple of 256")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    segmenter = AroundModel(models_dir() / _MODEL, FolderSettings(workers=_THREADS))
    segmenter.open()
    with tempfile.TemporaryDirectory(prefix="frame-cost-") as folder:
        kinds = [steps(frame_of(given.side, grey=grey), segmenter, Path(folder)) for grey in (False, True)]
        print("| CPU of a frame, ms | colour | grey |\n|---|---|---|")
        for name in kinds[0]:
            print(f"| {name} | {' | '.join(f'{least_ms(*kind[name], given.rounds):.3g}' for kind in kinds)} |")
    segmenter.close()


if __name__ == "__main__":
    main()
