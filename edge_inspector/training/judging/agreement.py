"""How well a station agrees with what parts are known to be, and with itself, from many runs of the same parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_inspector.codes import Decision

_RESAMPLES: Final = 1000
_FEW: Final = 2  # with fewer runs or parts there is no interval

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Rating:
    """What the station said of one part in one run, which `who` began. `bad` is what the part is known to be."""

    part: str
    bad: bool
    decision: Decision
    who: str
    run: int

    @property
    def right(self) -> bool:
        """Whether the station said what the part is. A part that was not inspected is never right."""
        return self.decision is (Decision.REJECT if self.bad else Decision.ACCEPT)


@dataclass(frozen=True, slots=True)
class Share:
    """A count of many, with an interval of 95 %."""

    some: int
    of: int
    interval: Interval

    @property
    def rate(self) -> float:
        """The share. nan of nothing."""
        return self.some / self.of if self.of else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """The figures of a study. `kappa` and `between_runs` are nan if nothing but one answer was possible.

    `repeatability`: of the parts that a person put through at least twice, those with the same decision each time.
    `reproducibility`: the same over all runs of all people.
    """

    parts: int
    runs: int
    misses: Share
    false_alarms: Share
    kappa: float
    kappa_95: Interval
    between_runs: float
    repeatability: Mapping[str, Share]
    reproducibility: Share


def agreement(ratings: Sequence[Rating], seed: int = 1) -> Agreement:
    """The figures of these ratings. Intervals are of parts that are drawn again, each with all its runs."""
    by_part: dict[str, list[Rating]] = {}
    for each in ratings:
        by_part.setdefault(each.part, []).append(each)
    bad = {name: of for name, of in by_part.items() if of[0].bad}
    good = {name: of for name, of in by_part.items() if not of[0].bad}
    people = sorted({each.who for each in ratings})
    return Agreement(
        parts=len(by_part),
        runs=len({each.run for each in ratings}),
        misses=_wrong(bad, seed),
        false_alarms=_wrong(good, seed),
        kappa=_kappa(ratings),
        kappa_95=_spread(list(by_part.values()), _kappa, seed),
        between_runs=_fleiss(by_part.values()),
        repeatability={who: _steady(by_part, who) for who in people},
        reproducibility=_steady(by_part, None),
    )


def _wrong(by_part: Mapping[str, Sequence[Rating]], seed: int) -> Share:
    ratings = [each for of in by_part.values() for each in of]
    wrong = sum(not each.right for each in ratings)
    found = _spread(list(by_part.values()), lambda some: sum(not each.right for each in some) / len(some), seed)
    return Share(wrong, len(ratings), _widened(found, wrong, of=len(ratings), parts=len(by_part)))


def _steady(by_part: Mapping[str, Sequence[Rating]], who: str | None) -> Share:
    """Parts with at least two runs, of this person or of all, and the same decision in each."""
    seen = [[each.decision for each in of if who in (None, each.who)] for of in by_part.values()]
    often = [each for each in seen if len(each) > 1]
    same = sum(len(set(each)) == 1 for each in often)
    return Share(same, len(often), wilson(same, len(often)))


def _kappa(ratings: Sequence[Rating]) -> float:
    """Cohen's kappa between what the parts are and what was said. Not inspected is an answer of its own."""
    total = len(ratings)
    agreed = sum(each.right for each in ratings) / total
    truth = Counter(Decision.REJECT if each.bad else Decision.ACCEPT for each in ratings)
    said = Counter(each.decision for each in ratings)
    chance = sum(truth[each] * said[each] for each in Decision) / total**2
    return (agreed - chance) / (1 - chance) if chance < 1 else float("nan")


def _fleiss(parts: Iterable[Sequence[Rating]]) -> float:
    """Fleiss' kappa between the runs, of the parts with at least two."""
    often = [of for of in parts if len(of) > 1]
    total = sum(map(len, often))
    if not total:
        return float("nan")
    counts = [Counter(each.decision for each in of) for of in often]
    alike = [sum(n * (n - 1) for n in each.values()) / (each.total() * (each.total() - 1)) for each in counts]
    chance = sum((sum(each[decision] for each in counts) / total) ** 2 for decision in Decision)
    return (sum(alike) / len(alike) - chance) / (1 - chance) if chance < 1 else float("nan")


def _spread(parts: Sequence[Sequence[Rating]], measure: Callable[[Sequence[Rating]], float], seed: int) -> Interval:
    """95 % of the values of a measure when parts are drawn again."""
    if len(parts) < _FEW:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(_RESAMPLES):
        drawn = rng.integers(len(parts), size=len(parts))
        values.append(measure([each for one in drawn for each in parts[one]]))
    known = np.array([value for value in values if not np.isnan(value)])
    if not known.size:
        return float("nan"), float("nan")
    low, high = np.percentile(known, (2.5, 97.5))
    return float(low), float(high)


def _widened(found: Interval, some: int, *, of: int, parts: int) -> Interval:
    """None of four parts is not 0 %: the true rate may still be 53 %."""
    if not parts:
        return float("nan"), float("nan")
    unseen = 1.0 - 0.05 ** (1.0 / parts)
    if some == 0:
        return 0.0, unseen
    return (1.0 - unseen, 1.0) if some == of else found


def wilson(some: int, of: int) -> Interval:
    """The interval of 95 % of a share, after Wilson. nan of nothing."""
    if not of:
        return float("nan"), float("nan")
    z, share = 1.96, some / of
    middle, half = share + z * z / (2 * of), z * (share * (1 - share) / of + z * z / (4 * of * of)) ** 0.5
    return max(0.0, (middle - half) / (1 + z * z / of)), min(1.0, (middle + half) / (1 + z * z / of))
