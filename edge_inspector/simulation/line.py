"""The simulated line: the position of every part at every instant, its defects, and its pictures."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.cameras.folder import Item, load_index
from edge_inspector.inspection.counter import Counter
from edge_inspector.records import Image
from edge_inspector.simulation.belt import Belt, Pause
from edge_inspector.simulation.tiles import MM_PER_PX, TileLine
from edge_inspector.simulation.web import web_parts
from edge_inspector.store.whole_file import draft_of

_NEVER_NS = 1 << 62
DIM = 0.85
_FIRST_MM = 300.0  # length of belt before the first part
_PICTURES, _TIMES = "pictures.npy", "times.npy"
_GRID_NS = 1_000_000  # between two instants the belt is nearly even: the times are right to 0.001 ms


class PartLook(Protocol):
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
    distinct: int = 0  # this many parts repeat
    prepared: str = ""  # a folder with their pictures and times, made in advance: then they cost a camera nothing
    dim_from: int = -1  # from this part on a lamp is broken, and DIM of the light is left
    textures: str = ""  # of rendered parts, drawn once for all processes. Empty: each draws its own
    ripple: float = 0.01
    pauses: tuple[tuple[float, float], ...] = ()
    started_by: str = ""  # a file with the start time of the belt, once it exists. Then `start_ns` is ignored
    falling: bool = False  # the encoder's counter falls as the belt runs
    cameras_at_eye: bool = False  # the first camera announces the parts: it is where positions are measured from
    places_mm: tuple[float, ...] = ()  # the way from the photo-eye to each lane's picture, if it is not as usual
    fire_ports: tuple[int, ...] = ()  # the PLC fires each camera by count, with a datagram to its port
    grades: tuple[tuple[str, float], ...] = ()  # the gate of each grade: how far behind the first gate it is
    web: bool = False  # no parts: the pictures of a continuous web, one piece after the other
    modulo: int = 0  # the counter restarts at 0 at this value. 0: 32 bits, signed

    @classmethod
    def read(cls, path: Path) -> Line:
        """The line in `path`."""
        table = json.loads(path.read_text())
        pauses = tuple((at, stand) for at, stand in table["pauses"])
        listed = {name: tuple(table.get(name, ())) for name in ("places_mm", "fire_ports")}
        grades = tuple((name, way_mm) for name, way_mm in table.get("grades", ()))
        return cls(**{**table, "pauses": pauses, "grades": grades, **listed})

    def write(self, path: Path) -> None:
        """For other processes."""
        path.write_text(json.dumps(asdict(self), indent=1))

    @property
    def end_mm(self) -> float:
        """The way from the photo-eye to the last gate."""
        return self.gate_mm + max((way_mm for _, way_mm in self.grades), default=0.0)

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
        with draft_of(Path(self.started_by), synced=False) as draft:
            draft.write_text(str(at_ns))

    @cached_property
    def _moving(self) -> Belt:
        return self._belt(int(Path(self.started_by).read_text()) if self.started_by else self.start_ns)

    def _belt(self, start_ns: int) -> Belt:
        return Belt(
            start_ns, self.speed_mm_s, ripple=self.ripple, pauses=tuple(Pause(at, stand) for at, stand in self.pauses)
        )

    @cached_property
    def look(self) -> PartLook:
        """The parts of the line."""
        if self.prepared:
            parts: PartLook = PreparedParts(self._parts, self.distinct, Path(self.prepared))
        elif self.distinct:
            parts = RepeatedParts(self._parts(), self.distinct)
        else:
            parts = self._parts()
        return parts if self.dim_from < 0 else DimmedParts(parts, self.dim_from)

    def _parts(self) -> PartLook:
        if self.web:
            return web_parts(self.seed, self.pitch_mm, self.parts)
        if self.frames:
            return PictureParts(Path(self.frames), self.lanes)
        return _tile_parts(self.seed, self.lanes, Path(self.textures) if self.textures else None)

    def eye_mm(self, part: int) -> float:
        """The belt position at which the part's leading edge meets the photo-eye. Parts lie up to 4 % off the pitch."""
        if self.web:
            return _FIRST_MM + part * self.pitch_mm
        shift = random.Random(f"{self.seed}/{part}").uniform(-0.04, 0.04)
        return _FIRST_MM + (part + shift) * self.pitch_mm

    def captured_ns(self, part: int, lane: int, offset_mm: float) -> int:
        """When the camera, which is this far behind the photo-eye, takes the part's picture."""
        if self.prepared and self.started:
            return self._moving.start_ns + int(self._times_ns[lane, part])
        return self.belt.time_at(self.eye_mm(part) + offset_mm)

    def prepare(self, folder: Path, tiles: int = 1) -> None:
        """Write pictures and times for all processes that read this line with `prepared` set to the folder.

        Each picture is repeated `tiles` times in both directions, for a camera with many pixels.
        """
        folder.mkdir(exist_ok=True)
        pictures = [
            [self.look.render(part, lane) for lane in range(min(self.lanes, 2))] for part in range(self.distinct)
        ]
        np.save(folder / _PICTURES, np.tile(np.array(pictures, np.uint8), (1, 1, tiles, tiles, 1)))
        last_mm = self.eye_mm(self.parts - 1) + camera_offset_mm(self.lanes) + self.pitch_mm
        at_ns = np.arange(0, self._belt(0).time_at(last_mm) + _GRID_NS, _GRID_NS)
        moved_mm = [self._belt(0).position_mm(int(each)) for each in at_ns]
        eye_mm = np.array([self.eye_mm(part) for part in range(self.parts)])
        lanes = [np.interp(eye_mm + camera_offset_mm(lane), moved_mm, at_ns) for lane in range(self.lanes)]
        np.save(folder / _TIMES, np.array(lanes, np.int64))

    @cached_property
    def _times_ns(self) -> NDArray[np.int64]:
        return np.asarray(np.load(Path(self.prepared) / _TIMES, mmap_mode="r"))

    def offset_mm(self, lane: int) -> float:
        """The way from where positions are measured to the lane's camera."""
        if self.places_mm:
            return self.places_mm[lane]
        return camera_offset_mm(lane) - (camera_offset_mm(0) if self.cameras_at_eye else 0.0)

    def part_lying(self, at_ns: int) -> int:
        """The part that a person has put under the camera of a bench at this time."""
        passed = round((self.belt.position_mm(at_ns) - _FIRST_MM) / self.pitch_mm)
        return min(max(0, passed), self.parts - 1)

    def part_below(self, position_mm: float, offset_mm: float) -> int:
        """The part that is nearest to a camera when the belt has moved this far."""
        nearest = round((position_mm - offset_mm - _FIRST_MM) / self.pitch_mm)
        return min(max(0, nearest), self.parts - 1)

    def part_at_gate(self, position_mm: float) -> int | None:
        """The part under the gate when the belt has moved this far. None if there is only belt."""
        along = position_mm - self.gate_mm
        nearest = round((along - _FIRST_MM) / self.pitch_mm)
        if self.web:  # the gate always has web below it
            return nearest if 0 <= nearest < self.parts else None
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

    def __init__(self, parts: PartLook, distinct: int) -> None:
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


class PreparedParts:
    """As RepeatedParts, with pictures from a file that all processes share. They are in memory only once."""

    def __init__(self, parts: Callable[[], PartLook], distinct: int, folder: Path) -> None:
        self._parts = parts  # made only if somebody asks for the truth
        self._distinct = distinct
        pictures = np.load(folder / _PICTURES, mmap_mode="c")  # a runtime copies what it may not write into
        self._pictures = [[np.asarray(picture) for picture in lanes] for lanes in pictures]

    def defective(self, part: int) -> bool:
        """As for the part that it repeats."""
        return self._truth[part % self._distinct]

    @cached_property
    def _truth(self) -> list[bool]:
        parts = self._parts()
        return [parts.defective(part) for part in range(self._distinct)]

    def render(self, part: int, lane: int) -> Image:
        """A view of the shared memory. Lanes of the same parity see the same."""
        of_lanes = self._pictures[part % self._distinct]
        return of_lanes[lane % len(of_lanes)]


class DimmedParts:
    """Another line's parts, with less light from one part on."""

    def __init__(self, parts: PartLook, dim_from: int) -> None:
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
