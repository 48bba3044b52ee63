"""Measure the real line for two seconds for `edge-inspector check`.

It reads the encoder as the daemon does, and the trigger ring.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Final

from edge_inspector.drivers import Encoder, PeerKind, PlcLink, load_driver
from edge_inspector.errors import DeviceError
from edge_inspector.inspection.counter_watch import CounterWatch
from edge_inspector.inspection.line_figures import LineFinding, Measured, Written, line_findings, picture_findings
from edge_inspector.inspection.scale_watch import SpeedWatch
from edge_inspector.records import EncoderSample, Identity, PlcInput
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.stages.track import Track
from edge_inspector.station.load import Station
from edge_inspector.wiring.line import line_timeline

_SECONDS: Final = 2.0
_FEWEST: Final = 10  # samples: fewer prove nothing
_LOOKS: Final = 4  # attempts to read a block while the PLC may be writing it


class _Recorded:
    """An encoder that records its samples."""

    def __init__(self, encoder: Encoder) -> None:
        self.samples: list[EncoderSample] = []
        self._encoder = encoder

    def open(self) -> None:
        self._encoder.open()

    def read(self) -> EncoderSample | None:
        sample = self._encoder.read()
        if sample is not None:
            self.samples.append(sample)
        return sample

    def close(self) -> None:
        self._encoder.close()


def measure_line(station: Station, identity: Identity) -> list[LineFinding]:
    """Measure the line and compare it with the station file. Writes nothing to the PLC. Raises DeviceError."""
    file, timeline = station.file, line_timeline(station)
    encoder = _Recorded(load_driver("encoders", file.encoder.driver)(station.encoder_settings))
    interval_s = file.encoder.interval_ms / 1000
    seconds = max(_SECONDS, 2 * _FEWEST * interval_s)
    conditions = Conditions(patience_s=2 * seconds)  # messages go into the findings, not into a log
    speed = SpeedWatch(file.line.scale, file.line.speed_max_mm_s, file.counter.span)
    counter = CounterWatch(file.counter.lowest, file.counter.highest, 0)
    track = Track(encoder, timeline, conditions=conditions, interval_s=interval_s, speed=speed, counter=counter)
    track.start()
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            track.step()
    finally:
        track.stop(failed=False)
    if len(encoder.samples) < _FEWEST:
        reasons = "; ".join(held.why for held in conditions.reasons())
        raise DeviceError(f"only {len(encoder.samples)} encoder samples came in {seconds:g} s: {reasons}")
    heard, reading_ms = _announced(station, identity)
    measured = Measured(
        samples=encoder.samples,
        heard=heard,
        reading_ms=reading_ms,
        bound=timeline.reachable(),
        bound_at_most=timeline.reachable(file.line.speed_max_mm_s * file.line.scale),
    )
    recipes = [criteria.recipe for criteria in station.recipes.values()]
    line = file.line
    written = Written(
        counts_per_mm=line.counts_per_mm,
        speed_max_mm_s=line.speed_max_mm_s,
        reserve_ms=line.reserve_ms,
        recipes=recipes,
        values=file.counter.span,
        one_plc=station.roles.one_plc,
    )
    return line_findings(measured, written)


def measure_pictures(station: Station, sizes: Mapping[str, tuple[int, int]]) -> Iterator[LineFinding]:
    """Whether the cameras' pictures can show what the recipes judge. `sizes` are height and width in pixels."""
    for camera in station.file.views:
        if camera.name not in sizes:
            continue
        height, width = sizes[camera.name]
        width_mm, height_mm = width * camera.mm_per_px, height * station.file.mm_per_row(camera)
        for criteria in station.recipes.values():
            yield from picture_findings(width_mm, height_mm, criteria.recipe, camera.name)


def _announced(station: Station, identity: Identity) -> tuple[PlcInput | None, float]:
    """What the PLC that announces the parts shows now. None if it is no PLC. Raises DeviceError."""
    at = station.roles.link
    if at is None or station.plc_settings[at].peer_kind is PeerKind.BROKER:
        return None, 0.0
    table = station.file.plcs[at]
    link: PlcLink = load_driver("plcs", table.driver)(station.plc_settings[at], identity)
    return _look(link, table.name)


def _look(link: PlcLink, name: str) -> tuple[PlcInput, float]:
    """The PLC's data, and how many milliseconds the reading took. Raises DeviceError."""
    for _ in range(_LOOKS):
        heard = link.look()
        if heard is not None:
            return heard, (time.monotonic_ns() - heard.asked_ns) / 1e6
    raise DeviceError(f"{name}: the PLC's block was being written during each of {_LOOKS} readings")
