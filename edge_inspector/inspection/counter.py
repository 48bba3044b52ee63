"""The counter of the encoder: its range of values and its direction.

Inside the daemon, belt counts rise with the belt and never wrap. This module converts the device's values to belt
counts and back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge_inspector.codes import Reason
from edge_inspector.records import PlacedView, Verdict


@dataclass(frozen=True, slots=True)
class Counter:
    """Counts from `lowest` to `highest`, both included, and wraps. `falling`: it falls as the belt runs."""

    lowest: int = -(2**31)
    highest: int = 2**31 - 1
    falling: bool = False

    @property
    def span(self) -> int:
        """How many values it has. After this many counts it shows the same value again."""
        return self.highest - self.lowest + 1

    @property
    def tells_all(self) -> bool:
        """Whether people get every belt count as it is."""
        return self.span == 2**32 and not self.falling

    def within(self, limits: tuple[int, int] | None) -> Counter:
        """The same counter with these lowest and highest values, if they are known."""
        return self if limits is None else Counter(*limits, self.falling)

    def can_show(self, raw: int) -> bool:
        """Whether `raw` is one of its values."""
        return self.lowest <= raw <= self.highest

    def read(self, raw: int) -> int:
        """A belt count at which it shows `raw`, for the start."""
        return -raw if self.falling else raw

    def near(self, raw: int, count: float) -> int:
        """The belt count nearest to `count` at which it shows `raw`."""
        lowest = round(count) - self.span // 2
        return lowest + (self.read(raw) - lowest) % self.span

    def shown(self, count: int) -> int:
        """The value that it shows at a belt count."""
        return self.lowest + (self.read(count) - self.lowest) % self.span

    def told(self, count: int) -> int:
        """A belt count as people and MQTT get it: the shown value, but not wrapped if the counter has 32 bits."""
        return self.read(count) if self.span == 2**32 else self.shown(count)


def as_told(verdict: Verdict, counter: Counter) -> Verdict:
    """The verdict for PLC, broker and archive, with its counts as the counter shows them."""
    part = verdict.part
    if part.handicap is Reason.TRIGGER_LOST or counter.tells_all:
        return verdict  # it has no counts, or they stay as they are
    part = replace(part, trigger_count=counter.told(part.trigger_count), due_count=counter.told(part.due_count))
    return replace(verdict, part=part, views=tuple(_view_as_told(placed, counter) for placed in verdict.views))


def _view_as_told(placed: PlacedView, counter: Counter) -> PlacedView:
    whole = round(placed.position.count)
    beyond = placed.position.count - whole
    count = counter.told(whole) + (-beyond if counter.falling else beyond)
    return replace(placed, position=replace(placed.position, count=count))
