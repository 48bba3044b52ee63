"""How many pictures are kept for the same reason: all of a few, a steady sample of very many."""

from __future__ import annotations

from dataclasses import dataclass

_REJECTED_FIRST = 4  # for each other reason so many times fewer
_SAVED_S = 30.0  # what was not used for so long may be used at once


@dataclass(slots=True)
class _Purse:
    per_s: float
    views: float
    filled_ns: int


class Allowance:
    """Lets `per_s` views of rejected parts through on average, and for each other reason a quarter of that.

    Every reason has its own: no flood of NOT_INSPECTED parts costs a rejected one its pictures. And since packing a
    picture takes longer than the model's look at it, the archive cannot take the cores that an overloaded model needs.
    """

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._purses: dict[str, _Purse] = {}

    def take(self, why: str, views: int, at_ns: int) -> bool:
        """Whether a part's `views` are kept, all or none. `at_ns` is of the monotonic clock and does not go back."""
        purse = self._purses.get(why)
        if purse is None:
            per_s = self._per_s if why == "reject" else self._per_s / _REJECTED_FIRST
            purse = self._purses[why] = _Purse(per_s, per_s * _SAVED_S, at_ns)
        gained = (at_ns - purse.filled_ns) / 1e9 * purse.per_s
        purse.views, purse.filled_ns = min(purse.per_s * _SAVED_S, purse.views + gained), at_ns
        if purse.views <= 0:
            return False
        purse.views -= views
        return True
