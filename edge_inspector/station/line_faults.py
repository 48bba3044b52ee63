"""Faults of a line and its recipes that can be found without the hardware.

Examples are positions, speeds and scales that do not fit each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge_inspector.drivers import DriverSettings
from edge_inspector.errors import Fault
from edge_inspector.inspection.recipe import Recipe
from edge_inspector.station.tables import CameraTable, StationFile
from edge_inspector.wording import closest

_SPEEDS_MM_S = (1.0, 20_000.0)  # of a belt that carries parts: from a millimetre to twenty metres per second
_COUNTS_PER_MM = 100_000.0  # a hundredth of a micrometre per count: no belt is measured so finely
_USUAL_GRADES = "AB"  # of good parts, without and with defects, if the recipe has no grades of its own
_WAY_MM = (1.0, 100_000.0)  # from the photo-eye to the gate: from a millimetre to a hundred metres


def line_faults(file: StationFile, recipes: Sequence[tuple[Path, Recipe]]) -> list[Fault]:
    """Faults of the line and the cameras. `recipes` are those that could be read, with their files."""
    views = view_faults(
        recipes, [view.name for view in file.views], whole=len(recipes) == 1 + len(file.station.recipes)
    )
    return views + (_unit_faults(file) or _reserve_faults(file))


def recipe_faults(
    file: StationFile, settings: Sequence[DriverSettings | None], path: Path, recipe: Recipe
) -> list[Fault]:
    """Demands of a recipe that this line cannot meet. `settings` are those of the cameras in the station file."""
    faults = _tolerance_faults(file, path, recipe)
    for at, (camera, chosen) in enumerate(zip(file.cameras, settings, strict=True)):
        faults += _late(file, at, camera, recipe)
        if chosen is not None and camera.shots_mm is None and camera.name in recipe.views:
            faults += _sparse(file, at, camera=camera, chosen=chosen, path=path, recipe=recipe)
    return faults


def view_faults(recipes: Sequence[tuple[Path, Recipe]], cameras: Sequence[str], *, whole: bool) -> list[Fault]:
    """Compare the names of views and cameras. A mistyped name is reported as one fault, not as two.

    Only if the recipes are the `whole` list, a camera that none of them names is a fault.
    """
    faults: list[Fault] = []
    known: set[str | None] = set()
    for path, recipe in recipes:
        free = [name for name in cameras if name not in recipe.views]
        meant = {view: closest(view, free) for view in recipe.views if view not in cameras}
        there_are = ", ".join(sorted(set(cameras)))
        faults += [
            Fault(
                f"{path}: views",
                f"no camera is called {view!r}. There are: {there_are}" + (f". Write {name!r}" if name else ""),
            )
            for view, name in meant.items()
        ]
        known |= {*recipe.views, *meant.values()}
    faults += [
        Fault(f"cameras.{at}.name", f"{name!r} is not in the recipe's views: nothing would look at its frames")
        for at, name in enumerate(cameras)
        if whole and name not in known
    ]
    return faults


def grade_faults(links: Sequence[DriverSettings | None], recipes: Sequence[tuple[Path, Recipe]]) -> list[Fault]:
    """Gates for grades that no recipe gives to a part."""
    given = {grade.name for _, recipe in recipes for grade in recipe.grades}
    if any(not recipe.grades for _, recipe in recipes):
        given |= set(_USUAL_GRADES)
    return [
        Fault(
            f"plcs.{at}.settings.grades.{letter}",
            f"no recipe gives this grade to a good part. There are: {', '.join(sorted(given))}",
        )
        for at, link in enumerate(links)
        if link is not None
        for letter in sorted(set(link.sorts_grades) - given)
    ]


def _tolerance_faults(file: StationFile, path: Path, recipe: Recipe) -> list[Fault]:
    tolerance_mm, count_mm = recipe.position_tolerance_mm, 1 / file.line.scale
    if count_mm < tolerance_mm:
        return []
    return [
        Fault(
            f"{path}: position_tolerance_mm",
            f"{tolerance_mm:g} mm can never be held: one encoder count is {count_mm:g} mm (1 / line.counts_per_mm). "
            f"Write at least {2 * count_mm:g}, or take an encoder or an evaluation with more counts. Is "
            f"line.counts_per_mm = {file.line.counts_per_mm:g} right?",
        )
    ]


def _unit_faults(file: StationFile) -> list[Fault]:
    line, faults = file.line, []
    slowest, fastest = _SPEEDS_MM_S
    if not slowest <= line.speed_max_mm_s <= fastest:
        unit = "metres" if line.speed_max_mm_s < slowest else "micrometres"
        faults.append(
            Fault(
                "line.speed_max_mm_s",
                f"{line.speed_max_mm_s:g} mm/s cannot be the greatest speed of a belt ({slowest:g} to {fastest:g}): "
                f"{unit} for millimetres?",
            )
        )
    if line.scale > _COUNTS_PER_MM:
        faults.append(
            Fault(
                "line.counts_per_mm",
                f"{line.counts_per_mm:g} counts in a millimetre are more than any belt's encoder has: counts per "
                "metre? Turn the belt by a metre and divide its counts by 1000",
            )
        )
    shortest, longest = _WAY_MM
    way = (line.gate_mm + _reserve_mm(file)) * line.scale
    if file.encoder.counter_lowest >= file.encoder.counter_highest:
        faults.append(Fault("encoder.counter_highest", "must be more than encoder.counter_lowest"))
    elif not way < 2**31:
        faults.append(Fault("line.gate_mm", "the way to the gate is more than an encoder of 32 bits can count"))
    elif not way < file.counter.span:
        what = f"the way to the gate and line.reserve_ms are {way:.0f} counts, the encoder's counter has only"
        faults.append(Fault("line.gate_mm", f"{what} {file.counter.span}: let the PLC count on in 32 bits"))
    elif not shortest <= line.gate_mm <= longest:
        unit = "metres" if line.gate_mm < shortest else "micrometres"
        faults.append(
            Fault(
                "line.gate_mm",
                f"{line.gate_mm:g} mm cannot be the way from a photo-eye to a gate ({shortest:g} to {longest:g}): "
                f"{unit} for millimetres?",
            )
        )
    return faults


def _reserve_faults(file: StationFile) -> list[Fault]:
    line, reserve_mm = file.line, _reserve_mm(file)
    if reserve_mm < line.gate_mm:
        return []
    return [
        Fault(
            "line.reserve_ms",
            f"in {line.reserve_ms:g} ms at line.speed_max_mm_s = {line.speed_max_mm_s:g} the belt goes "
            f"{reserve_mm:g} mm, and the gate is at line.gate_mm = {line.gate_mm:g}: no time is left to decide. Metres "
            "for millimetres in gate_mm? Else move the gate, or lower reserve_ms",
        )
    ]


def _late(file: StationFile, at: int, camera: CameraTable, recipe: Recipe) -> list[Fault]:
    line, reserve_mm = file.line, _reserve_mm(file)
    # A line-scan camera has to wait for the end of the part.
    seen_mm = camera.views[-1].offset_mm + (0.0 if camera.line_counts is None else recipe.part_length_mm)
    if reserve_mm >= line.gate_mm or seen_mm < line.gate_mm - reserve_mm:
        return []
    return [
        Fault(
            f"cameras.{at}.offset_mm",
            f"{camera.name!r} at {seen_mm:g} mm is not before the decision line at {line.gate_mm - reserve_mm:g} mm "
            "(line.gate_mm less line.reserve_ms at line.speed_max_mm_s)",
        )
    ]


def _sparse(
    file: StationFile, at: int, *, camera: CameraTable, chosen: DriverSettings, path: Path, recipe: Recipe
) -> list[Fault]:
    """Whether a free-running camera takes pictures often enough.

    Without a trigger its pictures fall anywhere. One must lie within the tolerance of every part.
    """
    hz, tolerance_mm = chosen.free_running_hz, recipe.position_tolerance_mm
    if hz is None or camera.line_counts is not None or file.line.speed_max_mm_s / hz <= 2 * tolerance_mm * (1 + 1e-9):
        return []
    speed = file.line.speed_max_mm_s
    return [
        Fault(
            f"cameras.{at}.settings",
            f"camera {camera.name!r} takes a picture every {speed / hz:.3g} mm at line.speed_max_mm_s = {speed:g}, "
            f"but position_tolerance_mm = {tolerance_mm:g} of {path} covers only {2 * tolerance_mm:g} mm, so parts "
            f"are missed. Trigger the camera, raise its rate ({hz:.3g} per second) to {speed / (2 * tolerance_mm):.3g} "
            "or lower speed_max_mm_s",
        )
    ]


def _reserve_mm(file: StationFile) -> float:
    return file.line.reserve_ms / 1000 * file.line.speed_max_mm_s
