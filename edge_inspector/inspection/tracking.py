"""Which view belongs to which part, and when a part must be decided, both by belt position.

A part is decided when every expected view is there, or when it reaches its decision line. This is the belt position
from which a verdict can just reach the PLC before the gate, at the belt's maximum speed. The line is a position and not
a time, so stops and ramps need no special case.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, islice

from edge_inspector.codes import Reason
from edge_inspector.records import OpenPart, Part, PlacedView

_DEPARTED_MAX = 64  # parts that have left and may still overlap with a new one
_ORPHANS_MAX = 1024  # of one camera: many seconds of a free-running camera while the PLC is away


@dataclass(slots=True)
class Assembly:
    """A part and the views of it up to now, by camera. `voided` says why its position is no longer valid.

    `crowded`: another part is so near that a view of one could be a view of the other. `mixed`: there are more pictures
    of a camera than it takes of a part, so that nobody knows which of them is which. `number` is the order in which
    parts were added. `expected` are the views that it needs, and `tolerance` is how far each may be from its place.
    """

    part: Part
    views: dict[str, PlacedView] = field(default_factory=dict)
    voided: Reason = Reason.NONE
    crowded: bool = False
    mixed: bool = False
    number: int = 0
    key: tuple[int, int, int] = (0, 0, 0)
    expected: frozenset[str] = frozenset()
    tolerance: float = 0.0


@dataclass(frozen=True, slots=True)
class Ripe:
    """The parts that must be decided now, and the number of views that never found a part."""

    assemblies: list[Assembly]
    strays: int


class PartTracker:
    """Parts between photo-eye and verdict. Each part that enters leaves exactly once, with `leave`.

    `offsets` is the distance in counts from the photo-eye to each expected camera. `tolerances` is, by recipe, how far
    a view may be from its expected position. `reserve` is the distance from decision line to gate. `travel_error` is
    how wrong a distance on the belt may be, as a fraction: 0 with an encoder. `shots` are the views of each camera that
    takes several pictures of a part. Each of them must come exactly once. `expected` are the views of each recipe. A
    recipe that is not there expects all.
    """

    def __init__(
        self,
        offsets: Mapping[str, int],
        tolerances: Mapping[int, float],
        reserve: int,
        gate: int,
        *,
        travel_error: float = 0.0,
        shots: Iterable[Sequence[str]] = (),
        expected: Mapping[int, Collection[str]] | None = None,
    ) -> None:
        self._expected = {number: frozenset(views) for number, views in (expected or {}).items()}
        self._all = frozenset(offsets)
        self._beside = {view: views for views in shots for view in views}
        self._spans = {view: _span([offsets[each] for each in self._beside.get(view, (view,))]) for view in offsets}
        self._travel_error = travel_error
        self._offsets = dict(offsets)
        self._tolerances = tolerances
        self._reserve = reserve
        self._gate = gate
        self._epoch = 0
        self._open: dict[tuple[int, int, int], Assembly] = {}
        # The positioned parts by trigger count, so that a view looks at its neighbours and not at all parts.
        self._lined_up: list[tuple[int, tuple[int, int, int]]] = []
        self._counts: list[int] = []  # the trigger counts of `_lined_up`
        self._reach = max(tolerances.values()) + 1
        self._checked: tuple[int, int | None, int] | None = None  # what `void` has compared all parts with
        self._doubt = 0.0  # the largest of a part's own position up to now
        self._numbers = count()
        self._recipes: Counter[int] = Counter()
        # Only these parts can have become ripe since the last look, apart from those that have reached their line.
        self._touched: dict[tuple[int, int, int], Assembly] = {}
        self._departed: deque[Part] = deque(maxlen=_DEPARTED_MAX)
        self._orphans: dict[str, deque[PlacedView]] = {camera: deque() for camera in offsets}
        self._strays = 0

    def __len__(self) -> int:
        return len(self._open)

    @property
    def recipes(self) -> set[int]:
        """The recipes of the parts on the belt."""
        return set(self._recipes)

    def add_part(self, part: Part) -> bool:
        """Follow a part from now on. False if it is followed already."""
        key = (*part.run_key, part.part_seq)
        if key in self._open:
            return False
        self._doubt = max(self._doubt, part.error_counts)
        crowded = any(self._crowd(part, other) for other in self._departed_near(part))
        assembly = Assembly(
            part,
            crowded=crowded,
            number=next(self._numbers),
            key=key,
            expected=self._expected.get(part.recipe_id, self._all),
            tolerance=self._tolerances[part.recipe_id],
        )
        for other in self._near(part.trigger_count, self._crowding(part)) if part.positioned else ():
            if self._crowd(part, other.part):
                assembly.crowded = other.crowded = True
        self._open[key] = self._touched[key] = assembly
        self._recipes[part.recipe_id] += 1
        self._checked = None
        if part.positioned:
            place = bisect_left(self._lined_up, (part.trigger_count, key))
            self._lined_up.insert(place, (part.trigger_count, key))
            self._counts.insert(place, part.trigger_count)
        for view, orphans in self._orphans.items():
            fitting = (placed for placed in tuple(orphans) if self._take(assembly, placed))
            for placed in fitting if view in self._beside else islice(fitting, 1):
                orphans.remove(placed)
        return True

    def add_view(self, placed: PlacedView) -> bool:
        """Give a view to its part, or to all parts that it could show. False if there is no part (yet).

        The view is then kept as long as it may matter. If a camera takes pictures while the belt stands, only the
        newest views are kept.
        """
        taken = False
        for assembly in self._visible(placed):
            taken |= self._take(assembly, placed)
        if taken:
            return True
        orphans = self._orphans[placed.view.camera]
        orphans.append(placed)
        if len(orphans) > _ORPHANS_MAX:
            orphans.popleft()
            self._strays += 1
        return False

    def void(self, epoch: int, plc_boot_id: int | None, run: int = 0) -> None:
        """Positions before `epoch` are invalid, and the PLC no longer knows parts of another run."""
        if self._checked == (epoch, plc_boot_id, run):
            return
        self._checked = (epoch, plc_boot_id, run)
        self._epoch = epoch
        self._touched = dict(self._open)
        for assembly in self._open.values():
            if plc_boot_id is not None and assembly.part.run_key != (plc_boot_id, run):
                assembly.voided = Reason.PLC_RESTARTED
            elif assembly.part.positioned and assembly.part.epoch != epoch:
                assembly.voided = Reason.POSITION_UNKNOWN

    def distrust(self) -> None:
        """No position is valid now. All followed parts must be decided without one."""
        self._touched = dict(self._open)
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
        return Ripe(self._all_ripe(furthest), strays)

    def _all_ripe(self, furthest: int | None) -> list[Assembly]:
        looked_at = self._touched
        if furthest is not None:
            # They are in the order of their lines.
            for trigger_count, key in self._lined_up:
                if trigger_count + self._gate - self._reserve > furthest:
                    break
                looked_at[key] = self._open[key]
        found = [(key, assembly) for key, assembly in looked_at.items() if self._is_ripe(assembly, furthest)]
        self._touched = dict(found)  # if one of them cannot be decided now, it is tried again
        return sorted((assembly for _, assembly in found), key=_number)

    def left(self) -> list[Assembly]:
        """All followed parts, due or not."""
        return list(self._open.values())

    def leave(self, part: Part) -> None:
        """Stop following the part, because it has its verdict."""
        key = (*part.run_key, part.part_seq)
        del self._open[key]
        self._touched.pop(key, None)
        self._recipes[part.recipe_id] -= 1
        if not self._recipes[part.recipe_id]:
            del self._recipes[part.recipe_id]
        if part.positioned:
            place = bisect_left(self._lined_up, (part.trigger_count, key))
            del self._lined_up[place], self._counts[place]
        self._departed.append(part)

    def open_parts(self) -> tuple[OpenPart, ...]:
        """The parts that are followed now."""
        return tuple(OpenPart(assembly.part, tuple(assembly.views)) for assembly in self._open.values())

    def _near(self, count: float, reach: float) -> list[Assembly]:
        """The open parts whose trigger count is about `count`, in the order of their counts."""
        first = bisect_left(self._counts, count - reach)
        last = bisect_right(self._counts, count + reach, lo=first)
        return [self._open[key] for _, key in self._lined_up[first:last]]

    def _visible(self, placed: PlacedView) -> list[Assembly]:
        """The open parts that the picture may show, under its own name or another one of its camera."""
        middle, half = self._spans[placed.view.camera]
        return self._near(placed.position.count - middle, self._reach + half)

    def _departed_near(self, part: Part) -> list[Part]:
        count, reach = part.trigger_count, self._crowding(part)
        return [other for other in self._departed if -reach <= other.trigger_count - count <= reach]

    def _take(self, assembly: Assembly, placed: PlacedView) -> bool:
        camera, part = placed.view.camera, assembly.part
        if not part.positioned or placed.position.epoch != part.epoch or camera not in assembly.expected:
            return False
        if camera in assembly.views or not self._lies_at(camera, assembly, placed):
            return self._is_one_too_many(assembly, placed)
        if _before_trigger(placed, part):
            return False
        self._touched[assembly.key] = assembly
        assembly.views[camera] = self._seen_from(part, placed)
        return True

    def _lies_at(self, view: str, assembly: Assembly, placed: PlacedView) -> bool:
        """Whether the picture was taken where the part must be for this view."""
        away = placed.position.count - assembly.part.trigger_count - self._offsets[view]
        return -assembly.tolerance <= away <= assembly.tolerance

    def _is_one_too_many(self, assembly: Assembly, placed: PlacedView) -> bool:
        """Whether the camera has taken several pictures of a part, and this is none that can be missing."""
        part = assembly.part
        beside = self._beside.get(placed.view.camera)
        if (
            beside is None
            or not any(self._lies_at(view, assembly, placed) for view in beside)
            or _before_trigger(placed, part)
        ):
            return False
        assembly.mixed = True
        return True

    def _seen_from(self, part: Part, placed: PlacedView) -> PlacedView:
        """The view as the part's recipe judges it.

        In its bound is the doubt about the part's own position, and about the way between the two.
        """
        view, position = placed.view.by(part.recipe_id), placed.position
        doubt = part.error_counts + self._travel_error * abs(position.count - part.trigger_count)
        if doubt:
            return PlacedView(view, replace(position, error_counts=position.error_counts + doubt))
        return placed if view is placed.view else PlacedView(view, position)

    def _crowding(self, part: Part) -> float:
        """How near another part may be at most to be in reach."""
        return 2 * self._reach + part.error_counts + self._doubt

    def _crowd(self, part: Part, other: Part) -> bool:
        """Whether a view could show either part."""
        if not (part.positioned and other.positioned and part.epoch == other.epoch):
            return False
        reach = self._tolerances[part.recipe_id] + self._tolerances[other.recipe_id]
        reach += part.error_counts + other.error_counts
        return abs(part.trigger_count - other.trigger_count) <= reach

    def _is_ripe(self, assembly: Assembly, furthest: int | None) -> bool:
        part = assembly.part
        return (
            len(assembly.views) == len(assembly.expected)
            or not part.positioned
            or assembly.voided is not Reason.NONE
            or (furthest is not None and furthest >= part.due_count - self._reserve)
        )

    def _past(self, placed: PlacedView, furthest: int) -> bool:
        if placed.position.epoch < self._epoch:
            return True
        return furthest > placed.position.count - self._offsets[placed.view.camera] + self._gate


def _span(offsets: Sequence[int]) -> tuple[float, float]:
    """The middle between the first and the last, and half of the way between them."""
    return (min(offsets) + max(offsets)) / 2, (max(offsets) - min(offsets)) / 2


def _before_trigger(placed: PlacedView, part: Part) -> bool:
    """Whether the picture cannot show the part.

    It was taken before the part came to the photo-eye, at a position that the part reached only later.
    """
    view = placed.view
    ended_ns = view.captured_ns + view.exposure_ns // 2 + view.captured_error_ns
    return placed.position.count > part.trigger_count and ended_ns < part.not_before_ns


def _number(assembly: Assembly) -> int:
    return assembly.number
