"""The rendered tile line as data for training and judging."""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final

import numpy as np

from edge_inspector.simulation.tiles import CLASSES, SIZE_PX, TileLine
from edge_inspector.training.data.augment import RENDERED, TrainingSample, certain
from edge_inspector.training.data.folder import Image
from edge_inspector.training.judging.evidence import TruePart, TrueView

TILE_LINE: Final = "tile-line"
"""The name of the rendered line, used in place of a folder."""

_HELD_OUT_SEEDS: Final = range(95001, 95011)
_HELD_OUT_PARTS: Final = 200
_HELD_OUT_RATE: Final = 0.15
_LANES: Final = 4


class RenderedTiles:
    """Planks rendered on demand from several seeds. Three of four frames are defective."""

    classes = CLASSES
    channels = 3

    def __init__(self, seeds: tuple[int, ...], good_share: float = 0.25) -> None:
        self._good_share = good_share
        self._defective = [TileLine(seed, lanes, 1.0) for seed in seeds for lanes in (1, 2, 4)]
        self._good = [TileLine(seed, lanes, 0.0) for seed in seeds for lanes in (1, 2, 4)]

    def draw(self, rng: np.random.Generator) -> TrainingSample:
        """Render one frame at random."""
        part = int(rng.integers(2**31))
        if rng.random() < self._good_share:
            line = self._good[int(rng.integers(len(self._good)))]
            lane = int(rng.integers(line.lanes))
        else:
            line = self._defective[int(rng.integers(len(self._defective)))]
            lane = min(line.lanes - 1, int(line.defects(part)[0].y_mm / 200.0))
        return RENDERED(certain(line.render(part, lane), line.truth(part, lane)), rng)

    def calibration(self, count: int, rng: np.random.Generator) -> list[Image]:
        """Frames for calibration."""
        return [self.draw(rng).image for _ in range(count)]


def held_out_count() -> int:
    """How many planks `held_out_parts` has."""
    return len(_HELD_OUT_SEEDS) * _HELD_OUT_PARTS


def held_out_parts(order: Iterable[int] | None = None) -> Iterator[TruePart]:
    """2000 planks from seeds that nothing else uses, with the defect rate of the demo line.

    With `order`, only those, by their numbers from 0.
    """
    line = cache(lambda seed: TileLine(seed, _LANES, _HELD_OUT_RATE))
    for number in range(held_out_count()) if order is None else order:
        yield _rendered(line(_HELD_OUT_SEEDS[number // _HELD_OUT_PARTS]), number % _HELD_OUT_PARTS)


def rendered_parts(seeds: range, lanes: int, parts: int, defect_rate: float) -> Iterator[TruePart]:
    """The parts of several lines, one view per lane. Each line is a group."""
    for seed in seeds:
        line = TileLine(seed, lanes, defect_rate)
        for part in range(parts):
            yield _rendered(line, part)


def _rendered(line: TileLine, part: int) -> TruePart:
    bad = bool(line.defects(part))
    clean = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
    views = [TrueView(line.render(part, lane), line.truth(part, lane) if bad else clean) for lane in range(line.lanes)]
    return TruePart(f"{line.seed}/{part}", str(line.seed), bad, views)
