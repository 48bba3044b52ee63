"""The data of a training run: a folder of images, or the rendered tile line."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.segmenters.manifest import Fill
from edge_inspector.training.data.augment import SHOP_FLOOR, Source
from edge_inspector.training.data.folder import Folder, LabelledImage
from edge_inspector.training.data.folds import grouped_folds
from edge_inspector.training.data.index_file import INDEX, Masks
from edge_inspector.training.data.patches import Mix, Patches
from edge_inspector.training.data.rendered import TILE_LINE, RenderedTiles, held_out_parts, rendered_parts
from edge_inspector.training.judging.evidence import TruePart
from edge_inspector.training.judging.splits import folder_parts

_TRAIN_SEEDS: Final = tuple(range(11, 23))
# Ten seeds each: textures differ more between seeds than between parts of one seed.
_TUNE_SEEDS: Final = range(81001, 81011)
_LANES: Final = 4


class Task(Protocol):
    """Data with its splits. A fold is left out of `source` and is returned by `judged`."""

    name: str
    classes: tuple[str, ...]
    channels: int
    folds: int
    shrink: int
    fill: Fill

    def source(self, fold: int | None) -> Source:
        """The training data: all but a fold, or everything."""

    def judged(self, fold: int) -> Iterable[TruePart]:
        """The parts of a fold."""

    def split(self, name: str) -> Iterable[TruePart]:
        """The parts of a split that is never trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a folder is read, see the options of `model train`. With `by_labels` no mask is read."""

    folds: int = 3
    learn_from: str = "train"
    group: str = ""
    shrink: int = 1
    patch: tuple[int, int] = (192, 192)
    mix: Mix = field(default_factory=Mix)
    colour: bool | None = None
    shade: float = 0.0
    fill: Fill = "mirror"
    by_labels: bool = False


class FolderTask:
    """The training data of a folder, normally its split `train`, in grouped folds."""

    def __init__(self, root: Path, reading: Reading) -> None:
        grey = None if reading.colour is None else not reading.colour
        self.by_labels = reading.by_labels
        self._masks: Masks = "ignored" if reading.by_labels else "needed"
        self.folder = Folder(root, grey=grey, group=reading.group, shrink=reading.shrink, masks=self._masks)
        if reading.group not in {"", self.folder.group_column}:
            raise ConfigError([Fault(str(root / INDEX), f"has no column {reading.group!r} to group by")])
        self.folder.refuse_leaks()
        self.name = root.name
        self.classes, self.channels = self.folder.classes, self.folder.channels
        self.shrink, self.fill = reading.shrink, reading.fill
        self._reading = reading
        self.learns_from = reading.learn_from
        names = () if self.learns_from in self.folder.splits() else self.learns_from.split("+")
        if unknown := [name for name in names if name not in self.folder.splits()]:
            what = f"{root / INDEX} has no split {unknown[0]!r}, only {', '.join(self.folder.splits())}"
            raise ConfigError([Fault("--learn-from", what)])
        self.folder.refuse_one_kind(self.learns_from)
        self._folds = grouped_folds(self.folder, self.learns_from, reading.folds)
        self.folds = len(self._folds)

    def source(self, fold: int | None) -> Patches:
        """Patches of all folds but one."""
        return self.patches(self.entries(fold))

    def entries(self, fold: int | None) -> list[LabelledImage]:
        """The pictures of all folds but one, as the net sees them."""
        held_out = frozenset[str]() if fold is None else self._folds[fold]
        return self.folder.entries(self.learns_from, lambda row: self.folder.group_of(row) not in held_out)

    def patches(self, entries: Sequence[LabelledImage]) -> Patches:
        """Patches of some pictures."""
        augmentation = replace(SHOP_FLOOR, shade=self._reading.shade, fill=self.fill)
        return Patches(
            self.classes,
            list(entries),
            mix=self._reading.mix,
            patch=self._reading.patch,
            augmentation=augmentation,
            shrink=self.shrink,
        )

    def judged(self, fold: int) -> Iterable[TruePart]:
        """The images of a fold, without doubtful ones."""
        return folder_parts(self._native(), self.learns_from, self._folds[fold])

    def split(self, name: str) -> Iterable[TruePart]:
        """The images of a split, including doubtful ones."""
        return folder_parts(self._native(), name)

    def _native(self) -> Folder:
        """The images at the camera's resolution, because a shrinking net shrinks them itself."""
        return Folder(self.folder.root, grey=self.channels == 1, group=self._reading.group, masks=self._masks)


class TileLineTask:
    """Rendered planks. Their number is unlimited, so one fold of other seeds is always held out of training."""

    name = "rendered tile line"
    classes = RenderedTiles.classes
    channels = RenderedTiles.channels
    folds = 1
    shrink = 1
    fill: Fill = "mirror"

    def source(self, fold: int | None) -> RenderedTiles:  # noqa: ARG002 -- the held-out fold is never among them
        """Planks of the training seeds."""
        return RenderedTiles(_TRAIN_SEEDS)

    def judged(self, fold: int) -> Iterable[TruePart]:  # noqa: ARG002
        """Planks for the choice of limits, half of them defective."""
        return rendered_parts(_TUNE_SEEDS, _LANES, 160, 0.5)

    def split(self, name: str) -> Iterable[TruePart]:
        """The split `val`."""
        if name != "val":
            raise ConfigError([Fault("--split", f"the rendered line has no split {name!r}, only val")])
        return held_out_parts()


def open_task(data: str, reading: Reading) -> Task:
    """The task that DATA names. Raises ConfigError."""
    return TileLineTask() if data == TILE_LINE else FolderTask(Path(data), reading)
