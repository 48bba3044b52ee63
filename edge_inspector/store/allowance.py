"""Limits the number of kept pictures per reason. A few are all kept. Of very many, a steady sample is kept."""

from __future__ import annotations

from dataclasses import dataclass

_REJECTED_FIRST = 4  # every other reason gets this many times fewer
_BUSY_COST = 4  # a view that is packed while the model has too much to do counts as this many
_SAVED_S = 30.0  # seconds of unused allowance that may be used at once


@dataclass(slots=True)
class _Purse:
    per_s: float
    views: float
    filled_ns: int


class Allowance:
    """Lets `per_s` views of rejected parts through on average, and for each other reason a quarter of that.

    Every reason has its own allowance. So a flood of NOT_INSPECTED parts does not use up the pictures of rejected
    parts. Packing a picture takes longer than its inference. So the limit also keeps the archive from taking the cores
    of an overloaded model.
    """

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._purses: dict[str, _Purse] = {}

    def take(self, why: str, views: int, at_ns: int, *, busy: bool = False) -> bool:
        """Whether a part's `views` are kept, all or none. `at_ns` is monotonic and must not go back.

        While the model is `busy`, a quarter as many are kept.
        """
        purse = self._purses.get(why)
        if purse is None:
            per_s = self._per_s if why == "reject" else self._per_s / _REJECTED_FIRST
            purse = self._purses[why] = _Purse(per_s, per_s * _SAVED_S, at_ns)
        gained = (at_ns - purse.filled_ns) / 1e9 * purse.per_s
        purse.views, purse.filled_ns = min(purse.per_s * _SAVED_S, purse.views + gained), at_ns
        if purse.views <= 0:
            return False
        purse.views -= views * (_BUSY_COST if busy else 1)
        return True
