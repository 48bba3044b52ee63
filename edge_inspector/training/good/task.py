"""The data of a model from good parts: what it learns from, and what judges it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.segmenters.manifest import Fill
from edge_inspector.training.data.folder import ANOMALY, Folder, Image, LabelledImage
from edge_inspector.training.data.folds import grouped_folds
from edge_inspector.training.data.index_file import INDEX, Row
from edge_inspector.training.good.disturb import spoilt
from edge_inspector.training.good.source import Cutting, GoodSource, TaughtPicture
from edge_inspector.training.judging.evidence import TruePart, TrueView
from edge_inspector.training.judging.splits import folder_parts

LEAST_GOOD: Final = 8
DRAWN: Final = "drawn on "
"""Before the name of a good part that got drawn defects."""
_MOST: Final = 400
"""Good pictures that are learned from. More take longer and say little new."""
_DRAWN_SEED: Final = 1_000_003


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodReading:
    """How a folder is read. With `use_masks` its known defects are learned, too. `cache` is a folder for features."""

    frame: Cutting
    weights: Path | None
    cache: Path
    folds: int = 3
    learn_from: str = "train"
    group: str = ""
    use_masks: bool = False


class GoodTask:
    """The good pictures of a folder in grouped folds. Raises ConfigError if there are too few."""

    classes: tuple[str, ...] = (ANOMALY,)

    def __init__(self, folder: Folder, reading: GoodReading) -> None:
        self.folder, self.reading, self.learns_from = folder, reading, reading.learn_from
        self.name, self.channels = folder.root.name, reading.frame.channels
        self.shrink: int = reading.frame.shrink
        self.fill: Fill = reading.frame.fill
        self._rows: dict[str, list[Row]] = {}
        for row in folder.sure_rows(self.learns_from):
            self._rows.setdefault(row["image"], []).append(row)
        refuse_few(folder, sum(each[0]["label"] == "0" for each in self._rows.values()))
        self._folds = grouped_folds(folder, self.learns_from, reading.folds)
        self.folds = len(self._folds)

    @property
    def has_defects(self) -> bool:
        """Whether real defects judge it. Otherwise drawn ones do."""
        return any(rows[0]["label"] == "1" for rows in self._rows.values())

    def source(self, fold: int | None) -> GoodSource:
        """What is learned from: all but a fold."""
        held_out = frozenset[str]() if fold is None else self._folds[fold]
        kept = [rows for rows in self._rows.values() if self.folder.group_of(rows[0]) not in held_out]
        good = [self._picture(rows) for rows in kept if rows[0]["label"] == "0"]
        known = [self._picture(rows) for rows in kept if any(row["mask"] for row in rows) and rows[0]["label"] == "1"]
        reading = self.reading
        return GoodSource(
            good[:: max(1, -(-len(good) // _MOST))],
            known if reading.use_masks else [],
            frame=reading.frame,
            weights=reading.weights,
            cache=reading.cache,
        )

    def judged(self, fold: int) -> Iterable[TruePart]:
        """The parts of a fold, and after each good one the same with drawn defects: limits are chosen by these."""
        for part in folder_parts(self.folder, self.learns_from, self._folds[fold]):
            yield part
            if not part.defective:
                yield drawn_part(part)

    def split(self, name: str) -> Iterable[TruePart]:
        """The parts of a split. If it has no defective one, good ones with drawn defects stand for them."""
        bad = any(row["label"] == "1" for row in self.folder.sure_rows(name))
        for part in folder_parts(self.folder, name):
            yield part
            if not bad:
                yield drawn_part(part)

    def digest(self) -> str:
        """SHA-256 of everything that is learned from."""
        learned = {name: rows for name, rows in self._rows.items() if rows[0]["label"] == "0" or self.reading.use_masks}
        found = hashlib.sha256(json.dumps(learned, sort_keys=True).encode())
        for rows in learned.values():
            for name in dict.fromkeys(each[column] for each in rows for column in ("image", "mask") if each[column]):
                found.update(hashlib.sha256((self.folder.root / name).read_bytes()).digest())
        return found.hexdigest()

    def _picture(self, rows: list[Row]) -> TaughtPicture:
        def read() -> tuple[Image, Image]:
            entry: LabelledImage = self.folder.entry(rows)
            return entry.image, np.where(entry.classes > 0, np.uint8(255), np.uint8(0)).astype(np.uint8)

        return TaughtPicture(name=rows[0]["image"], group=self.folder.group_of(rows[0]), read=read)


def refuse_few(folder: Folder, good: int) -> None:
    """Raise ConfigError unless there are enough good parts."""
    if good < LEAST_GOOD:
        has = "no good picture" if not good else f"{good} good picture{'s' if good > 1 else ''}"
        what = f"has {has} to learn from: a model from good parts needs at least {LEAST_GOOD}, and 30 make a useful one"
        raise ConfigError([Fault(str(folder.root / INDEX), what)])


def drawn_part(part: TruePart) -> TruePart:
    """A good part with drawn defects. The same part always gets the same ones."""
    rng = np.random.default_rng([_DRAWN_SEED, *hashlib.sha256(part.name.encode()).digest()[:8]])
    views = []
    for view in part.views:
        image, cover = spoilt(view.image, rng)
        views.append(TrueView(image, (cover > 127).astype(np.uint8)))
    return TruePart(DRAWN + part.name, part.group, defective=True, views=views)
