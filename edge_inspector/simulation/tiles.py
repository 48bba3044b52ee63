"""The rendered tile line: ceramic planks with known defects, as seen by cameras above a belt.

Each plank is 200 mm long in the belt's direction and `lanes` x 200 mm wide. The camera of a lane sees 204.8 mm square.
So 2.4 mm of belt show before and behind the plank (on outer lanes also beside it), and neighbouring lanes overlap by
4.8 mm. Image rows run along the belt (row 0 is the leading edge), columns across it.

Everything is a pure function of (seed, part, lane, lanes), so two processes see the same plank.
"""

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]
Field: TypeAlias = NDArray[np.float32]

CLASSES: tuple[str, ...] = ("crack", "scratch", "stain", "chip", "colour")
MM_PER_PX: Final = 0.8
SIZE_PX: Final = 256
LENGTH_MM: Final = 200.0
MARGIN_MM: Final = (SIZE_PX * MM_PER_PX - LENGTH_MM) / 2

_MARGIN_PX: Final = round(MARGIN_MM / MM_PER_PX)
_ATLAS_PX: Final = 2048
_BANK_PX: Final = 1024
_LIGHTS: Final = 32
# A light field stores 1.0 as 200, which leaves room for its bright side in eight bits.
_LIGHT_UNIT: Final = 200.0
_NOISE_LIFT: Final = 16.0
_BELT_BGR: Final = (30.0, 29.0, 27.0)
# One product, one glaze: seeds differ in texture, defects and light, not in the product.
_GLAZE_BGR: Final = (186.0, 197.0, 203.0)
_BODY_BGR: Final = (128.0, 158.0, 184.0)
# Sub-pixel bits of OpenCV's drawing calls. With them, both lanes of an overlap draw exactly the same line.
_SHIFT: Final = 4

# Random streams of one part. A lane's own stream starts at _LANE.
_DEFECTS, _LOOK, _LANE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class TileDefect:
    """One true defect: x along the belt from the plank's leading edge, y across from its left side."""

    kind: str
    _: KW_ONLY
    x_mm: float
    y_mm: float
    size_mm: float
    angle_rad: float
    strength: float
    shape_seed: int


class TileLine:
    """An endless line of planks, rendered on demand from any thread."""

    def __init__(self, seed: int, lanes: int, defect_rate: float = 0.15, textures: Path | None = None) -> None:
        """With `textures`, a file that `write_textures` made for this seed, nothing is drawn at the start."""
        self.seed = seed
        self.lanes = lanes
        self.defect_rate = defect_rate
        if textures is None:
            self._atlas, self._lights, self._noise = _atlas(seed), _lights(seed), _noise_bank(seed)
        else:
            with np.load(textures) as found:
                self._atlas, self._lights, self._noise = found["atlas"], tuple(found["lights"]), found["noise"]

    @property
    def width_mm(self) -> float:
        """Width across the belt, all lanes together."""
        return self.lanes * LENGTH_MM

    def defects(self, part: int) -> tuple[TileDefect, ...]:
        """The defects of this part, without rendering it. Empty for a good one."""
        rng = np.random.default_rng((self.seed, part, _DEFECTS))
        if rng.random() >= self.defect_rate:
            return ()
        count = int(rng.choice((1, 2, 3), p=(0.75, 0.2, 0.05)))
        return tuple(self._defect(rng) for _ in range(count))

    def render(self, part: int, lane: int) -> Image:
        """The lane's camera frame of this part, BGR."""
        look = np.random.default_rng((self.seed, part, _LOOK))
        frame = self._plank(look, lane)
        for defect in self.defects(part):
            if self._in_view(defect, lane):
                frame = self._paint(frame, defect, lane)
        self._lay_on_belt(frame, lane)
        return self._photograph(frame, np.random.default_rng((self.seed, part, _LANE + lane)), look.uniform(0.93, 1.07))

    def truth(self, part: int, lane: int) -> Image:
        """Class index per pixel of the lane's frame: 0 good, otherwise 1 + the index in CLASSES."""
        mask = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
        for defect in self.defects(part):
            if self._in_view(defect, lane):
                mask[self._visible(defect, lane)] = 1 + CLASSES.index(defect.kind)
        self._lay_on_belt(mask, lane, belt=0)
        return mask

    def _defect(self, rng: np.random.Generator) -> TileDefect:
        kind = CLASSES[int(rng.integers(len(CLASSES)))]
        low, high = _SIZES_MM[kind]
        # Log-uniform, because small defects are the common ones.
        size = math.exp(rng.uniform(math.log(low), math.log(high)))
        x, y = rng.uniform(10.0, LENGTH_MM - 10.0), rng.uniform(10.0, self.width_mm - 10.0)
        if kind == "chip":
            x, y = self._to_edge(x, y, int(rng.integers(4)))
        angle, strength = rng.uniform(0.0, 2.0 * math.pi), rng.uniform(0.0, 1.0)
        return TileDefect(
            kind, x_mm=x, y_mm=y, size_mm=size, angle_rad=angle, strength=strength, shape_seed=int(rng.integers(2**31))
        )

    def _to_edge(self, x: float, y: float, edge: int) -> tuple[float, float]:
        return ((0.0, y), (LENGTH_MM, y), (x, 0.0), (x, self.width_mm))[edge]

    def _in_view(self, defect: TileDefect, lane: int) -> bool:
        centre = (lane + 0.5) * LENGTH_MM
        return abs(defect.y_mm - centre) < LENGTH_MM / 2 + MARGIN_MM + defect.size_mm

    def _alpha(self, defect: TileDefect, lane: int) -> Field:
        """How much the defect covers each pixel, 0..1."""
        centre = np.array((defect.y_mm - lane * LENGTH_MM + MARGIN_MM, defect.x_mm + MARGIN_MM)) / MM_PER_PX
        canvas = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
        _SHAPES[defect.kind](canvas, centre, defect, np.random.default_rng(defect.shape_seed))
        return np.asarray(canvas, np.float32) / np.float32(255.0)

    def _visible(self, defect: TileDefect, lane: int) -> NDArray[np.bool_]:
        covered = np.asarray(self._alpha(defect, lane) > _VISIBLE[defect.kind], np.uint8)
        if defect.kind in {"crack", "scratch"}:
            # A line of one pixel vanishes in a mask at half resolution. The annotator's pen is wider, too.
            covered = np.asarray(cv2.dilate(covered, np.ones((3, 3), np.uint8)), np.uint8)
        return covered > 0

    def _paint(self, frame: Image, defect: TileDefect, lane: int) -> Image:
        alpha = self._alpha(defect, lane)[:, :, np.newaxis]
        glaze = frame.astype(np.float32)
        if defect.kind == "chip":
            return _broken(glaze, alpha, defect)
        painted = glaze + alpha * (_COATS[defect.kind](glaze, defect) - glaze)
        return np.asarray(np.clip(painted, 0.0, 255.0), np.uint8)

    def _plank(self, look: np.random.Generator, lane: int) -> Image:
        """The lane's crop of the marble. Turn and shift are the same for the whole plank."""
        angle, scale = look.uniform(0.0, 2.0 * math.pi), look.uniform(0.85, 1.15)
        x, y = look.uniform(0.0, _ATLAS_PX, 2)
        cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
        offset = lane * LENGTH_MM / MM_PER_PX
        # Moved by whole atlases, so that the crop starts inside. The atlas itself is periodic.
        matrix = np.array(((cos, -sin, (x + cos * offset) % _ATLAS_PX), (sin, cos, (y + sin * offset) % _ATLAS_PX)))
        size = (SIZE_PX, SIZE_PX)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(self._atlas, matrix, size, flags=flags, borderMode=cv2.BORDER_WRAP), np.uint8)

    def _lay_on_belt(self, frame: Image, lane: int, belt: int | None = None) -> None:
        """Cover the area beyond the plank's edges with belt, in place."""
        edges = [(slice(0, _MARGIN_PX), slice(None)), (slice(SIZE_PX - _MARGIN_PX, None), slice(None))]
        if lane == 0:
            edges.append((slice(None), slice(0, _MARGIN_PX)))
        if lane == self.lanes - 1:
            edges.append((slice(None), slice(SIZE_PX - _MARGIN_PX, None)))
        for rows, columns in edges:
            frame[rows, columns] = _BELT_BGR if belt is None else belt

    def _photograph(self, scene: Image, rng: np.random.Generator, part_gain: float) -> Image:
        gain = part_gain * rng.uniform(0.92, 1.07)
        row, column = rng.integers(_BANK_PX - SIZE_PX, size=2)
        noise = self._noise[row : row + SIZE_PX, column : column + SIZE_PX]
        lit = cv2.multiply(scene, self._lights[int(rng.integers(_LIGHTS))], scale=gain / _LIGHT_UNIT)
        return np.asarray(cv2.addWeighted(lit, 1.0, noise, 1.0, -_NOISE_LIFT), np.uint8)


def write_textures(path: Path, seed: int) -> None:
    """Draw the textures and write them. This takes seconds, so it is done once for all processes of a line."""
    np.savez(path, atlas=_atlas(seed), lights=np.stack(_lights(seed)), noise=_noise_bank(seed))


def _smooth_noise(rng: np.random.Generator, size: int, *, low: float, high: float, slope: float) -> Field:
    """Periodic noise of unit variance with features between 1/high and 1/low pixels, falling by `slope`."""
    rows, columns = np.fft.fftfreq(size)[:, np.newaxis], np.fft.rfftfreq(size)[np.newaxis, :]
    frequency = np.hypot(rows.astype(np.float32), columns.astype(np.float32))
    frequency[0, 0] = 1.0
    gain = frequency**-slope * (frequency > low) * np.exp(-((frequency / high) ** 2))
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size), dtype=np.float32)) * gain, s=(size, size))
    return np.asarray(noise / noise.std(), np.float32)


def _veins(rng: np.random.Generator, low: float, high: float, width: float) -> Field:
    """Soft curved bands where a noise crosses zero, 0..1. They fade in and out along their length."""
    crossing = np.abs(_smooth_noise(rng, _ATLAS_PX, low=low, high=high, slope=1.6)) / width
    presence = np.clip(_smooth_noise(rng, _ATLAS_PX, low=1 / 2000, high=1 / 250, slope=1.0), 0.0, 1.5) / 1.5
    return np.asarray(np.exp(-(crossing**2)) * presence, np.float32)


@lru_cache(maxsize=16)
def _atlas(seed: int) -> Image:
    """Marble of 1.6 m square, periodic, at the cameras' resolution."""
    rng = np.random.default_rng((seed, 101))
    cloud = _smooth_noise(rng, _ATLAS_PX, low=1 / 2000, high=1 / 60, slope=1.3)
    grain = _smooth_noise(rng, _ATLAS_PX, low=1 / 40, high=1 / 2.5, slope=0.3)
    tint = _smooth_noise(rng, _ATLAS_PX, low=1 / 2000, high=1 / 200, slope=1.0)
    wide, narrow = _veins(rng, 1 / 1500, 1 / 40, 0.10), _veins(rng, 1 / 900, 1 / 25, 0.05)
    tone = 6.0 * cloud + 1.8 * grain - 34.0 * wide - 30.0 * narrow
    blue, green, red = _GLAZE_BGR
    channels = [blue + tone - 2.5 * tint + 5.0 * wide, green + tone, red + tone + 2.0 * tint - 2.0 * wide]
    return np.asarray(np.clip(np.stack(channels, axis=-1), 0.0, 255.0), np.uint8)


@lru_cache(maxsize=16)
def _lights(seed: int) -> tuple[Image, ...]:
    """Light fields: a tilt in some direction, and the lens's darker corners."""
    rng = np.random.default_rng((seed, 102))
    across = np.linspace(-1.0, 1.0, SIZE_PX)
    x, y = np.meshgrid(across, across)
    fields = []
    for _ in range(_LIGHTS):
        angle, tilt = rng.uniform(0.0, 2.0 * math.pi), rng.uniform(0.0, 0.08)
        field = 1.0 + tilt * (x * math.cos(angle) + y * math.sin(angle)) - rng.uniform(0.0, 0.04) * (x**2 + y**2)
        fields.append(np.repeat((field * _LIGHT_UNIT).astype(np.uint8)[:, :, np.newaxis], 3, axis=2))
    return tuple(fields)


@lru_cache(maxsize=16)
def _noise_bank(seed: int) -> Image:
    rng = np.random.default_rng((seed, 103))
    noise = rng.normal(_NOISE_LIFT, 2.2, (_BANK_PX, _BANK_PX, 3))
    return np.clip(np.rint(noise), 0, 255).astype(np.uint8)


Point: TypeAlias = NDArray[np.float64]


def _walk(rng: np.random.Generator, start: Point, *, angle: float, length_px: float, bend: float) -> Point:
    """A wandering line of points, (n, 2) as column and row."""
    step = 2.5
    steps = max(2, round(length_px / step))
    headings = angle + np.cumsum(rng.normal(0.0, bend, steps))
    moves = np.stack((np.cos(headings), np.sin(headings)), axis=1) * step
    return np.asarray(start + np.concatenate((np.zeros((1, 2)), np.cumsum(moves, axis=0))))


def _line(canvas: Image, points: Point, value: int, thickness: int) -> None:
    fixed = np.rint(points * (1 << _SHIFT)).astype(np.int32)
    cv2.polylines(canvas, [fixed], isClosed=False, color=value, thickness=thickness, lineType=cv2.LINE_AA, shift=_SHIFT)


def _draw_crack(canvas: Image, centre: Point, defect: TileDefect, rng: np.random.Generator) -> None:
    """Draw two arms from the middle, and thinner branches off them."""
    arm_px = defect.size_mm / 2 / MM_PER_PX
    thickness = 1 + int(rng.random() < defect.size_mm / 90.0)
    for heading in (defect.angle_rad, defect.angle_rad + math.pi):
        arm = _walk(rng, centre, angle=heading, length_px=arm_px, bend=0.22)
        _line(canvas, arm, 255, thickness)
        for _ in range(int(rng.integers(0, 3)) if defect.size_mm > _BRANCHING_MM else 0):
            fork = arm[int(rng.integers(len(arm)))]
            turn = heading + rng.choice((-1.0, 1.0)) * rng.uniform(0.4, 1.0)
            _line(canvas, _walk(rng, fork, angle=turn, length_px=arm_px * rng.uniform(0.2, 0.5), bend=0.22), 230, 1)


def _draw_scratch(canvas: Image, centre: Point, defect: TileDefect, rng: np.random.Generator) -> None:
    """Draw one nearly straight stroke, now and then with a second one beside it."""
    length_px = defect.size_mm / MM_PER_PX
    along = np.array((math.cos(defect.angle_rad), math.sin(defect.angle_rad)))
    across = np.array((-along[1], along[0]))
    reach = np.linspace(-0.5, 0.5, 24)[:, np.newaxis]
    bow = rng.uniform(-0.06, 0.06) * (0.25 - reach**2) * 4.0
    stroke = centre + length_px * (reach * along + bow * across)
    _line(canvas, stroke, 255, 1 + int(rng.random() < _WIDE_STROKES))
    if rng.random() < _DOUBLE_STROKES:
        _line(canvas, stroke[4:-5] + across * rng.uniform(3.0, 6.0), 220, 1)


def _draw_blob(canvas: Image, centre: Point, defect: TileDefect, rng: np.random.Generator) -> None:
    """Draw a lumpy patch with soft borders."""
    radius = defect.size_mm / 2 / MM_PER_PX
    turn = np.linspace(0.0, 2.0 * math.pi, 48, endpoint=False)
    waves = sum(rng.uniform(-1.0, 1.0) / k * np.sin(k * turn + rng.uniform(0.0, 6.3)) for k in range(2, 6))
    reach = radius * (0.85 + 0.18 * waves)
    squeeze = rng.uniform(0.6, 1.0)
    local = np.stack((np.cos(turn) * reach, np.sin(turn) * reach * squeeze), axis=1)
    cos, sin = math.cos(defect.angle_rad), math.sin(defect.angle_rad)
    outline = centre + local @ np.array(((cos, sin), (-sin, cos)))
    fixed = np.rint(outline * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(canvas, [fixed], 255, lineType=cv2.LINE_AA, shift=_SHIFT)
    softness = radius * (0.12 if defect.kind == "stain" else 0.22)
    cv2.GaussianBlur(canvas, (0, 0), max(0.8, softness), dst=canvas)


def _draw_chip(canvas: Image, centre: Point, defect: TileDefect, rng: np.random.Generator) -> None:
    """Draw a ragged bite. The belt covers its half beyond the plank's edge."""
    radius = defect.size_mm / 2 / MM_PER_PX
    turn = np.linspace(0.0, 2.0 * math.pi, 22, endpoint=False)
    reach = radius * rng.uniform(0.75, 1.05, turn.size)
    outline = centre + np.stack((np.cos(turn) * reach, np.sin(turn) * reach), axis=1)
    fixed = np.rint(outline * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(canvas, [fixed], 255, lineType=cv2.LINE_AA, shift=_SHIFT)


def _broken(glaze: Field, alpha: Field, defect: TileDefect) -> Image:
    """Missing material: belt in the middle, and the pale ceramic body along the fracture."""
    rim_px = 2.0 + 3.0 * defect.strength
    inside = np.asarray(cv2.distanceTransform((alpha > 0.5).astype(np.uint8), cv2.DIST_L2, 3), np.float32)
    fracture = np.clip(1.2 - inside / np.float32(rim_px), 0.0, 1.0)[:, :, np.newaxis]
    belt, body = np.asarray(_BELT_BGR, np.float32), np.asarray(_BODY_BGR, np.float32)
    gap = belt + fracture * (body - belt)
    return np.asarray(np.clip(glaze + alpha * (gap - glaze), 0.0, 255.0), np.uint8)


def _crack_coat(glaze: Field, defect: TileDefect) -> Field:
    return glaze * np.float32(0.50 - 0.25 * defect.strength)


def _scratch_coat(glaze: Field, defect: TileDefect) -> Field:
    return glaze + np.float32(36.0 + 24.0 * defect.strength)


def _stain_coat(glaze: Field, defect: TileDefect) -> Field:
    # Oil and rust darken blue most, so the stain looks brown.
    share = np.float32(0.6 + 0.4 * defect.strength)
    return glaze * (np.float32(1.0) - share * np.array((0.42, 0.36, 0.30), np.float32))


def _colour_coat(glaze: Field, defect: TileDefect) -> Field:
    # The angle serves as the hue: a firing fault may have any colour, at constant brightness.
    turn = defect.angle_rad + np.array((0.0, 2.0, 4.0)) * math.pi / 3.0
    return glaze + np.asarray(np.cos(turn), np.float32) * np.float32(17.0 + 11.0 * defect.strength)


_SIZES_MM: Final = {
    "crack": (14.0, 140.0),
    "scratch": (16.0, 150.0),
    "stain": (8.0, 50.0),
    "chip": (8.0, 32.0),
    "colour": (26.0, 110.0),
}
_BRANCHING_MM: Final = 30.0
_WIDE_STROKES: Final = 0.4
_DOUBLE_STROKES: Final = 0.2
# From this cover on, a person would mark the pixel.
_VISIBLE: Final = {"crack": 0.3, "scratch": 0.3, "stain": 0.4, "chip": 0.5, "colour": 0.4}
_SHAPES: Final[dict[str, Callable[[Image, Point, TileDefect, np.random.Generator], None]]] = {
    "crack": _draw_crack,
    "scratch": _draw_scratch,
    "stain": _draw_blob,
    "chip": _draw_chip,
    "colour": _draw_blob,
}
_COATS: Final[dict[str, Callable[[Field, TileDefect], Field]]] = {
    "crack": _crack_coat,
    "scratch": _scratch_coat,
    "stain": _stain_coat,
    "colour": _colour_coat,
}
