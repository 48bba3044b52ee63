"""Which view belongs to which part, and when a part must be decided, both by belt position.

A part is decided when every expected view is there, or when it reaches its decision line. This is the belt position
from which a verdict can just reach the PLC before the gate, at the belt's maximum speed. The line is a position and not
a time, so stops and ramps need no special case.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edge_inspector.records import OpenPart, Part, PlacedView, Reason

_DEPARTED_MAX = 64  # parts that have left and may still overlap with a new one
_ORPHANS_MAX = 1024  # of one camera: many seconds of a free-running camera while the PLC is away


@dataclass(slots=True)
class Assembly:
    """A part and the views of it up to now, by camera. `voided` says why its position is no longer valid.

    `crowded`: another part is so near that a view of one could be a view of the other.
    """

    part: Part
    views: dict[str, PlacedView] = field(default_factory=dict)
    voided: Reason = Reason.NONE
    crowded: bool = False


@dataclass(frozen=True, slots=True)
class Ripe:
    """The parts that must be decided now, and the number of views that never found a part."""

    assemblies: list[Assembly]
    strays: int


class PartTracker:
    """Parts between photo-eye and verdict. Each part that enters leaves exactly once, with `leave`.

    `offsets` is the distance in counts from the photo-eye to each expected camera. `tolerances` is, by recipe, how far
    a view may be from its expected position. `reserve` is the distance from decision line to gate.
    """

    def __init__(self, offsets: Mapping[str, int], tolerances: Mapping[int, float], reserve: int, gate: int) -> None:
        self._offsets = dict(offsets)
        self._tolerances = tolerances
        self._reserve = reserve
        self._gate = gate
        self._epoch = 0
        self._open: dict[tuple[int, int, int], Assembly] = {}
        self._departed: deque[Part] = deque(maxlen=_DEPARTED_MAX)
        self._orphans: dict[str, deque[PlacedView]] = {camera: deque() for camera in offsets}
        self._strays = 0

    def __len__(self) -> int:
        return len(self._open)

    @property
    def recipes(self) -> set[int]:
        """The recipes of the parts on the belt."""
        return {assembly.part.recipe_id for assembly in self._open.values()}

    def add_part(self, part: Part) -> bool:
        """Follow a part from now on. False if it is followed already."""
        key = (*part.run_key, part.part_seq)
        if key in self._open:
            return False
        assembly = Assembly(part, crowded=any(self._crowd(part, other) for other in self._departed))
        for other in self._open.values():
            if self._crowd(part, other.part):
                assembly.crowded = other.crowded = True
        self._open[key] = assembly
        for orphans in self._orphans.values():
            found = next((placed for placed in orphans if self._take(assembly, placed)), None)
            if found is not None:
                orphans.remove(found)
        return True

    def add_view(self, placed: PlacedView) -> bool:
        """Give a view to its part, or to all parts that it could show. False if there is no part (yet).

        The view is then kept as long as it may matter. If a camera takes pictures while the belt stands, only the
        newest views are kept.
        """
        if sum(self._take(assembly, placed) for assembly in self._open.values()):
            return True
        orphans = self._orphans[placed.view.camera]
        orphans.append(placed)
        if len(orphans) > _ORPHANS_MAX:
            orphans.popleft()
            self._strays += 1
        return False

    def void(self, epoch: int, plc_boot_id: int | None, run: int = 0) -> None:
        """Positions before `epoch` are invalid, and the PLC no longer knows parts of another run."""
        self._epoch = epoch
        for assembly in self._open.values():
            if plc_boot_id is not None and assembly.part.run_key != (plc_boot_id, run):
                assembly.voided = Reason.PLC_RESTARTED
            elif assembly.part.positioned and assembly.part.epoch != epoch:
                assembly.voided = Reason.POSITION_UNKNOWN

    def distrust(self) -> None:
        """No position is valid now. All followed parts must be decided without one."""
        for assembly in self._open.values():
            if assembly.part.positioned and assembly.voided is Reason.NONE:
                assembly.voided = Reason.POSITION_UNKNOWN

    def ripe(self, furthest: int | None) -> Ripe:
        """The parts that must be decided now. `furthest` is the furthest count that the belt can have reached."""
        if furthest is not None:
            for orphans in self._orphans.values():
                # They are in belt order, unless the belt ran backwards. Then those behind the first one wait a little
                # longer.
                while orphans and self._past(orphans[0], furthest):
                    orphans.popleft()
                    self._strays += 1
        strays, self._strays = self._strays, 0
        return Ripe([assembly for assembly in self._open.values() if self._is_ripe(assembly, furthest)], strays)

    def left(self) -> list[Assembly]:
        """All followed parts, due or not."""
        return list(self._open.values())

    def leave(self, part: Part) -> None:
        """Stop following the part, because it has its verdict."""
        del self._open[*part.run_key, part.part_seq]
        self._departed.append(part)

    def open_parts(self) -> tuple[OpenPart, ...]:
        """The parts that are followed now."""
        return tuple(OpenPart(assembly.part, tuple(assembly.views)) for assembly in self._open.values())

    def _take(self, assembly: Assembly, placed: PlacedView) -> bool:
        camera, part = placed.view.camera, assembly.part
        if camera in assembly.views or not part.positioned or placed.position.epoch != part.epoch:
            return False
        if abs(placed.position.count - part.trigger_count - self._offsets[camera]) > self._tolerances[part.recipe_id]:
            return False
        if _before_trigger(placed, part):
            return False
        assembly.views[camera] = replace(placed, view=placed.view.by(part.recipe_id))
        return True

    def _crowd(self, part: Part, other: Part) -> bool:
        """Whether a view could show either part."""
        if not (part.positioned and other.positioned and part.epoch == other.epoch):
            return False
        reach = self._tolerances[part.recipe_id] + self._tolerances[other.recipe_id]
        return abs(part.trigger_count - other.trigger_count) <= reach

    def _is_ripe(self, assembly: Assembly, furthest: int | None) -> bool:
        part = assembly.part
        return (
            not part.positioned
            or assembly.voided is not Reason.NONE
            or len(assembly.views) == len(self._offsets)
            or (furthest is not None and furthest >= part.due_count - self._reserve)
        )

    def _past(self, placed: PlacedView, furthest: int) -> bool:
        if placed.position.epoch < self._epoch:
            return True
        return furthest > placed.position.count - self._offsets[placed.view.camera] + self._gate


def _before_trigger(placed: PlacedView, part: Part) -> bool:
    """Whether the picture cannot show the part.

    It was taken before the part came to the photo-eye, at a position that the part reached only later.
    """
    view = placed.view
    ended_ns = view.captured_ns + view.exposure_ns // 2 + view.captured_error_ns
    return placed.position.count > part.trigger_count and ended_ns < part.not_before_ns
