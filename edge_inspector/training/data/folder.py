"""A folder of labelled images. Its `index.csv` describes each image. The content is checked, not trusted.

Columns that every index has:

- image
- class, or label: 0 good, 1 defective. Each follows from the other

Optional columns:

- mask: may be empty for good images
- split: otherwise groups are dealt into train and val
- a grouping key, see GROUP_COLUMNS
- fold
- part: several images can be views of one part
- note: why the image is doubtful
- mask2: the mask of a second annotator, empty where this one found nothing. Without the column, a folder `masks2` may
  have them, under the names of `masks`

An image with defects of several classes has one row for each class.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data.dealing import deal_splits
from edge_inspector.training.data.index_file import INDEX, Masks, Row, read_index
from edge_inspector.training.data.masks import read_mask
from edge_inspector.training.data.pictures import is_grey, read_picture, refuse_turned

Image: TypeAlias = NDArray[np.uint8]
GROUP_COLUMNS: Final = ("group", "session", "item", "tile", "location", "part_id")
"""The grouping columns, in the order in which they are tried. A group must never lie on both sides of a split."""
UNREVIEWED: Final = ("not reviewed", "unsure", "a defect without class and mask")
"""Notes of `edge-inspector export` on rows that repeat the model or have no label. They never judge a model."""
ANOMALY: Final = "anomaly"
"""The one class of a model that was taught good parts: whatever they do not have."""
_SEVERAL: Final = 4  # masks. So many cannot all be large by chance


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImage:
    """One image. `marks` has (class index + 1, mask 0..255) per class.

    `second`: the same by another annotator, who has `looked` and may have found nothing. `labelled` has class index + 1
    of each class that a label names, if the folder's masks are not needed.
    """

    name: str
    part: str
    group: str
    defective: bool
    image: Image
    marks: tuple[tuple[int, Image], ...]
    second: tuple[tuple[int, Image], ...] = ()
    labelled: tuple[int, ...] = ()
    looked: bool = False

    @property
    def classes(self) -> Image:
        """Class map [H, W]: 0 good, otherwise 1 + the index of the class. Where classes overlap, the last one wins."""
        return _painted(self.marks, self.image.shape[:2])

    @property
    def certainty(self) -> Image:
        """The certainty of the annotator, [H, W], 0..255."""
        planes = [mask for _, mask in self.marks]
        return np.maximum.reduce(planes) if planes else np.zeros(self.image.shape[:2], np.uint8)

    @property
    def likeliest(self) -> Image:
        """Class map [H, W] that also counts pixels below half: the class of which the annotator was most certain."""
        kinds, most = np.zeros((2, *self.image.shape[:2]), np.uint8)
        for index, mask in self.marks:
            kinds[(mask > 0) & (mask >= most)] = index
            np.maximum(most, mask, out=most)
        return np.asarray(kinds, np.uint8)

    @property
    def second_classes(self) -> Image | None:
        """The second annotator's class map, or None if nobody looked a second time."""
        return _painted(self.second, self.image.shape[:2]) if self.second or self.looked else None


def _painted(marks: tuple[tuple[int, Image], ...], shape: tuple[int, ...]) -> Image:
    classes = np.zeros(shape, np.uint8)
    for index, mask in marks:
        classes[mask > 127] = index
    return classes


class Folder:
    """The checked index of a folder. `entries` reads the images. Raises ConfigError.

    `group` names a grouping column. If the index has it, it is used before those of GROUP_COLUMNS. `masks` says what
    the masks are for. If they are not needed, the labels of whole pictures say what is defective. With `one_class`
    every defect is of this class, and there need not be any.
    """

    def __init__(
        self,
        root: Path,
        *,
        grey: bool | None = None,
        group: str = "",
        shrink: int = 1,
        masks: Masks = "needed",
        one_class: str = "",
    ) -> None:
        self.root = root
        self.shrink, self.masks = shrink, masks
        self._rows = read_index(root, masks)
        if one_class:
            self._rows = [{**row, "class": one_class} if row["label"] == "1" else row for row in self._rows]
        columns = (group, *GROUP_COLUMNS)
        self.group_column = next((name for name in columns if name and name in self._rows[0]), "")
        self.classes = tuple(sorted({row["class"] for row in self._rows if row["label"] == "1"}))
        if one_class:
            self.classes = (one_class,)
        if not self.classes:
            raise ConfigError([Fault(str(root / INDEX), "names no defect: at least one row needs label 1")])
        self._groups = _joined(self._rows, self.group_column)
        self._asked_grey = grey
        self.dealt = not self._rows[0]["split"]
        if self.dealt:
            chosen = deal_splits((self.group_of(row), row["class"]) for row in self._rows)
            self._rows = [{**row, "split": chosen[self.group_of(row)]} for row in self._rows]

    @cached_property
    def _grey(self) -> bool:
        """Reads every picture, so it waits until somebody needs it."""
        return self._is_grey() if self._asked_grey is None else self._asked_grey

    @property
    def _by_labels(self) -> bool:
        return self.masks != "needed"

    @property
    def channels(self) -> int:
        """1 for grey pictures, 3 for colour."""
        return 1 if self._grey else 3

    def splits(self) -> dict[str, int]:
        """How many rows each split has."""
        names = [row["split"] for row in self._rows]
        return {name: names.count(name) for name in sorted(set(names))}

    def leaks(self) -> list[str]:
        """Groups that lie in more than one split. They make every score worthless."""
        seen: dict[str, set[str]] = {}
        for row in self._rows:
            seen.setdefault(self.group_of(row), set()).add(row["split"])
        return sorted(group for group, splits in seen.items() if len(splits) > 1)

    def refuse_leaks(self) -> None:
        """Raise ConfigError if a group lies in more than one split."""
        if leaks := self.leaks():
            what = f"the splits leak: {self.group_kind} {leaks[0]} lies in two ({len(leaks)} such groups)"
            raise ConfigError([Fault(str(self.root), what)])

    def refuse_one_kind(self, split: str) -> None:
        """Raise ConfigError unless a split has both good and defective pictures to train on."""
        found = {row["label"] for row in self.sure_rows(split)}
        if found == {"1"}:
            what = f"every picture of {split!r} is defective: limits cannot be chosen without good ones"
            raise ConfigError([Fault(str(self.root / INDEX), what)])
        if found == {"0"}:
            what = f"every picture of {split!r} is good: there is no defect to learn"
            raise ConfigError([Fault(str(self.root / INDEX), what)])

    def pictures(self) -> dict[str, list[tuple[int, Row]]]:
        """Image -> its rows, each with its line in the index, in all splits."""
        found: dict[str, list[tuple[int, Row]]] = {}
        for line, row in enumerate(self._rows, 2):
            found.setdefault(row["image"], []).append((line, row))
        return found

    def rows(self, split: str) -> list[Row]:
        """The rows of a split, or of several splits joined by +."""
        wanted = {split} if split in self.splits() else set(split.split("+"))
        return [row for row in self._rows if row["split"] in wanted]

    def sure_rows(self, split: str, *, doubtful: bool = False) -> list[Row]:
        """The rows of images without a note, for training. `doubtful` adds rows with a note, except UNREVIEWED."""
        rows = self.rows(split)
        left_out = {row["image"] for row in rows if row.get("note") and (not doubtful or row["note"] in UNREVIEWED)}
        return [row for row in rows if row["image"] not in left_out]

    @property
    def group_kind(self) -> str:
        """The name of a group's kind, for messages."""
        return self.group_column or "part"

    def group_of(self, row: Row) -> str:
        """The group of a row: the rows with the same key, otherwise of the same part, and all rows joined to them.

        If a part or an image lies in two groups, they become one group with the smaller name.
        """
        return self._groups[row["image"]]

    def entries(
        self, split: str, wanted: Callable[[Row], bool] = lambda _: True, *, doubtful: bool = False
    ) -> list[LabelledImage]:
        """The images of a split, see `sure_rows`."""
        chosen: dict[str, list[Row]] = {}
        for row in self.sure_rows(split, doubtful=doubtful):
            if wanted(row):
                chosen.setdefault(row["image"], []).append(row)
        found = [self.entry(rows) for rows in chosen.values()]
        self._refuse_inverted(found)
        return found

    def entry(self, rows: list[Row]) -> LabelledImage:
        """One picture, read with its masks. `rows` are all of its rows. Raises ConfigError."""
        first = rows[0]
        image = smaller(read_picture(self.root / first["image"], grey=self._grey), self.shrink)
        bad = [row for row in rows if row["label"] == "1"]
        if not bad:
            self._refuse_marked(rows)
        elif any(row["mask"] for row in bad):
            refuse_turned(self.root / first["image"])
        return LabelledImage(
            name=first["image"],
            part=part_of(first),
            group=self.group_of(first),
            defective=bool(bad),
            image=image if image.ndim == 3 else image[:, :, np.newaxis],
            marks=self._marks(bad, "mask", image.shape),
            labelled=tuple(sorted({1 + self.classes.index(row["class"]) for row in bad})) if self._by_labels else (),
            second=self._marks(rows, "mask2", image.shape),
            looked=any(row.get("mask2") for row in rows),
        )

    def _marks(self, rows: Iterable[Row], column: str, shape: tuple[int, ...]) -> tuple[tuple[int, Image], ...]:
        found = []
        for row in rows:
            if not row.get(column):
                continue
            mask = self._mask(row[column])
            if mask.shape[:2] != shape[:2]:
                what = f"is {mask.shape}, its image {shape[:2]}: a mask is as large as its picture"
                raise ConfigError([Fault(row[column], what)])
            if column == "mask" and not row.get("note") and not mask.any():
                what = f"is empty, but {row['image']} is marked as defective: draw the defect, or write why in `note`"
                raise ConfigError([Fault(row[column], what)])
            if row["label"] == "1":
                found.append((1 + self.classes.index(row["class"]), mask))
            elif mask.any():
                found.append((1 + self._only_class(row), mask))
        return tuple(found)

    def _only_class(self, row: Row) -> int:
        """The index of the class that a second annotator's defect on a good picture has, if there is but one."""
        if len(self.classes) > 1:
            what = (
                f"shows a defect, but {row['image']} has label 0 and so no class: add a row with label 1, or a `note`"
            )
            raise ConfigError([Fault(row["mask2"], what)])
        return 0

    def _refuse_inverted(self, entries: Iterable[LabelledImage]) -> None:
        """Raise ConfigError if every mask is mostly defect: then somebody has drawn the good areas."""
        shares = [float((mask > 127).mean()) for entry in entries for _, mask in entry.marks]
        if len(shares) >= _SEVERAL and min(shares) > 0.5:
            what = (
                f"each of {len(shares)} masks is defective in more than half: are they inverted? 0 is good, 255 is not"
            )
            raise ConfigError([Fault(str(self.root / INDEX), what)])

    def _refuse_marked(self, rows: Iterable[Row]) -> None:
        """Raise ConfigError if a good image has a defect in its mask."""
        for row in rows:
            if row.get("mask") and self._mask(row["mask"]).any():
                what = f"shows a defect, but {row['image']} is marked as good (label 0): one of the two is wrong"
                raise ConfigError([Fault(row["mask"], what)])

    def _mask(self, name: str) -> Image:
        """A shrunk pixel is defective if any of its pixels is, as everywhere in training. So thin defects stay."""
        blocks = _blocks(read_mask(self.root / name), self.shrink)
        return np.asarray(blocks.max(axis=(1, 3)), np.uint8)

    def _is_grey(self) -> bool:
        return all(is_grey(self.root / name) for name in dict.fromkeys(row["image"] for row in self._rows))


def smaller(image: Image, shrink: int) -> Image:
    """The mean of each shrink x shrink pixels, as a shrinking graph computes it."""
    if shrink == 1:
        return image
    means = np.rint(_blocks(image, shrink).mean(axis=(1, 3), dtype=np.float32))
    return np.asarray(means, np.uint8)


def _blocks(image: Image, side: int) -> Image:
    """[H, W, ...] -> [H/side, side, W/side, side, ...], extended at the far sides to whole blocks."""
    below, beside = -image.shape[0] % side, -image.shape[1] % side
    grown = np.pad(image, ((0, below), (0, beside), (0, 0))[: image.ndim], mode="edge")
    height, width = grown.shape[:2]
    return grown.reshape(height // side, side, width // side, side, *image.shape[2:])


def part_of(row: Row) -> str:
    """The part that a row's image is a view of. Without a column for it, each image is its own part."""
    return row.get("part") or row.get("part_id") or row["image"]


def _joined(rows: Iterable[Row], column: str) -> dict[str, str]:
    """Image -> its group, as `Folder.group_of` says."""
    above: dict[tuple[str, str], tuple[str, str]] = {}

    def top(node: tuple[str, str]) -> tuple[str, str]:
        while above.setdefault(node, node) != node:
            above[node] = above[above[node]]
            node = above[node]
        return node

    for row in rows:
        key = row[column] if column else part_of(row)
        tops = [top(node) for node in (("group", key), ("image", row["image"]), ("part", part_of(row)))]
        # "group" comes first in the alphabet, so a joined group gets the name of a key and never of an image.
        above.update(dict.fromkeys(tops, min(tops)))
    return {row["image"]: top(("image", row["image"]))[1] for row in rows}
