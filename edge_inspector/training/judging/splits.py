"""The parts that a model folder is judged on, and its limits. Needs no training library."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.segmenters.manifest import Manifest
from edge_inspector.training.data.folder import ANOMALY, Folder, LabelledImage, part_of
from edge_inspector.training.data.index_file import Masks, Row
from edge_inspector.training.data.rendered import TILE_LINE, held_out_count, held_out_parts
from edge_inspector.training.judging.evidence import TruePart, entry_parts
from edge_inspector.training.judging.limits import Limit


@dataclass(frozen=True, slots=True)
class Judged:
    """One split of some data. Each call reads its parts or entries again."""

    name: str
    folder: Folder | None
    split: str

    @property
    def count(self) -> int:
        """How many parts there are."""
        return held_out_count() if self.folder is None else len(_pictures_of_parts(self.folder, self.split))

    def parts(self, order: Iterable[int] | None = None) -> Iterable[TruePart]:
        """Part by part. With `order`, only those parts, by their numbers from 0."""
        if self.folder is None:
            return held_out_parts(order)
        return folder_parts(self.folder, self.split, order=order)

    def entries(self) -> Iterable[LabelledImage]:
        """Image by image. Empty for the rendered line."""
        return () if self.folder is None else self.folder.entries(self.split, doubtful=True)


def open_judged(data: str, split: str, manifest: Manifest) -> Judged:
    """The split of DATA. Raises ConfigError.

    Its classes must be among the model's, and no group may also be in another split. A model that learned from labels
    is judged by labels where masks are missing.
    """
    if data == TILE_LINE:
        if split != "val":
            raise ConfigError([Fault("--split", f"the rendered line has no split {split!r}, only val")])
        return Judged("rendered tile line", None, split)
    group = str(manifest.training.get("group", ""))
    # A model that knows only what is unusual is judged by defects of every class.
    one_class = ANOMALY if manifest.classes == (ANOMALY,) else ""
    masks: Masks = "optional" if manifest.training.get("labels") == "image" else "needed"
    folder = Folder(Path(data), grey=manifest.input.channels == 1, group=group, masks=masks, one_class=one_class)
    if not set(folder.classes) <= set(manifest.classes):
        what = f"has the classes {', '.join(folder.classes)}, the model {', '.join(manifest.classes)}"
        raise ConfigError([Fault(data, what)])
    # The planes of the mask follow the model's order of classes, and a folder need not have every class.
    folder.classes = manifest.classes
    if split not in folder.splits():
        raise ConfigError([Fault("--split", f"{data} has no split {split!r}, only {', '.join(folder.splits())}")])
    folder.refuse_leaks()
    if not folder.sure_rows(split, doubtful=True):
        raise ConfigError([Fault("--split", f"no picture of {split!r} in {data} was reviewed by anybody")])
    return Judged(folder.root.name, folder, split)


def limits_of(manifest: Manifest) -> list[Limit]:
    """The manifest's suggested limits, one per class. Raises ConfigError if one is missing."""
    missing = sorted(set(manifest.classes) - manifest.limits.keys())
    if missing:
        raise ConfigError([Fault(f"limits.{missing[0]}", "is missing: the model cannot be judged without")])
    return [Limit(manifest.limits[name].min_confidence, manifest.limits[name].min_area_px) for name in manifest.classes]


def folder_parts(
    folder: Folder, split: str, groups: frozenset[str] | None = None, *, order: Iterable[int] | None = None
) -> Iterator[TruePart]:
    """Parts of a split, read one at a time. With `groups`, only those groups and without doubtful images.

    With `order`, only those parts, by their numbers from 0.
    """
    of_parts = _pictures_of_parts(folder, split, groups)
    for images in of_parts if order is None else (of_parts[number] for number in order):
        wanted = partial(_shows, images)
        yield from entry_parts(folder.entries(split, wanted, doubtful=groups is None))


def _pictures_of_parts(folder: Folder, split: str, groups: frozenset[str] | None = None) -> list[set[str]]:
    of_part: dict[str, set[str]] = {}
    for row in folder.sure_rows(split, doubtful=groups is None):
        if groups is None or folder.group_of(row) in groups:
            of_part.setdefault(part_of(row), set()).add(row["image"])
    return list(of_part.values())


def _shows(images: set[str], row: Row) -> bool:
    return row["image"] in images
