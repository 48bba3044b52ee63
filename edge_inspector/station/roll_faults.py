"""Faults of a station that inspects a continuous web."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edge_inspector.codes import Promise
from edge_inspector.drivers import DriverSettings
from edge_inspector.errors import Fault
from edge_inspector.inspection.recipe import Recipe
from edge_inspector.station.tables import StationFile


def roll_faults(file: StationFile, encoder: DriverSettings | None) -> Iterator[Fault]:
    """What is wrong with the web, whatever the product is."""
    if file.roll is None:
        for at, camera in enumerate(file.cameras):
            if camera.across_mm:
                yield Fault(f"cameras.{at}.across_mm", "is only for a web: it needs the table [roll]")
        if encoder is not None and encoder.tells_rolls:
            yield Fault("encoder.settings.new_roll", "is only for a web: it needs the table [roll]")
        return
    if file.parts.announced_by is not None or file.parts.on_call:
        yield Fault("parts", "a web has no parts: the encoder announces its pieces. Leave [parts] out, or [roll]")
    if encoder is not None and (encoder.promise in (Promise.TIMED, Promise.BENCH) or encoder.reads_camera is not None):
        yield Fault(
            "encoder.driver",
            "a web needs an encoder that counts without pictures: of a PLC (s7, modbus, s7-simple, modbus-simple)",
        )
    for at, camera in enumerate(file.cameras):
        if camera.shots_mm is not None:
            yield Fault(f"cameras.{at}.shots_mm", "a web has one picture for each piece and camera")


def roll_recipe_faults(file: StationFile, path: Path, recipe: Recipe) -> Iterator[Fault]:
    """Whether pieces of the web fit the recipe."""
    if file.roll is None:
        return
    piece_mm, tolerance_mm = file.roll.piece_mm, recipe.position_tolerance_mm
    if recipe.min_pitch_mm > piece_mm - tolerance_mm:
        yield Fault(
            f"{path}: min_pitch_mm",
            f"pieces of the web may begin {piece_mm - tolerance_mm:g} mm behind each other (roll.piece_mm less "
            f"position_tolerance_mm): write at most that for min_pitch_mm and part_length_mm, not "
            f"{recipe.min_pitch_mm:g}",
        )
    line = file.line
    left_mm = line.gate_mm - line.reserve_ms / 1000 * line.speed_max_mm_s
    # The whole picture of a line camera is there when its last row is.
    seen_mm = tolerance_mm + max(each.offset_mm + (piece_mm if each.line_counts else 0.0) for each in file.cameras)
    if seen_mm >= left_mm:
        yield Fault(
            "line.gate_mm",
            f"a piece has been seen {seen_mm:g} mm behind where positions are measured (offset_mm, for a line camera a "
            f"piece, the tolerance), and its verdict must be on its way at {left_mm:g} mm: move the gate, or shorten "
            "the piece",
        )
    if file.roll.overlap_mm > piece_mm:
        yield Fault("roll.overlap_mm", f"is more than a piece, {piece_mm:g} mm: lengthen the piece")
