"""`edge-inspector cameras`: list the cameras on the network and the buses, with a picture of each."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2

from edge_inspector.driver_table import OTHER_WORDS
from edge_inspector.drivers import Camera, installed_drivers, load_driver
from edge_inspector.errors import DeviceError, EdgeInspectorError, FrameIncompleteError

_TRIES = 5
_FRAME_WAIT_S = 2.0


class Found(NamedTuple):
    """One camera: the driver and settings that open it, and its own description."""

    driver: str
    vendor: str
    model: str
    serial: str
    address: str
    settings: dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which cameras, and whether to take pictures."""
    parser.add_argument("which", nargs="*", metavar="WHICH", help="serial numbers or addresses (default: all)")
    parser.add_argument(
        "--snapshot", type=Path, metavar="DIR", help="also take a picture with each camera, as DIR/SERIAL.png"
    )


def run(given: argparse.Namespace) -> int:
    """Print a table of cameras.

    Returns 1 if no camera was found, if none of the requested ones was found, or if a picture could not be taken.
    """
    everything, only = list(_everything()), given.which
    found = [each for each in everything if not only or each.serial in only or each.address in only]
    if not found:
        _tell_where(everything, only)
        return 1
    rows = [("driver", "vendor", "model", "serial", "address"), *(each[:5] for each in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    if given.snapshot is None:
        return 0
    given.snapshot.mkdir(parents=True, exist_ok=True)
    return max([_snapshot(each, given.snapshot) for each in found])


def _everything() -> Iterator[Found]:
    for name, driver in installed_drivers("cameras"):
        try:
            for each in getattr(driver, "find", tuple)():
                yield Found(driver=name, **each._asdict())
        except DeviceError as error:
            print(error, file=sys.stderr)


def _tell_where(everything: Sequence[Found], only: Sequence[str]) -> None:
    if everything:
        known = ", ".join(each.serial or each.address for each in everything)
        print(f"none of {', '.join(only)} was found. There are: {known}")
        return
    print("no camera was found. The search covered")
    interfaces = list(_interfaces(Path("/sys/class/net")))
    print(f"  the networks, for GigE Vision: {', '.join(interfaces) or 'there is none except this machine itself'}")
    print("  the USB buses, for USB3 Vision and UVC (/dev/video*)")
    print(
        "Does the camera have power and a link light? Is its address in one of these networks (ip addr add"
        " 169.254.1.1/16 dev INTERFACE reaches one without an address)? May this user use it (groups: video)?"
    )
    hint = OTHER_WORDS["cameras"]["rtsp"]
    print(f"A network stream is not found by itself. Write its URL as source of a camera: {hint}.")


def _interfaces(folder: Path) -> Iterator[str]:
    """The network cards, and whether each has a link. No camera is searched on a card that is down."""
    for card in sorted(folder.glob("*")):
        if card.name != "lo":
            yield f"{card.name} ({_text(card / 'operstate')})"


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return "unknown"


def _snapshot(found: Found, folder: Path) -> int:
    # The camera itself reports this serial number. It must not be able to point outside the folder.
    name = re.sub(r"[^\w.-]", "_", found.serial or Path(found.address).name)
    driver = load_driver("cameras", found.driver)
    camera: Camera = driver(name, driver.Settings(**found.settings))
    try:
        camera.open()
        image = _image(camera)
    except EdgeInspectorError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    finally:
        camera.close()
    path = folder / f"{name}.png"
    cv2.imwrite(str(path), image)
    print(f"{path}: {image.shape[1]} x {image.shape[0]} px, mean {image.mean():.0f} of 255")
    return 0


def _image(camera: Camera) -> Any:
    for _ in range(_TRIES):
        try:
            frame = camera.grab(_FRAME_WAIT_S)
        except FrameIncompleteError:
            continue
        if frame is not None:
            return frame.image
    raise DeviceError("no picture came")
