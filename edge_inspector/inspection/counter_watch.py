"""Which values the encoder's counter really shows, compared with the station file sample by sample.

A counter that is narrower than the station file says wraps at an unexpected place. Its first wrap looks like a reset.
It counts as a wrap if the number of lost counts is the number of values of a common counter, or if it is the same as at
the last jump.
"""

from __future__ import annotations

_STEPS = (10**9, 10**8, 10**7, 10**6, 10**5, 10**4, 1000, 100, 10)
_COMMON = (*(1 << bits for bits in range(8, 32)), *_STEPS[:-2])
_PLAIN = 20  # a loss below this many times its doubt proves nothing
_ROUND = 4  # round numbers must be this many times the doubt apart, or one of them would fit by chance


class CounterWatch:
    """`lowest` to `highest` are the counter's limits in the station file.

    `way` is the distance in counts that it must show without a wrap: to the gate, with the reserve. `why` says what is
    wrong and what to type, or "" if nothing is. `seen` is the lowest and highest value that the counter really shows,
    as far as it is known.
    """

    def __init__(self, lowest: int, highest: int, way: int) -> None:
        self.why = ""
        self.seen: tuple[int, int] | None = None
        self._lowest = lowest
        self._highest = highest
        self._way = way
        self._boot_id: int | None = None
        self._lost = (0.0, 0.0)
        self._doubt = 0.0

    def sample(self, raw: int, boot_id: int) -> bool:
        """Whether the counter can show this value.

        A finding holds until the counter contradicts it, or until the PLC restarts.
        """
        if boot_id != self._boot_id:
            self._boot_id = boot_id
            self._forget()
        if not self._lowest <= raw <= self._highest:
            self.seen = None
            self.why = (
                f"the encoder shows {raw}, but encoder.counter_lowest and counter_highest are {self._lowest} to "
                f"{self._highest}. Write the lowest and the highest value of the PLC's counter"
            )
            return False
        if self.seen is not None and not self.seen[0] - self._doubt <= raw <= self.seen[1] + self._doubt:
            self._forget()
        return True

    def jumped(self, before: int, after: int, lost: float, unsure: float) -> None:
        """From one sample to the next the counter lost `lost` counts, give or take `unsure`, while the belt ran."""
        if lost <= _PLAIN * unsure:
            return
        earlier, earlier_unsure = self._lost
        self._lost = lost, unsure
        least = abs(after - before) + 1
        width = next((each for each in _COMMON if abs(each - lost) <= unsure and each >= least), None)
        if width is None and abs(lost - earlier) <= unsure + earlier_unsure:
            width = _round_number(lost, unsure, least)
            if width is None:
                self._tell(before, after, max(round(lost), least), unsure)
        if width is not None:
            self._tell(before, after, width, 0.0)

    def _tell(self, before: int, after: int, width: int, doubt: float) -> None:
        low, high = min(before, after), max(before, after)
        lowest = next((each for each in (0, -width // 2) if each <= low and high < each + width), None)
        # it starts at an odd value. `before` and `after` are as near to its limits as the belt moved in between
        if lowest is None:
            lowest, doubt = low, max(doubt, width - (high - low))
        self.seen, self._doubt = (lowest, lowest + width - 1), doubt
        about = "about " if doubt else ""
        advice = (
            f"Write encoder.counter_lowest = {lowest}, counter_highest = {lowest + width - 1}"
            if not doubt
            else "Write the PLC counter's own limits as encoder.counter_lowest and counter_highest"
        )
        if width <= self._way:
            advice = f"The way to the gate is {self._way} counts. Let the PLC count on in 32 bits"
        self.why = (
            f"the encoder's count jumped from {before} to {after} while the belt ran: it seems to wrap at "
            f"{about}{lowest + width}. {advice}"
        )

    def _forget(self) -> None:
        self.why, self.seen, self._lost = "", None, (0.0, 0.0)


def _round_number(value: float, unsure: float, least: int) -> int | None:
    """The roundest whole number, at least `least`, that `value` can be. None if a round number would fit by chance."""
    for step in _STEPS:
        nearest = round(value / step) * step
        if step >= _ROUND * unsure and abs(nearest - value) <= unsure and nearest >= least:
            return nearest
    return None
