"""What the nets learn from: rendered planks, or a folder of images with masks.

A sample is an image [H, W, C] and a class map [H, W]: 0 good, else 1 + the position of the class.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.segmenters.tiling import place, plan_tiles
from edge_inspector.simulation.tiles import CLASSES, TileLine
from edge_inspector.training.nets import STRIDE
from edge_inspector.training.paste import cuts, paste

Image = NDArray[np.uint8]
Sample = tuple[Image, Image]

PATCH: Final = 256
OVERLAP: Final = 32


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far a sample may be bent: each value is the largest change, 0 switches it off."""

    gain: float = 0.0
    tint: float = 0.0
    gamma: float = 0.0
    noise: float = 0.0
    blur: float = 0.0
    turn_deg: float = 0.0
    scale: float = 0.0
    flip: bool = True

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Bend one sample."""
        image, classes = self._move(sample, rng)
        return self._light(image, rng), classes

    def _move(self, sample: Sample, rng: np.random.Generator) -> Sample:
        image, classes = sample
        if self.turn_deg or self.scale:
            image, classes = self._affine(image, classes, rng)
        if self.flip:
            across, along = rng.choice((-1, 1), 2)
            image, classes = image[::along, ::across], classes[::along, ::across]
        return np.ascontiguousarray(image), np.ascontiguousarray(classes)

    def _affine(self, image: Image, classes: Image, rng: np.random.Generator) -> Sample:
        height, width = classes.shape
        angle = rng.uniform(-self.turn_deg, self.turn_deg)
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0 + rng.uniform(-self.scale, self.scale))
        moved = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
        labels = cv2.warpAffine(
            classes, matrix, (width, height), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101
        )
        return np.asarray(moved, np.uint8).reshape(image.shape), np.asarray(labels, np.uint8)

    def _light(self, image: Image, rng: np.random.Generator) -> Image:
        levels = np.linspace(0.0, 1.0, 256)
        gamma = np.exp(rng.uniform(-self.gamma, self.gamma))
        curve = 255.0 * (1.0 + rng.uniform(-self.gain, self.gain)) * levels**gamma
        lit = np.clip(curve, 0.0, 255.0).astype(np.uint8)[image]
        if self.tint:
            balance = 1.0 + rng.uniform(-self.tint, self.tint, (1, 1, image.shape[2])).astype(np.float32)
            lit = np.clip(lit * balance, 0.0, 255.0).astype(np.uint8)
        if self.blur and rng.random() < 0.25:
            lit = np.asarray(cv2.GaussianBlur(lit, (0, 0), rng.uniform(0.3, self.blur)), np.uint8).reshape(image.shape)
        if self.noise:
            grain = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(0.0, self.noise))
            lit = np.clip(lit + grain, 0.0, 255.0).astype(np.uint8)
        return np.asarray(lit, np.uint8)


SHOP_FLOOR: Final = Augmentation(gain=0.25, gamma=0.35, noise=4.0, blur=0.8, turn_deg=8.0, scale=0.2)
# The renderer varies light and texture itself; the tint is a lamp that ages.
RENDERED: Final = Augmentation(gain=0.06, tint=0.02, gamma=0.06, noise=1.5)


class RenderedTiles:
    """Planks rendered on demand from several seeds, three defective frames to one good one."""

    classes = CLASSES
    channels = 3

    def __init__(self, seeds: tuple[int, ...], good_share: float = 0.25) -> None:
        self._good_share = good_share
        self._defective = [TileLine(seed, lanes, 1.0) for seed in seeds for lanes in (1, 2, 4)]
        self._good = [TileLine(seed, lanes, 0.0) for seed in seeds for lanes in (1, 2, 4)]

    def draw(self, rng: np.random.Generator) -> Sample:
        """Render one frame."""
        part = int(rng.integers(2**31))
        if rng.random() < self._good_share:
            line = self._good[int(rng.integers(len(self._good)))]
            lane = int(rng.integers(line.lanes))
        else:
            line = self._defective[int(rng.integers(len(self._defective)))]
            lane = min(line.lanes - 1, int(line.defects(part)[0].y_mm / 200.0))
        return RENDERED((line.render(part, lane), line.truth(part, lane)), rng)

    def calibration(self, count: int, rng: np.random.Generator) -> list[Image]:
        """Give frames for calibration."""
        return [self.draw(rng)[0] for _ in range(count)]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a folder's index; index 0 is a good image."""

    image: Image
    mask: Image
    index: int

    @property
    def classes(self) -> Image:
        """Class map of the image."""
        return np.where(self.mask > 127, np.uint8(self.index), np.uint8(0)).astype(np.uint8)


class Folder:
    """A folder with `index.csv`: image, mask, class, label, split; optionally fold, and a note on doubtful rows."""

    channels = 1

    def __init__(self, root: Path, *, grey: bool = True) -> None:
        self._root = root
        self.channels = 1 if grey else 3
        with (root / "index.csv").open(newline="") as file:
            self._rows = list(csv.DictReader(file))
        self.classes = tuple(sorted({row["class"] for row in self._rows if row["label"] == "1"}))

    def folds(self, split: str) -> frozenset[str]:
        """Names of the groups that a split is made of; empty where the index has none."""
        return frozenset(row["fold"] for row in self._rows if row["split"] == split and row.get("fold"))

    def entries(self, split: str, folds: frozenset[str] | None = None, *, doubtful: bool = False) -> list[Entry]:
        """Load a split; rows with a note are left out unless asked for."""
        rows = (row for row in self._rows if row["split"] == split)
        chosen = (row for row in rows if folds is None or row["fold"] in folds)
        return [self._entry(row) for row in chosen if doubtful or not row.get("note")]

    def _entry(self, row: dict[str, str]) -> Entry:
        flag = cv2.IMREAD_GRAYSCALE if self.channels == 1 else cv2.IMREAD_COLOR
        image = cv2.imread(str(self._root / row["image"]), flag)
        mask = cv2.imread(str(self._root / row["mask"]), cv2.IMREAD_GRAYSCALE)
        if image is None or mask is None:
            raise FileNotFoundError(row["image"])
        index = 1 + self.classes.index(row["class"]) if row["label"] == "1" else 0
        pixels = np.asarray(image, np.uint8).reshape(*image.shape[:2], self.channels)
        return Entry(pixels, np.asarray(mask, np.uint8), index)


class Patches:
    """Patches at native resolution, drawn so that rare classes come up as often as common ones."""

    def __init__(
        self,
        folder: Folder,
        entries: list[Entry],
        good_share: float = 0.45,
        patch: int = PATCH,
        paste_share: float = 0.0,
    ) -> None:
        self.classes, self.channels = folder.classes, folder.channels
        self._good_share, self._patch, self._paste_share = good_share, patch, paste_share
        self._by_class: dict[int, list[Entry]] = {}
        for entry in entries:
            self._by_class.setdefault(entry.index, []).append(entry)
        self._kinds = sorted(index for index in self._by_class if index)
        self._cuts = {
            index: [cut for entry in self._by_class[index] for cut in cuts(entry.image, entry.classes > 0)]
            for index in self._kinds
        }

    def draw(self, rng: np.random.Generator) -> Sample:
        """Cut one patch."""
        index = 0 if rng.random() < self._good_share else int(rng.choice(self._kinds))
        if index and self._cuts[index] and rng.random() < self._paste_share:
            return SHOP_FLOOR(self._pasted(index, rng), rng)
        return SHOP_FLOOR(self._cut(self._any(index, rng), rng), rng)

    def calibration(self, count: int, rng: np.random.Generator) -> list[Image]:
        """Whole patches as the camera gives them: augmentation would widen the ranges."""
        pools = [entry for pool in self._by_class.values() for entry in pool]
        picks = rng.integers(len(pools), size=count)
        return [next(iter(windows(pools[int(pick)].image)))[2] for pick in picks]

    def _any(self, index: int, rng: np.random.Generator) -> Entry:
        pool = self._by_class[index]
        return pool[int(rng.integers(len(pool)))]

    def _pasted(self, index: int, rng: np.random.Generator) -> Sample:
        """Lay one to three defects of a class on a sound surface."""
        image, classes = self._cut(self._any(0, rng), rng)
        image, classes = image.copy(), classes.copy()
        for _ in range(int(rng.integers(1, 4))):
            cut = self._cuts[index][int(rng.integers(len(self._cuts[index])))]
            paste(cut, image, classes, index, rng)
        return image, classes

    def _cut(self, entry: Entry, rng: np.random.Generator) -> Sample:
        """Cut a patch around some defect pixel, not centred on it, as windows of a frame are not either."""
        image, classes = _padded(entry.image, self._patch), _padded(entry.classes, self._patch)
        rows, columns = np.nonzero(classes)
        limits = np.array(classes.shape) - self._patch
        corner = rng.integers(0, limits + 1)
        if rows.size:
            pick = int(rng.integers(rows.size))
            wanted = np.array((rows[pick], columns[pick])) - rng.integers(16, self._patch - 16, 2)
            corner = np.clip(wanted, 0, limits)
        box = slice(corner[0], corner[0] + self._patch), slice(corner[1], corner[1] + self._patch)
        return image[box], classes[box]


def _padded(image: Image, size: int) -> Image:
    """Fill up to at least `size` at the far sides, as the daemon's tiling does; never squash."""
    below, beside = max(0, size - image.shape[0]), max(0, size - image.shape[1])
    if not below and not beside:
        return image
    mirrors = below < image.shape[0] and beside < image.shape[1]
    border = cv2.BORDER_REFLECT_101 if mirrors else cv2.BORDER_REPLICATE
    padded = cv2.copyMakeBorder(image, 0, below, 0, beside, border)
    return np.asarray(padded, np.uint8).reshape(*padded.shape[:2], *image.shape[2:])


def windows(image: Image) -> Iterator[tuple[int, int, Image]]:
    """Give (row, column, patch) covering the whole frame, exactly as the daemon cuts it."""
    height, width = image.shape[:2]
    for tile in plan_tiles(height, width, (PATCH, PATCH), OVERLAP, STRIDE):
        patch = np.empty((PATCH, PATCH, image.shape[2]), np.uint8)
        pixels = image[tile.top : tile.bottom, tile.left : tile.right]
        flat = (pixels[:, :, 0], patch[:, :, 0]) if image.shape[2] == 1 else (pixels, patch)
        place(*flat)
        yield tile.top, tile.left, patch
