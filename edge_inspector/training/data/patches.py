"""The patches that a net is trained on. They are balanced, so that rare classes appear as often as common ones."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from edge_inspector.segmenters.manifest import Fill
from edge_inspector.segmenters.tiling import fill_up
from edge_inspector.training.data.augment import SHOP_FLOOR, Augmentation, TrainingSample, certain
from edge_inspector.training.data.draw import draw
from edge_inspector.training.data.folder import Image, LabelledImage
from edge_inspector.training.data.paste import cuts, paste

Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Shares of the patches: good ones, with pasted defects, with drawn defects. The rest is unchanged.

    `drawn` gives for each class the shape to draw, a key of draw.SHAPES. With `soft`, masks are read as certainty.
    """

    good_share: float = 0.35
    paste_share: float = 0.2
    draw_share: float = 0.0
    drawn: Mapping[str, str] = field(default_factory=dict)
    soft: bool = False


class Patches:
    """An endless supply of random patches from images that were shrunk `shrink` times."""

    def __init__(
        self,
        classes: tuple[str, ...],
        entries: list[LabelledImage],
        *,
        mix: Mix,
        patch: tuple[int, int],
        augmentation: Augmentation = SHOP_FLOOR,
        shrink: int = 1,
    ) -> None:
        self.classes = classes
        self.channels = entries[0].image.shape[2]
        self._mix, self._patch, self._augmentation, self._shrink = mix, patch, augmentation, shrink
        self._good = [entry for entry in entries if not entry.defective]
        self._by_class = {
            index: [entry for entry in entries if any(index == own for own, _ in entry.marks)]
            for index in range(1, 1 + len(classes))
        }
        self._kinds = [index for index, pool in self._by_class.items() if pool]
        self._cuts = {
            index: [cut for entry in self._by_class[index] for cut in cuts(entry.image, entry.classes == index)]
            for index in self._kinds
        }
        self._drawn = {1 + classes.index(name): shape for name, shape in mix.drawn.items()}
        self._all = entries

    def draw(self, rng: np.random.Generator) -> TrainingSample:
        """Cut one patch."""
        return self._augmentation(self._raw(rng), rng)

    def calibration(self, count: int, rng: np.random.Generator) -> list[Image]:
        """Patches as the camera delivers them, because augmentation would widen the ranges."""
        picks = rng.integers(len(self._all), size=count)
        return [self._cut(self._all[int(pick)], 0, rng).image for pick in picks]

    def _raw(self, rng: np.random.Generator) -> TrainingSample:
        mix, chance = self._mix, rng.random()
        if self._good and chance < mix.draw_share and self._drawn:
            return self._with_drawn(rng)
        chance -= mix.draw_share
        if self._good and 0.0 <= chance < mix.good_share:
            return self._cut(_any(self._good, rng), 0, rng)
        index = int(rng.choice(self._kinds))
        if self._good and self._cuts[index] and rng.random() < mix.paste_share:
            return self._with_pasted(index, rng)
        return self._cut(_any(self._by_class[index], rng), index, rng)

    def _with_drawn(self, rng: np.random.Generator) -> TrainingSample:
        """A good surface with a drawn defect."""
        index = int(rng.choice(list(self._drawn)))

        def lay(image: Image, classes: Image) -> None:
            draw(self._drawn[index], image, classes, index=index, rng=rng, shrink=self._shrink)

        return self._spoilt(index, lay, rng)

    def _with_pasted(self, index: int, rng: np.random.Generator) -> TrainingSample:
        """A good surface with one to three pasted defects of a class."""

        def lay(image: Image, classes: Image) -> None:
            for _ in range(int(rng.integers(1, 4))):
                paste(_any(self._cuts[index], rng), image, classes, index=index, rng=rng)

        return self._spoilt(index, lay, rng)

    def _spoilt(self, index: int, spoil: Callable[[Image, Image], None], rng: np.random.Generator) -> TrainingSample:
        """A patch of a picture with added defects. They are added before cutting, so chips lie at edges of the part."""
        entry = _any(self._good, rng)
        image, classes = entry.image.copy(), entry.classes
        spoil(image, classes)
        mark = np.where(classes == index, np.uint8(255), np.uint8(0)).astype(np.uint8)
        return self._cut(replace(entry, image=image, marks=((index, mark),)), index, rng)

    def _cut(self, entry: LabelledImage, index: int, rng: np.random.Generator) -> TrainingSample:
        """Cut a patch around some pixel of a class. It is not centred, because windows of a frame are not either."""
        fill = self._augmentation.fill
        image, classes = (padded(plane, self._patch, fill) for plane in (entry.image, entry.classes))
        limits = np.array(classes.shape) - np.array(self._patch)
        corner = rng.integers(0, limits + 1)
        rows, columns = np.nonzero(classes == index) if index else (np.empty(0), np.empty(0))
        if rows.size:
            pick = int(rng.integers(rows.size))
            wanted = np.array((rows[pick], columns[pick])) - rng.integers(16, [side - 16 for side in self._patch])
            corner = np.clip(wanted, 0, limits)
        height, width = self._patch
        box = slice(corner[0], corner[0] + height), slice(corner[1], corner[1] + width)
        if not self._mix.soft:
            return certain(image[box], classes[box])
        kinds, certainty = (padded(plane, self._patch, fill)[box] for plane in (entry.likeliest, entry.certainty))
        return TrainingSample(image[box], kinds, certainty)


def _any(pool: list[Thing], rng: np.random.Generator) -> Thing:
    return pool[int(rng.integers(len(pool)))]


def padded(image: Image, size: tuple[int, int], fill: Fill) -> Image:
    """Fill up to at least `size`, (height, width), as the daemon's tiling does."""
    least = max(size[0], image.shape[0]), max(size[1], image.shape[1])
    return fill_up(image, least, fill).reshape(*least, *image.shape[2:])
