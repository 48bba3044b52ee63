"""What a first stage may clear, and what it costs and saves. Needs no training library.

Both stages look at the same frames. A part that the second stage rejects stays rejected if the first one lets through a
frame that alone suffices for it. So each such part has one score: the highest value of the first stage in those frames.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.inspection.promise import RejectPromise, promised_by
from edge_inspector.training.data.folder import Image
from edge_inspector.training.judging.evidence import Predict, TruePart, largest_region
from edge_inspector.training.judging.limits import Limit

SURE: Final = 0.95
"""How sure the promise is."""
_SPARE: Final = 0.01
"""Share of the good frames for which the limit is lowered below what the promise needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What both stages make of each frame of some parts.

    - `part`: the number of its part [frames].
    - `rejects`: the second stage finds enough in it to reject the part [frames].
    - `looks`: the highest mask value of the first stage, 0..255, for each way to run it [frames, ways].
    - `defective`, `names`: of each part [parts].
    """

    part: NDArray[np.intp]
    rejects: NDArray[np.bool_]
    looks: NDArray[np.uint8]
    defective: NDArray[np.bool_]
    names: NDArray[np.str_]

    @property
    def rejected(self) -> NDArray[np.bool_]:
        """Which parts the second stage rejects alone [parts]."""
        return self._any(self.rejects)

    def rejected_by_both(self, level: int, way: int) -> NDArray[np.bool_]:
        """Which parts are still rejected if frames below `level` are cleared [parts]."""
        return self._any(self.rejects & (self.looks[:, way] >= level))

    def scores(self) -> NDArray[np.uint8]:
        """Of each part the highest level at which it is still rejected, by the worst way [parts]. 0 if it never is."""
        found = np.zeros((len(self.defective), self.looks.shape[1]), np.uint8)
        np.maximum.at(found, self.part[self.rejects], self.looks[self.rejects])
        return np.asarray(found.min(axis=1), np.uint8)

    def _any(self, frames: NDArray[np.bool_]) -> NDArray[np.bool_]:
        found = np.zeros(len(self.defective), np.bool_)
        found[self.part[frames]] = True
        return found


def look_at(
    parts: Iterable[TruePart], second: Predict, firsts: Sequence[Predict], *, limits: Sequence[Limit], stride: int
) -> Sight:
    """Run the second stage once and the first one in several ways. `limits` and `stride` are the second stage's."""
    part, rejects, looks, defective, names = [], [], [], [], []
    for number, each in enumerate(parts):
        defective.append(each.defective)
        names.append(each.name)
        for view in each.views:
            part.append(number)
            rejects.append(_suffices(second(view.image), limits, stride))
            looks.append([int(first(view.image).max(initial=0)) for first in firsts])
    if not names:
        raise ConfigError([Fault("DATA", "has no part to judge by")])
    return Sight(
        part=np.array(part),
        rejects=np.array(rejects, np.bool_),
        looks=np.array(looks, np.uint8),
        defective=np.array(defective, np.bool_),
        names=np.array(names),
    )


def _suffices(mask: Image, limits: Sequence[Limit], stride: int) -> bool:
    """Whether a mask has a region that rejects its part, by the rule of `evidence`."""
    for plane, limit in zip(mask, limits, strict=True):
        sure = plane >= limit.min_confidence * 255.0
        if sure.any() and largest_region(sure.astype(np.uint8)) * stride**2 >= limit.min_area_px:
            return True
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearingLimit:
    """Frames whose highest value is below `level` are cleared. `parts` defective parts vouch for `clears`."""

    level: int
    parts: int
    clears: float

    @property
    def suspicion(self) -> float:
        """The same for the driver, between two mask values, so that no rounding moves it."""
        return round((self.level - 0.5) / 255.0, 4)


def choose_level(seen: Sight, clears: float, name: str) -> ClearingLimit:
    """The lowest level that clears nearly as many good frames as the highest safe one. Raises ConfigError if none is.

    Safe is a level that clears at most the share `clears` of the defective parts that the second stage rejects. `name`
    is that of the second stage. `seen` must be of parts that the first stage did not learn from.
    """
    vouching = seen.defective & seen.rejected
    scores = np.sort(seen.scores()[vouching])
    promise = RejectPromise(clears, SURE)
    may = promise.may_reject(len(scores))
    if may is None:
        can = f"they can promise {promised_by(len(scores), SURE):.3f}" if len(scores) else "nothing can be promised"
        what = (
            f"{len(scores)} defective parts are held out that {name} rejects: {can}, and --clears {clears:g} needs "
            f"{promise.fewest}. Add defective parts, or raise --clears"
        )
        raise ConfigError([Fault("DATA", what)])
    safe = int(scores[may])
    good = seen.looks[~seen.defective[seen.part]].max(axis=1)
    if not len(good):
        raise ConfigError([Fault("DATA", "no good part is held out: nothing shows what would be cleared")])
    cleared = np.array([float((good < level).mean()) for level in range(safe + 1)])
    level = int(np.argmax(cleared >= cleared[-1] - _SPARE))
    if not cleared[level]:
        worst = seen.names[vouching][seen.scores()[vouching] == safe][0]
        what = (
            f"no limit is safe: the first stage sees as little in {worst} as in the good parts. Train longer (--steps)"
        )
        raise ConfigError([Fault("--clears", what)])
    return ClearingLimit(level=level, parts=len(scores), clears=clears)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """What one way to run a first stage does on some parts. Shares are of 1, times in ms per frame of one thread."""

    frames: int
    cleared: float
    good_cleared: float
    parts: int
    defective: int
    rejected: int
    escapes_added: int
    escaped: tuple[str, ...]
    good: int
    false_rejects: int
    false_rejects_removed: int
    ms_first: float
    ms_second: float

    @property
    def ms_saved(self) -> float:
        """Per frame of these parts. Negative if the first stage costs more than it saves."""
        return self.cleared * self.ms_second - self.ms_first

    def row(self) -> dict[str, object]:
        """For a [[scores]] table."""
        names = ("frames", "cleared", "good_cleared", "parts", "defective", "rejected", "escapes_added", "good")
        found = {name: getattr(self, name) for name in (*names, "false_rejects", "false_rejects_removed")}
        times = {name: getattr(self, name) for name in ("ms_first", "ms_second", "ms_saved")}
        return {name: round(value, 4) for name, value in found.items()} | {
            name: round(value, 3) for name, value in times.items()
        }

    def lines(self) -> Iterable[str]:
        """The figures as text."""
        yield f"cleared: {self.cleared:.3f} of {self.frames} frames, {self.good_cleared:.3f} of those of good parts"
        named = f" ({', '.join(self.escaped[:5])})" if self.escaped else ""
        yield f"escapes added: {self.escapes_added} of the {self.rejected} defective parts that are rejected{named}"
        yield f"false rejects removed: {self.false_rejects_removed} of {self.false_rejects}, of {self.good} good parts"
        both = self.ms_second - self.ms_saved
        yield (
            f"ms per frame: {self.ms_second:.2f} alone, {both:.2f} with the first stage, which takes "
            f"{self.ms_first:.2f}: {self.ms_saved:.2f} saved"
        )


def cleared(seen: Sight, level: int, way: int, ms: tuple[float, float]) -> Cleared:
    """The figures of one way. `ms` are the times of the first and of the second stage per frame."""
    alone, both = seen.rejected, seen.rejected_by_both(level, way)
    bad, gone = seen.defective, seen.looks[:, way] < level
    of_good = gone[~bad[seen.part]]
    return Cleared(
        frames=len(gone),
        cleared=float(gone.mean()),
        good_cleared=float(of_good.mean()) if len(of_good) else 0.0,
        parts=len(bad),
        defective=int(bad.sum()),
        rejected=int((bad & alone).sum()),
        escapes_added=int((bad & alone & ~both).sum()),
        escaped=tuple(str(name) for name in seen.names[bad & alone & ~both]),
        good=int((~bad).sum()),
        false_rejects=int((~bad & alone).sum()),
        false_rejects_removed=int((~bad & alone & ~both).sum()),
        ms_first=ms[0],
        ms_second=ms[1],
    )
