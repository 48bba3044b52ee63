"""Good pictures, what the frozen net sees on them, and copies of them with defects. Each is computed once, on disk."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_inspector.segmenters.manifest import Fill
from edge_inspector.segmenters.tiling import place, plan_tiles
from edge_inspector.store.whole_file import draft_of
from edge_inspector.training.data.augment import TrainingSample, certain
from edge_inspector.training.data.folder import ANOMALY, Image, smaller
from edge_inspector.training.good.backbone import CELL, Frozen
from edge_inspector.training.good.disturb import cell_targets, spoilt
from edge_inspector.training.good.lines import Lines
from edge_inspector.training.learning.unet import STRIDE, normalise
from edge_inspector.training.shipping.claims import waited

OUTSIDE: Final = 3
_OVERLAP: Final = 32
_FORM: Final = b"4"
"""Another form of what is kept makes other names."""

_DAMAGED: Final = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile)
Halves = NDArray[np.float16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutting:
    """How a picture becomes windows of the net: their size, the factor by which they shrink, and what surrounds it."""

    window: tuple[int, int]
    shrink: int
    fill: Fill
    channels: int

    @property
    def cell(self) -> int:
        """Pixels of the picture for one cell of features."""
        return CELL * self.shrink

    def cut(self, picture: Image) -> list[tuple[Image, int, int]]:
        """The windows [H, W, C], as the station cuts them, each with its top and left."""
        height, width = picture.shape[:2]
        tiles = plan_tiles(height, width, tile=self.window, overlap=_OVERLAP, stride=STRIDE * self.shrink)
        found = []
        for tile in tiles:
            slot = np.zeros((*self.window, self.channels)[: 2 + (self.channels > 1)], np.uint8)
            pixels = picture[tile.top : tile.bottom, tile.left : tile.right]
            place(pixels[:, :, 0] if self.channels == 1 and pixels.ndim == 3 else pixels, slot, self.fill)
            found.append((slot.reshape(*self.window, self.channels), tile.top, tile.left))
        return found


@dataclass(frozen=True, slots=True)
class Seen:
    """The windows of one picture: features [N, F, h, w], lines [N, 2, h, w], and for each cell [N, h, w] what it is.

    0 is good, 1 defective, 2 in doubt, and `OUTSIDE` what surrounds the picture. That must look usual, too, because the
    map is averaged across the border.
    """

    features: Halves
    lines: Halves
    targets: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaughtPicture:
    """One picture. `read` gives the image [H, W, C] and the cover of its known defects [H, W]."""

    name: str
    group: str
    read: Callable[[], tuple[Image, Image]]


class GoodSource:
    """The good pictures to learn from, and known defects if there are any. `cache` is a folder for features."""

    classes: tuple[str, ...] = (ANOMALY,)

    def __init__(
        self,
        good: Sequence[TaughtPicture],
        known: Sequence[TaughtPicture],
        *,
        frame: Cutting,
        weights: Path | None,
        cache: Path,
    ) -> None:
        self.good, self.known, self.frame = list(good), list(known), frame
        self.channels, self.weights = frame.channels, weights
        self._cache = cache
        self._frozen: Frozen | None = None
        self._lines = Lines()
        self._weights_digest = hashlib.sha256(weights.read_bytes()).hexdigest() if weights is not None else ""

    def some(self, most: int) -> GoodSource:
        """At most so many of the good pictures, evenly from all."""
        good = self.good[:: max(1, -(-len(self.good) // most))]
        return GoodSource(good, [], frame=self.frame, weights=self.weights, cache=self._cache)

    def frozen(self) -> Frozen:
        """A frozen net of its own, not yet standardised."""
        torch.manual_seed(1)  # without published weights, the same ones each time
        return Frozen(self.channels, self.weights)

    def clean(self, picture: TaughtPicture) -> Seen:
        """What the frozen net sees on a picture as it is, with its known defects."""
        return self._seen(*picture.read(), b"clean")

    def disturbed(self, picture: TaughtPicture, number: int) -> Seen:
        """The same of a copy with drawn defects. Each number makes another one, in every fold the same."""
        image, _ = picture.read()
        rng = np.random.default_rng([number, *hashlib.sha256(picture.name.encode()).digest()[:8]])
        return self._seen(*spoilt(image, rng), b"drawn")

    def draw(self, rng: np.random.Generator) -> TrainingSample:
        """A window of a good picture with drawn defects, to be looked at."""
        image, cover = spoilt(self.good[int(rng.integers(len(self.good)))].read()[0], rng)
        window = self.frame.cut(image)[0][0]
        mask = self.frame.cut(cover[:, :, np.newaxis].repeat(self.channels, 2))[0][0][:, :, 0]
        return certain(window, (mask > 127).astype(np.uint8))

    def calibration(self, count: int, rng: np.random.Generator) -> list[Image]:
        """Windows of good pictures, shrunk. Every fourth has a drawn defect."""
        found = []
        for at in range(count):
            first, _ = self.good[int(rng.integers(len(self.good)))].read()
            image = spoilt(first, rng)[0] if at % 4 == 0 else first
            windows = self.frame.cut(image)
            found.append(smaller(windows[int(rng.integers(len(windows)))][0], self.frame.shrink))
        return found

    def _seen(self, image: Image, cover: Image, kind: bytes) -> Seen:
        name = hashlib.sha256(repr((astuple(self.frame), self._weights_digest, image.shape)).encode() + _FORM)
        name.update(kind + image.tobytes() + cover.tobytes())
        path = self._cache / f"{name.hexdigest()[:32]}.npz"
        kept = _kept(path)
        return kept if kept is not None else self._keep(path, self._computed(image, cover))

    def _keep(self, path: Path, made: Seen) -> Seen:
        self._cache.mkdir(parents=True, exist_ok=True)
        # Processes that share a run may compute the same at the same time.
        with waited(path.with_suffix(".lock")), draft_of(path, synced=False) as draft, draft.open("wb") as file:
            np.savez(file, features=made.features, lines=made.lines, targets=made.targets)
        return made

    def _computed(self, image: Image, cover: Image) -> Seen:
        if self._frozen is None:
            self._frozen = self.frozen()
        frame = self.frame
        windows = frame.cut(image)
        with torch.no_grad():
            pixels = [normalise(torch.from_numpy(window[np.newaxis]), frame.shrink) for window, _, _ in windows]
            features = [self._frozen.joined(each)[0].numpy() for each in pixels]
            lines = [self._lines(each)[0].numpy() for each in pixels]
        targets = np.full((len(windows), *(side // frame.cell for side in frame.window)), OUTSIDE, np.uint8)
        for at, (_, top, left) in enumerate(windows):
            inside = cell_targets(cover[top : top + frame.window[0], left : left + frame.window[1]], frame.cell)
            targets[at, : inside.shape[0], : inside.shape[1]] = inside
        return Seen(np.stack(features).astype(np.float16), np.stack(lines).astype(np.float16), targets)


def _kept(path: Path) -> Seen | None:
    """What was kept. None if there is none, or a power cut damaged it: then it is computed again."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            return Seen(kept["features"], kept["lines"], kept["targets"])
    except _DAMAGED:
        return None


def lines_inside(seen: Seen) -> tuple[Tensor, Tensor]:
    """Lines [N, 2, h, w], and which cells are on the part [N, h, w]."""
    return torch.from_numpy(seen.lines.astype(np.float32)), torch.from_numpy(seen.targets) == 0


def tensors(seen: Seen, frozen: Frozen) -> tuple[Tensor, Tensor]:
    """Standardised features [N, F, h, w] and the targets [N, h, w]."""
    features = (torch.from_numpy(seen.features.astype(np.float32)) - frozen.mean) * frozen.scale
    return features, torch.from_numpy(seen.targets)
