"""One simulated GigE Vision camera as a separate process."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from edge_inspector.simulation.gige.camera import Faults, SimulatedGigeCamera
from edge_inspector.simulation.gige.scene import SimulatedScene
from edge_inspector.simulation.line import Line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a camera until SIGTERM. Prints `ready` and the monotonic time from which clients may connect.

    SIGUSR1 means that the PLC was restarted. SIGUSR2 pulls the network cable, and plugs it in again.
    """
    given = _parser().parse_args(arguments)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    faults = Faults(
        loss=given.loss,
        delay_ms=given.delay_ms,
        resend=not given.no_resend,
        drift_ppm=given.drift_ppm,
        first_frame_id=given.first_frame_id,
        short_every=given.short_every,
    )
    scene = SimulatedScene(Line.read(given.line), given.lane, given.offset_mm, given.boot)
    try:
        camera = SimulatedGigeCamera(given.address, given.serial, scene, faults)
    except OSError as error:
        sys.stderr.write(f"simulated camera {given.serial} cannot have {given.address}: {error}\n")
        return 1
    signal.signal(signal.SIGUSR1, lambda *_: camera.reset_encoder())
    signal.signal(signal.SIGUSR2, lambda *_: camera.toggle_cable())
    sys.stdout.write(f"ready {time.monotonic_ns()}\n")
    sys.stdout.flush()
    camera.run(stop)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m edge_inspector.simulation.gige", description=__doc__)
    parser.add_argument("address", help="of its own, as 127.0.0.2")
    parser.add_argument("serial")
    parser.add_argument("line", type=Path)
    parser.add_argument("lane", type=int)
    parser.add_argument("offset_mm", type=float)
    parser.add_argument("--boot", type=int, default=1, help="how often the PLC has started")
    parser.add_argument("--loss", type=float, default=0.0, help="this fraction of the packets is lost")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="each frame is sent this much later")
    parser.add_argument("--drift-ppm", type=float, default=30.0, help="how fast the camera's clock runs off")
    parser.add_argument("--no-resend", action="store_true", help="lost packets stay lost")
    parser.add_argument("--first-frame-id", type=int, default=1)
    parser.add_argument("--short-every", type=int, default=0, help="each so many frames, one ends after half its rows")
    return parser


if __name__ == "__main__":
    sys.exit(main())
