"""What was read, said before anything is learned from it: pictures, classes, flawed pixels, groups, bit depth.

Every picture and every mask is read once. Each fault comes with its line in the index.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.runtime.machine import free_memory
from edge_inspector.training.data.folder import Folder, Image
from edge_inspector.training.data.index_file import INDEX, Row
from edge_inspector.training.data.pictures import stored_bits

_FAULTS_MOST: Final = 20
_MEMORY_SHARE: Final = 0.7
"""Of the free memory. The net, its gradients and PyTorch need the rest."""
_SEVERAL: Final = 4  # masks. So many cannot all be large by chance
_REGIONS_MOST: Final = 100  # of one class in a picture. More say nothing new


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One picture: its size and bits, and for each class the flawed pixels. A good one has no class.

    `extents` are the sizes of the single regions. `rim` is the brightness of its four sides.
    """

    name: str
    split: str
    group: str
    noted: bool
    size: tuple[int, int]
    bits: int
    digest: bytes
    flawed: tuple[tuple[str, int], ...]
    defective: bool
    labelled: tuple[str, ...] = ()
    extents: tuple[tuple[int, int], ...] = ()
    rim: float = 255.0


@dataclass(frozen=True, slots=True)
class Survey:
    """All pictures of a folder."""

    folder: Folder
    pictures: tuple[Read, ...]

    def refuse_too_large(self, learn_from: str, shrink: int) -> None:
        """Raise ConfigError if what is learned from does not fit into the memory, before hours are spent."""
        splits = {learn_from, *learn_from.split("+")}
        learned = [each for each in self.pictures if each.split in splits and not each.noted]
        channels = self.folder.channels
        pixels = sum(each.size[0] * each.size[1] * (channels + len(each.flawed)) for each in learned)
        needed, free = pixels // shrink**2, free_memory()
        if needed > _MEMORY_SHARE * free:
            what = (
                f"{len(learned)} pictures take {needed >> 20} MB of memory at 1/{shrink} of their size, and "
                f"{free >> 20} MB are free: learn from fewer pictures, or give `model train` a larger --shrink"
            )
            raise ConfigError([Fault(str(self.folder.root), what)])

    def said(self) -> Iterator[str]:
        """What was read, line by line."""
        yield self._first_line()
        good = [each for each in self.pictures if not each.defective]
        yield f"  good: {len(good)} pictures" + _of_groups(good)
        for kind in self.folder.classes:
            yield self._class_line(kind)
        yield from self._asides()

    def _first_line(self) -> str:
        heights, widths = zip(*(each.size for each in self.pictures), strict=True)
        colour = "grey" if self.folder.channels == 1 else "colour"
        bits = "/".join(str(each) for each in sorted({each.bits for each in self.pictures}))
        groups = len({each.group for each in self.pictures})
        return (
            f"read {len(self.pictures)} pictures of {groups} groups ({self.folder.group_kind}): {colour}, {bits} bits, "
            f"{_range(heights)} x {_range(widths)} px; {', '.join(self._splits())}"
        )

    def _splits(self) -> Iterator[str]:
        names = [each.split for each in self.pictures]
        for name in sorted(set(names)):
            yield f"{name} {names.count(name)}"
        if self.folder.dealt:
            yield "dealt by group, because the index has no column `split`"

    def _class_line(self, kind: str) -> str:
        found = [(each, pixels) for each in self.pictures for name, pixels in each.flawed if name == kind]
        areas = sorted(pixels for _, pixels in found)
        if not areas and self.folder.masks == "ignored":
            named = [each for each in self.pictures if kind in each.labelled]
            return f"  {kind}: {len(named)} pictures{_of_groups(named)}, by their labels. No mask is read"
        if not areas:
            return f"  {kind}: no picture with a mask"
        share = median(pixels / (each.size[0] * each.size[1]) for each, pixels in found)
        empty = areas.count(0)
        return (
            f"  {kind}: {len(found)} pictures{_of_groups([each for each, _ in found])}, flawed pixels {areas[0]} to "
            f"{areas[-1]}, median {median(areas):.0f} ({100 * share:.2f} % of a picture)"
            + (f", {empty} empty" if empty else "")
        )

    def _asides(self) -> Iterator[str]:
        if noted := sum(each.noted for each in self.pictures):
            yield f"  {noted} pictures have a note and are not learned from"
        if copies := len(self.pictures) - len({each.digest for each in self.pictures}):
            yield f"  {copies} pictures are exact copies of others: one part counts several times"


def survey(folder: Folder) -> Survey:
    """Read everything. Raises ConfigError with the first twenty faults, each with its line."""
    found: list[Read] = []
    faults: list[Fault] = []
    for name, rows in folder.pictures().items():
        try:
            found.append(_read(folder, name, [row for _, row in rows]))
        except ConfigError as error:
            faults += [_placed(folder, rows, fault) for fault in error.faults]
        if len(faults) >= _FAULTS_MOST:
            break
    faults += [*_told_apart(folder, found), *_inverted(folder, found)]
    if faults:
        raise ConfigError(faults[:_FAULTS_MOST])
    return Survey(folder, tuple(found))


def _read(folder: Folder, name: str, rows: list[Row]) -> Read:
    entry = folder.entry(rows)
    path = folder.root / name
    masks = [(folder.classes[index - 1], mask > 127) for index, mask in entry.marks]
    return Read(
        name=name,
        split=rows[0]["split"],
        group=entry.group,
        noted=any(row.get("note") for row in rows),
        size=entry.image.shape[:2],
        bits=stored_bits(path),
        digest=hashlib.sha256(path.read_bytes()).digest(),
        flawed=tuple((kind, int(mask.sum())) for kind, mask in masks),
        defective=entry.defective,
        labelled=tuple(folder.classes[index - 1] for index in entry.labelled),
        extents=tuple(extent for _, mask in masks for extent in _extents(mask)),
        rim=_rim(entry.image),
    )


def _extents(mask: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Length and width of each region, the sides of the smallest rectangle around it. Single pixels do not count."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    for outline in outlines[:_REGIONS_MOST]:
        if len(outline) > 1:
            _, sides, _ = cv2.minAreaRect(outline)
            yield round(max(sides)) + 1, round(min(sides)) + 1


def _rim(image: Image) -> float:
    sides = (image[:2], image[-2:], image[:, :2], image[:, -2:])
    return float(np.median(np.concatenate([side.ravel() for side in sides])))


def _placed(folder: Folder, rows: Sequence[tuple[int, Row]], fault: Fault) -> Fault:
    """The fault with the line of the index that names its file, or the first line of the picture."""
    line = next((line for line, row in rows if row["mask"] and fault.where.endswith(row["mask"])), rows[0][0])
    return Fault(f"{folder.root / INDEX}: line {line}", f"{fault.where}: {fault.what}")


def _told_apart(folder: Folder, found: Iterable[Read]) -> Iterator[Fault]:
    """Faults of two files with the same bytes, of which one is good and one is not."""
    first: dict[bytes, Read] = {}
    for each in found:
        other = first.setdefault(each.digest, each)
        if other.defective != each.defective:
            good, bad = sorted((other, each), key=lambda one: one.defective)
            what = f"{good.name} is good and {bad.name} is defective, but they are the same picture: one label is wrong"
            yield Fault(str(folder.root / INDEX), what)


def _inverted(folder: Folder, found: Iterable[Read]) -> Iterator[Fault]:
    """A fault if every mask is mostly defective: then somebody has drawn the good areas."""
    shares = [pixels / (each.size[0] * each.size[1]) for each in found for _, pixels in each.flawed]
    if len(shares) >= _SEVERAL and min(shares) > 0.5:
        what = f"each of {len(shares)} masks is defective in more than half: are they inverted? 0 is good, 255 is not"
        yield Fault(str(folder.root / INDEX), what)


def _of_groups(pictures: Sequence[Read]) -> str:
    groups = len({each.group for each in pictures})
    return f" of {groups} groups" if groups < len(pictures) else ""


def _range(sizes: Sequence[int]) -> str:
    return str(sizes[0]) if len(set(sizes)) == 1 else f"{min(sizes)}..{max(sizes)}"
