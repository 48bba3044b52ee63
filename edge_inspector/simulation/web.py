"""A simulated web: an endless grey cloth with spots on it, some of them where two pieces meet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from edge_inspector.records import Image

_WIDTH_PX: Final = 400  # of each camera. A pixel is a millimetre
_LANES_MM: Final = (0.0, 380.0)  # where the pictures of the cameras begin across the web
_WEB_MM: Final = 780.0
_OVERLAP_MM: Final = 100.0  # of the area camera's pictures
_APART_MM: Final = 170.0  # about, from defect to defect along the web
_LEAST_MM: Final = 5.0
_NEAR_MM: Final = 40.0
_CLOTH: Final = 118
_SPOT: Final = 205


@dataclass(frozen=True, slots=True, kw_only=True)
class WebDefect:
    """One spot: a rectangle on the web, from where its first piece begins."""

    from_mm: float
    to_mm: float
    left_mm: float
    right_mm: float
    at_seam: bool

    @property
    def along_mm(self) -> float:
        """Its middle along the web."""
        return (self.from_mm + self.to_mm) / 2

    @property
    def across_mm(self) -> float:
        """Its middle across the web."""
        return (self.left_mm + self.right_mm) / 2

    def is_near(self, along_mm: float, across_mm: float, error_mm: float = 0.0) -> bool:
        """Whether a mark there, or up to `error_mm` from there, can be this defect."""
        return abs(along_mm - self.along_mm) < _NEAR_MM + error_mm and abs(across_mm - self.across_mm) < _NEAR_MM


class WebParts:
    """The pictures of a web of `pieces` pieces. Lane 0 is an area camera, lane 1 a line camera."""

    def __init__(self, seed: int, piece_mm: float, pieces: int) -> None:
        self._piece_mm = piece_mm
        rng = np.random.default_rng(seed)
        self._noise = rng.integers(0, 12, (1024, _WIDTH_PX), np.uint8)
        self.defects = _drawn(rng, piece_mm, min(pieces, 20_000))
        self._at = np.array([defect.from_mm for defect in self.defects])

    def defective(self, part: int) -> bool:
        """Whether a picture of the piece, with the web that is seen before or behind it, shows enough of a defect."""
        return self.shows(part * self._piece_mm)

    def shows(self, piece_mm: float, least_mm: float = _LEAST_MM) -> bool:
        """Whether a picture of the piece that begins here shows enough of a defect: `least_mm` along and across."""
        return any(
            min(end, each.to_mm) - max(begin, each.from_mm) >= least_mm
            and min(left + _WIDTH_PX, each.right_mm) - max(left, each.left_mm) >= least_mm
            for lane, left in enumerate(_LANES_MM)
            for begin, end in (self._span_mm(piece_mm, lane, joined=True),)
            for each in self._between(begin, end)
        )

    def render(self, part: int, lane: int) -> Image:
        """The picture that the lane's camera takes of this piece, grey."""
        begin, end = self._span_mm(part * self._piece_mm, lane)
        rows = round(end - begin)
        shift = (part * 131 + lane * 37) % (self._noise.shape[0] - rows)
        picture = np.asarray(self._noise[shift : shift + rows] + np.uint8(_CLOTH), np.uint8)
        for each in self._between(begin, end):
            top, bottom = (round(max(0.0, at - begin)) for at in (each.from_mm, each.to_mm))
            left, right = (round(max(0.0, at - _LANES_MM[lane])) for at in (each.left_mm, each.right_mm))
            picture[top:bottom, left:right] = _SPOT
        return picture

    def _span_mm(self, begin: float, lane: int, *, joined: bool = False) -> tuple[float, float]:
        if lane == 0:
            return begin, begin + self._piece_mm + _OVERLAP_MM
        return max(0.0, begin - (60.0 if joined else 0.0)), begin + self._piece_mm

    def _between(self, begin: float, end: float) -> list[WebDefect]:
        first, last = np.searchsorted(self._at, (begin - _NEAR_MM - 20, end))
        return list(self.defects[int(first) : int(last)])


@lru_cache(maxsize=4)
def web_parts(seed: int, piece_mm: float, pieces: int) -> WebParts:
    """The web. Drawn once in a process."""
    return WebParts(seed, piece_mm, pieces)


def _drawn(rng: np.random.Generator, piece_mm: float, pieces: int) -> tuple[WebDefect, ...]:
    """Few pieces have a defect, and every third defect lies across a seam."""
    found: list[WebDefect] = []
    at = piece_mm / 2
    while at < pieces * piece_mm:
        at += float(rng.uniform(2 * _APART_MM, 14 * _APART_MM))
        at_seam = len(found) % 3 == 2
        if at_seam:
            at = (at // piece_mm + 1) * piece_mm + float(rng.uniform(-6.0, 6.0))
        long, wide = rng.uniform(10.0, 26.0), rng.uniform(8.0, 26.0)
        left = float(rng.uniform(2.0, _WEB_MM - wide - 2.0))
        found.append(
            WebDefect(
                from_mm=round(at - long / 2),
                to_mm=round(at + long / 2),
                left_mm=round(left),
                right_mm=round(left + wide),
                at_seam=at_seam,
            )
        )
    return tuple(found)
