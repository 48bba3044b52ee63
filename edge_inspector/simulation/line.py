"""The simulated line: the position of every part at every instant, its defects, and its pictures."""

from __future__ import annotations

import json
import random
import threading
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from edge_inspector.cameras.folder import Item, load_index
from edge_inspector.encoders.counter import Counter
from edge_inspector.records import Image
from edge_inspector.simulation.belt import Belt, Pause
from edge_inspector.simulation.tiles import MM_PER_PX, TileLine

_NEVER_NS = 1 << 62
DIM = 0.85
_FIRST_MM = 300.0  # length of belt before the first part


class Parts(Protocol):
    """The parts of a line: their pictures and their true defects."""

    def defective(self, part: int) -> bool:
        """Whether the part is truly defective."""

    def render(self, part: int, lane: int) -> Image | None:
        """The picture that the lane's camera takes of it, None if there is none."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One description, written by the demo and read by all its processes."""

    seed: int
    start_ns: int
    speed_mm_s: float
    pitch_mm: float
    part_length_mm: float
    parts: int
    lanes: int
    gate_mm: float
    counts_per_mm: float
    frames: str = ""
    distinct: int = 0  # this many parts repeat, drawn in advance: then a picture costs its camera nothing
    dim_from: int = -1  # from this part on a lamp is broken, and DIM of the light is left
    textures: str = ""  # of rendered parts, drawn once for all processes. Empty: each draws its own
    ripple: float = 0.01
    pauses: tuple[tuple[float, float], ...] = ()
    started_by: str = ""  # a file with the start time of the belt, once it exists. Then `start_ns` is ignored
    falling: bool = False  # the encoder's counter falls as the belt runs
    modulo: int = 0  # the counter restarts at 0 at this value. 0: 32 bits, signed

    @classmethod
    def read(cls, path: Path) -> Line:
        """The line in `path`."""
        table = json.loads(path.read_text())
        return cls(**{**table, "pauses": tuple((at, stand) for at, stand in table["pauses"])})

    def write(self, path: Path) -> None:
        """For other processes."""
        path.write_text(json.dumps(asdict(self), indent=1))

    @property
    def belt(self) -> Belt:
        """The motion of the belt. Read it again while the belt has not started."""
        return self._moving if self.started else self._belt(_NEVER_NS)

    @property
    def started(self) -> bool:
        """Whether the start time of the belt is known."""
        return not self.started_by or "_moving" in self.__dict__ or Path(self.started_by).exists()

    def start(self, at_ns: int) -> None:
        """Give all processes that read this line the start time of the belt."""
        told = Path(self.started_by)
        told.with_suffix(".new").write_text(str(at_ns))
        told.with_suffix(".new").rename(told)

    @cached_property
    def _moving(self) -> Belt:
        return self._belt(int(Path(self.started_by).read_text()) if self.started_by else self.start_ns)

    def _belt(self, start_ns: int) -> Belt:
        return Belt(
            start_ns, self.speed_mm_s, ripple=self.ripple, pauses=tuple(Pause(at, stand) for at, stand in self.pauses)
        )

    @cached_property
    def look(self) -> Parts:
        """The parts of the line."""
        if self.frames:
            parts: Parts = PictureParts(Path(self.frames), self.lanes)
        else:
            parts = _tile_parts(self.seed, self.lanes, Path(self.textures) if self.textures else None)
        if self.distinct:
            parts = RepeatedParts(parts, self.distinct)
        return parts if self.dim_from < 0 else DimmedParts(parts, self.dim_from)

    def eye_mm(self, part: int) -> float:
        """The belt position at which the part's leading edge meets the photo-eye. Parts lie up to 4 % off the pitch."""
        shift = random.Random(f"{self.seed}/{part}").uniform(-0.04, 0.04)
        return _FIRST_MM + (part + shift) * self.pitch_mm

    def part_at_gate(self, position_mm: float) -> int | None:
        """The part under the gate when the belt has moved this far. None if there is only belt."""
        along = position_mm - self.gate_mm
        nearest = round((along - _FIRST_MM) / self.pitch_mm)
        for part in (nearest - 1, nearest, nearest + 1):
            if 0 <= part < self.parts and abs(self.eye_mm(part) - along) < self.part_length_mm / 2:
                return part
        return None

    @property
    def counter(self) -> Counter:
        """The PLC's counter."""
        return Counter(0, self.modulo - 1, self.falling) if self.modulo else Counter(falling=self.falling)

    def counter_zero(self, boot: int) -> int:
        """The counter's start value when the PLC boots for the nth time: near its wrap, so that runs cross it."""
        return self.counter.shown(2**31 - 40_000 + 1_000_003 * (boot - 1))

    def raw_count(self, position_mm: float, zero: int) -> int:
        """The value of a counter that started at `zero`."""
        return self.counter.shown(self.counter.read(zero) + round(position_mm * self.counts_per_mm))


class TileParts:
    """Rendered ceramic tiles."""

    mm_per_px = MM_PER_PX

    def __init__(self, seed: int, lanes: int, textures: Path | None = None) -> None:
        self._tiles = TileLine(seed, lanes, textures=textures)

    def defective(self, part: int) -> bool:
        """Whether any defect was drawn."""
        return bool(self._tiles.defects(part))

    def render(self, part: int, lane: int) -> Image:
        """A picture of 256 x 256 px."""
        return self._tiles.render(part, lane)


class PictureParts:
    """Real pictures from a folder, in the order of its index, again and again. One part has `lanes` of them."""

    def __init__(self, folder: Path, lanes: int) -> None:
        self._items = load_index(folder)
        self._lanes = lanes

    def defective(self, part: int) -> bool:
        """Whether any of the part's pictures has a defect class or a mask that is not blank."""
        return any(_is_defective(self._item(part, lane)) for lane in range(self._lanes))

    def render(self, part: int, lane: int) -> Image | None:
        """The picture unchanged, grey or colour. None if the file is no picture."""
        picture = cv2.imread(str(self._item(part, lane).image), cv2.IMREAD_ANYCOLOR)
        return None if picture is None else np.asarray(picture, dtype=np.uint8)

    def _item(self, part: int, lane: int) -> Item:
        return self._items[(part * self._lanes + lane) % len(self._items)]


class RepeatedParts:
    """The first `distinct` parts of another line, again and again. Each picture is drawn once."""

    def __init__(self, parts: Parts, distinct: int) -> None:
        self._parts = parts
        self._distinct = distinct
        self._drawn: dict[tuple[int, int], Image | None] = {}

    def defective(self, part: int) -> bool:
        """As for the part that it repeats."""
        return self._parts.defective(part % self._distinct)

    def render(self, part: int, lane: int) -> Image | None:
        """The same array each time. It must not be changed."""
        key = part % self._distinct, lane
        if key not in self._drawn:
            self._drawn[key] = self._parts.render(*key)
        return self._drawn[key]


class DimmedParts:
    """Another line's parts, with less light from one part on."""

    def __init__(self, parts: Parts, dim_from: int) -> None:
        self._parts = parts
        self._dim_from = dim_from

    def defective(self, part: int) -> bool:
        """As in the other line: light does not change defects."""
        return self._parts.defective(part)

    def render(self, part: int, lane: int) -> Image | None:
        """The picture, darker if the lamp is broken."""
        picture = self._parts.render(part, lane)
        if picture is None or part < self._dim_from:
            return picture
        return np.asarray(cv2.convertScaleAbs(picture, alpha=DIM), np.uint8)


def _is_defective(item: Item) -> bool:
    if item.defect_class:
        return item.defect_class not in ("good", "free")
    if item.mask is None:
        return False
    mask = cv2.imread(str(item.mask), cv2.IMREAD_GRAYSCALE)
    return mask is not None and bool(mask.any())


_drawing = threading.Lock()


@lru_cache(maxsize=4)
def _loaded(seed: int, lanes: int, textures: Path | None) -> TileParts:
    return TileParts(seed, lanes, textures)


def _tile_parts(seed: int, lanes: int, textures: Path | None) -> TileParts:
    """The cameras of a process share one set of textures, drawn or loaded once."""
    with _drawing:
        return _loaded(seed, lanes, textures)


def camera_offset_mm(lane: int) -> float:
    """Cameras stand in two staggered rows, as their housings are wider than a lane."""
    return 300.0 + 250.0 * (lane % 2) + 10.0 * (lane // 2)
