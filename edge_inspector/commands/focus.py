"""`edge-inspector focus`: live sharpness and exposure of a camera's pictures, for setting the lens."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from edge_inspector.commands.arguments import whole
from edge_inspector.commands.focus_latency import measure_latency
from edge_inspector.drivers import Camera, DriverSettings, installed_drivers, load_driver
from edge_inspector.errors import ConfigError, DeviceError, Fault, FrameIncompleteError
from edge_inspector.inspection.picture import picture_figures
from edge_inspector.records import PictureFigures
from edge_inspector.station.load import load_cameras

_EVERY_S = 0.5
_PATIENCE_S = 5.0  # longest wait for a picture
_BAR = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which camera, and what to show."""
    parser.add_argument(
        "which",
        type=_name,
        metavar="CAMERA",
        help="address, serial number, device or URL (with --station: the camera's name)",
    )
    parser.add_argument(
        "--station", type=Path, metavar="STATION.toml", help="take the camera's settings from this station file"
    )
    parser.add_argument(
        "--triggered", action="store_true", help="wait for the configured trigger (default: run freely)"
    )
    parser.add_argument(
        "--latency",
        action="store_true",
        help="measure latency_ms instead: this screen flashes and the camera must see it",
    )
    parser.add_argument("--count", type=whole, default=0, help="stop after this many lines (default: until Ctrl-C)")


def run(given: argparse.Namespace) -> int:
    """Print figures twice a second until Ctrl-C, or `--count` times. With `--latency`, measure the latency instead.

    Returns 1 if no picture arrives.
    """
    name, settings = _chosen(given.which, given.station)
    # No parts pass while somebody sets a lens. Therefore the camera runs freely.
    if not given.triggered and getattr(settings, "trigger_source", None) is not None:
        settings = settings.model_copy(update={"trigger_source": None})
    camera: Camera = load_driver("cameras", name)(given.which, settings)
    best = 0.0
    with closing(camera):
        try:
            camera.open()
            if given.latency:
                return measure_latency(camera, getattr(settings, "latency_ms", None) or 0.0)
            for at, (figures, rate) in enumerate(_live(camera), start=1):
                best = max(best, figures.sharpness)
                _print(figures, best, rate)
                if at == given.count:
                    break
        except DeviceError as error:
            print(f"\n{error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print()
    return 0


def _name(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def _chosen(which: str, station: Path | None) -> tuple[str, DriverSettings]:
    """Driver and settings: those of the station, or the minimum that opens a device."""
    if station is not None:
        cameras = load_cameras(station)
        if which not in cameras:
            raise ConfigError([Fault(f"{station}: cameras", f"none is called {which!r}: {', '.join(cameras)}")])
        return cameras[which]
    for name, driver in installed_drivers("cameras"):
        settings: DriverSettings | None = getattr(driver, "settings_for", lambda _: None)(which)
        if settings is not None:
            return name, settings
    raise ConfigError([Fault(which, "no installed driver opens this: name a camera of a station file (--station)")])


def _live(camera: Camera) -> Iterator[tuple[PictureFigures, float]]:
    """The figures of the newest picture and the frame rate, every half second."""
    shown_s = heard_s = time.monotonic()
    frames = 0
    while True:
        try:
            frame = camera.grab(_EVERY_S)
        except FrameIncompleteError as error:
            print(f"\nincomplete: {error}", file=sys.stderr)
            continue
        now_s = time.monotonic()
        if frame is None:
            if now_s - heard_s > _PATIENCE_S:
                raise DeviceError(f"no picture for {_PATIENCE_S:g} s: is the camera triggered?")
            continue
        heard_s = now_s
        frames += 1
        if now_s - shown_s >= _EVERY_S:
            yield picture_figures(frame.image), frames / (now_s - shown_s)
            shown_s, frames = now_s, 0


def _print(figures: PictureFigures, best: float, rate: float) -> None:
    filled = round(_BAR * figures.sharpness / best) if best else 0
    line = (
        f"sharpness {figures.sharpness:6.2f} (best {best:6.2f}) [{'#' * filled:{_BAR}}]  mean {figures.mean:5.1f}  "
        f"dark {figures.dark:6.1%}  saturated {figures.saturated:6.1%}  {rate:5.1f} frames/s"
    )
    live = sys.stdout.isatty()
    print(f"\r{line}\033[K" if live else line, end="" if live else "\n", flush=True)
