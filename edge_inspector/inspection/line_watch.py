"""Compares triggers and encoder with the station file at run time.

`DirectionWatch`: belt counts must rise while parts arrive. `SourceWatch`: photo-eye and encoder record must use the
same counter in the same PLC. `why` says what is wrong and what to type, or "" if nothing is. `RunningWatch`: a belt
without an encoder must run.
"""

from __future__ import annotations

_FALLS = 2  # parts in a row, each latched lower than the one before. A rocking belt does not cause that
_RISES = 3  # correct parts in a row before the station trusts the direction again
_MOMENT_NS = 1_000_000_000  # a restarting PLC may show different boot ids in two places for this long
_UNHEARD_NS = 1_000_000_000  # after this long nobody knows whether the belt still runs


class DirectionWatch:
    """`counts_per_mm` is the signed value of the station file. `pitch` is the smallest distance of parts, in counts."""

    def __init__(self, counts_per_mm: float, pitch: float) -> None:
        self.why = ""
        self._counts_per_mm = counts_per_mm
        self._pitch = pitch
        self._falls = self._rises = 0
        self._last = (0, 0, 0)
        self._epoch = 0
        self._peak = 0

    def trigger(self, part_seq: int, count: int, epoch: int) -> None:
        """A part was latched at this belt count."""
        before, before_count, before_epoch = self._last
        self._last = part_seq, count, epoch
        if (before + 1, before_epoch) != (part_seq, epoch):
            return
        # If a rocking belt shows the same part twice, the step is nearly zero.
        if count - before_count <= -self._pitch / 2:
            self._falls, self._rises = self._falls + 1, 0
        elif count - before_count >= self._pitch / 2:
            self._falls, self._rises = 0, self._rises + 1
        if self._falls >= _FALLS:
            self.why = f"the counter {self._wrongly('falls', 'rises')} while parts arrive: {self._advice}"
        elif self._rises >= _RISES:
            self.why, self._epoch = "", 0

    def belt(self, count: int, epoch: int, *, running: bool) -> None:
        """The belt is at this count now. When people run the belt backwards by hand, `running` is not set."""
        if epoch != self._epoch or not running:
            self._epoch, self._peak = epoch, count
        self._peak = max(self._peak, count)
        if self._peak - count > self._pitch and not self.why:
            way_mm = (self._peak - count) / abs(self._counts_per_mm)
            self.why = (
                f"the counter {self._wrongly('fell', 'rose')} by {way_mm:.0f} mm while the line was running: "
                f"{self._advice}. If the belt did run backwards, this ends a few parts later"
            )
            self._rises = 0

    @property
    def _advice(self) -> str:
        return f"swap the encoder's A and B, or write line.counts_per_mm = {-self._counts_per_mm}"

    def _wrongly(self, rising: str, falling: str) -> str:
        return rising if self._counts_per_mm > 0 else falling


class SourceWatch:
    """Compares the photo-eye with the encoder record. Counts are as the counter shows them."""

    def __init__(self) -> None:
        self._two_plcs = ""
        self._elsewhere = ""
        self._since_ns: int | None = None
        self._right = 0

    @property
    def why(self) -> str:
        """The present fault in words."""
        return self._two_plcs or self._elsewhere

    def runs(self, encoder_boot_id: int, plc_boot_id: int, now_ns: int) -> None:
        """The encoder record and the trigger ring, both just read, have these boot ids of the PLC."""
        if encoder_boot_id == plc_boot_id:
            self._since_ns, self._two_plcs = None, ""
            return
        self._since_ns = now_ns if self._since_ns is None else self._since_ns
        if now_ns - self._since_ns > _MOMENT_NS:
            self._two_plcs = (
                f"the encoder record has boot_id {encoder_boot_id}, the trigger ring {plc_boot_id}: two PLCs? "
                "encoder.settings and plcs.settings must name the one that has encoder and photo-eye"
            )

    def here(self) -> None:
        """A part was latched at a count where the belt was at that time."""
        self._right += 1
        if self._right >= _RISES:
            self._elsewhere = ""

    def elsewhere(self, part_seq: int, shown: int, lowest: int, highest: int) -> None:
        """A part was latched where the belt was not. The encoder record was between `lowest` and `highest`."""
        self._right = 0
        self._elsewhere = (
            f"part {part_seq} was latched at count {shown}, but the encoder record was between {lowest} and {highest} "
            "then: do photo-eye and encoder record use the same counter?"
        )

    def never(self, part_seq: int, raw: int, lowest: int, highest: int) -> None:
        """A part was latched at a count that a counter from `lowest` to `highest` never shows."""
        self._right = 0
        self._elsewhere = (
            f"part {part_seq} was latched at count {raw}, which a counter from {lowest} to {highest} never shows: do "
            "photo-eye and encoder record use the same counter? If they do, correct "
            "encoder.counter_lowest and counter_highest"
        )


class RunningWatch:
    """Whether a belt without an encoder has run evenly long enough for its positions to be valid.

    `settle_ns` is how long the belt takes to run evenly after a start. None: it need not be watched, because an encoder
    follows the belt, or because it never stops.
    """

    def __init__(self, settle_ns: int | None) -> None:
        self._settle_ns = settle_ns
        self._since_ns: int | None = None
        self._heard_ns = 0

    def hear(self, now_ns: int, *, running: bool) -> None:
        """Somebody says whether the belt runs."""
        if not running:
            self._since_ns = None
        elif self._since_ns is None or now_ns - self._heard_ns > _UNHEARD_NS:
            self._since_ns = now_ns
        self._heard_ns = now_ns

    def steady(self, now_ns: int) -> bool:
        """Whether the belt runs evenly now, as far as it was told."""
        if self._settle_ns is None:
            return True
        if self._since_ns is None or now_ns - self._heard_ns > _UNHEARD_NS:
            return False
        return now_ns - self._since_ns >= self._settle_ns
