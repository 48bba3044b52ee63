"""The counter behind the encoder: which values it shows, and which way it counts.

Inside the daemon belt counts rise with the belt and never wrap. What a device shows becomes a belt count here, and a
belt count becomes what the device will show.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge_inspector.records import PlacedView, Reason, Verdict


@dataclass(frozen=True, slots=True)
class Counter:
    """Shows `lowest` to `highest`, both included, and begins again there; `falling` where it falls as the belt runs."""

    lowest: int = -(2**31)
    highest: int = 2**31 - 1
    falling: bool = False

    @property
    def span(self) -> int:
        """How many values it has: it shows the same one again after so many counts."""
        return self.highest - self.lowest + 1

    def within(self, limits: tuple[int, int] | None) -> Counter:
        """The same with another lowest and highest value, where these are known."""
        return self if limits is None else Counter(*limits, self.falling)

    def can_show(self, raw: int) -> bool:
        """Whether `raw` is one of its values."""
        return self.lowest <= raw <= self.highest

    def read(self, raw: int) -> int:
        """A belt count at which it shows `raw`: the one to begin with."""
        return -raw if self.falling else raw

    def near(self, raw: int, count: float) -> int:
        """The belt count nearest to `count` at which it shows `raw`."""
        lowest = round(count) - self.span // 2
        return lowest + (self.read(raw) - lowest) % self.span

    def shown(self, count: int) -> int:
        """What it shows at a belt count."""
        return self.lowest + (self.read(count) - self.lowest) % self.span

    def told(self, count: int) -> int:
        """How a belt count is told to people and over MQTT: as shown, but 32 bits without their wrap."""
        return self.read(count) if self.span == 2**32 else self.shown(count)


def as_told(verdict: Verdict, counter: Counter) -> Verdict:
    """The verdict for PLC, broker and archive: its counts as the counter shows them."""
    part = verdict.part
    if part.handicap is Reason.TRIGGER_LOST:
        return verdict  # without counts
    part = replace(part, trigger_count=counter.told(part.trigger_count), due_count=counter.told(part.due_count))
    return replace(verdict, part=part, views=tuple(_view_as_told(placed, counter) for placed in verdict.views))


def _view_as_told(placed: PlacedView, counter: Counter) -> PlacedView:
    whole = round(placed.position.count)
    beyond = placed.position.count - whole
    count = counter.told(whole) + (-beyond if counter.falling else beyond)
    return replace(placed, position=replace(placed.position, count=count))
