"""What a light model in front of another costs and saves: `python benchmarks/two_stage.py FIRST SECOND DATA`.

FIRST and SECOND are model folders. DATA has an index.csv. Both run as driver `two-stage` runs them, and SECOND alone.
Limits are those of SECOND's manifest. Times are CPU time per picture, on one thread.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np

from edge_inspector.records import Image
from edge_inspector.segmenters.manifest import read_manifest
from edge_inspector.segmenters.onnx import OnnxSegmenter
from edge_inspector.segmenters.two_stage import TwoStageSegmenter
from edge_inspector.training.judging.evidence import gather_each
from edge_inspector.training.judging.figures import figures
from edge_inspector.training.judging.limits import confidences_with
from edge_inspector.training.judging.splits import limits_of, open_judged

ALONE = {"workers": 1, "max_batch": 1, "providers": ["cpu"]}


def main() -> int:
    """Print one row for SECOND alone, and one for each suspicion."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("data")
    parser.add_argument("--split", default="val")
    parser.add_argument("--parts", type=int, help="only the first so many")
    parser.add_argument("--suspicion", type=float, nargs="+", help="default: what FIRST promises, or 0.02 0.1 0.3")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        both = [Path(folder) / path.name for path in (given.first, given.second)]
        for link, path in zip(both, (given.first, given.second), strict=True):
            link.symlink_to(path.resolve())
        _measure(both[0].name, both[1], given)
    return 0


def _measure(first: str, second: Path, given: argparse.Namespace) -> None:
    manifest = read_manifest(second)
    limits = limits_of(manifest)
    stages = [OnnxSegmenter(second, OnnxSegmenter.Settings.model_validate(ALONE))]
    promised = read_manifest(second.with_name(first)).first_stage
    levels = given.suspicion or ([promised.suspicion] if promised else [0.02, 0.1, 0.3])
    for suspicion in levels:
        settings = TwoStageSegmenter.Settings(first=first, suspicion=suspicion, settings=ALONE)
        stages.append(TwoStageSegmenter(second, settings))
    looks = [_Look(stage.segment) for stage in stages]
    for stage in stages:
        stage.open()
    seen = gather_each(
        looks,
        classes=len(manifest.classes),
        stride=manifest.output.stride,
        parts=islice(open_judged(given.data, given.split, manifest).parts(), given.parts),
        confidences=confidences_with(limits),
    )
    print("| | recall | false rejects | empty masks | ms |\n|---|---|---|---|---|")
    for name, look, each in zip(["second alone", *levels], looks, seen, strict=True):
        found = figures(each, manifest.classes, limits)
        share = look.empty / look.frames
        cells = f"{found.part_recall:.3f} | {found.false_reject_rate:.3f} | {share:.2f} | {look.ms:.1f}"
        print(f"| {name} | {cells} |")


class _Look:
    """A model's answers, with their time, and how many masks had nothing in them."""

    def __init__(self, segment: Callable[[list[Image]], list[Image]]) -> None:
        self._segment = segment
        self._spent_s = 0.0
        self.frames = self.empty = 0

    @property
    def ms(self) -> float:
        return self._spent_s / self.frames * 1e3

    def __call__(self, image: Image) -> Image:
        flat = image[:, :, 0] if image.shape[2] == 1 else image
        begun = time.process_time()
        mask = self._segment([np.ascontiguousarray(flat)])[0]
        self._spent_s += time.process_time() - begun
        self.frames += 1
        self.empty += not mask.any()
        return mask


if __name__ == "__main__":
    sys.exit(main())
