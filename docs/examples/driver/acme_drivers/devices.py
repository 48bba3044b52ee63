"""A simulated belt with the controller and the camera of Acme: `python -m acme_drivers.devices`.

Each third part has a dark spot. It prints the verdict on each part.
"""

import json
import sys
import time
from socketserver import BaseRequestHandler, StreamRequestHandler, ThreadingTCPServer
from threading import Lock, Thread
from typing import Any

import numpy as np

from acme_drivers.camera import HEADER

SPEED_MM_S, PITCH_MM, CAMERA_MM, COUNTS_PER_MM = 500.0, 400.0, 300.0, 10.0
SHOWN = 16  # parts that the controller shows


class Belt:
    """Part n meets the photo-eye when the belt has moved n times the pitch."""

    def __init__(self) -> None:
        self.boot_id = time.monotonic_ns() & 0x7FFFFFFF
        self.acknowledged = [0, 0]
        self.answered: set[int] = set()
        self.lock = Lock()
        self._began = time.monotonic()

    @property
    def moved_mm(self) -> float:
        """How far the belt has moved."""
        return (time.monotonic() - self._began) * SPEED_MM_S

    def time_of(self, moved_mm: float) -> float:
        """When the belt has moved so far."""
        return self._began + moved_mm / SPEED_MM_S


class Control(StreamRequestHandler):
    """One connection of the encoder or of the link."""

    def handle(self) -> None:
        """Answer until the peer disconnects."""
        for line in self.rfile:
            asked = json.loads(line)
            request = asked["request"]
            answer = self._count() if request == "count" else self._reading()
            if request == "deliver":
                answer = self._deliver(asked["verdicts"])
            self.wfile.write(json.dumps(answer).encode() + b"\n")

    def _count(self) -> dict[str, Any]:
        return {"count": int(belt.moved_mm * COUNTS_PER_MM), "boot_id": belt.boot_id}

    def _deliver(self, verdicts: list[dict[str, Any]]) -> dict[str, Any]:
        for verdict in verdicts:
            with belt.lock:
                belt.acknowledged = [verdict["run"], verdict["verdict"]]
                if verdict["part"] not in belt.answered:  # the same verdict may come again
                    belt.answered.add(verdict["part"])
                    print(f"part {verdict['part']}: {'reject' if verdict['reject'] else 'accept'}", flush=True)
        return {"taken": len(verdicts)}

    def _reading(self) -> dict[str, Any]:
        last = int(belt.moved_mm / PITCH_MM)
        shown = range(max(1, last - SHOWN + 1), last + 1)
        run, verdict = belt.acknowledged
        return {
            "boot_id": belt.boot_id,
            "heartbeat": int(time.monotonic() * 20) & 0xFFFF,
            "enabled": True,
            "running": True,
            "run": run,
            "verdict": verdict,
            "last_part": last,
            "parts": [(part, int(part * PITCH_MM * COUNTS_PER_MM), part in belt.answered) for part in shown],
        }


class Pictures(BaseRequestHandler):
    """One connection of the camera driver."""

    def handle(self) -> None:
        """Send a picture of each part that arrives."""
        self.request.recv(1)  # the channel
        part = int((belt.moved_mm - CAMERA_MM) / PITCH_MM)
        while True:
            part += 1
            exposed = belt.time_of(part * PITCH_MM + CAMERA_MM)
            time.sleep(max(0.0, exposed - time.monotonic()))
            picture = np.random.default_rng(part).integers(150, 170, (256, 256), np.uint8)
            if part % 3 == 0:
                picture[100:120, 100:120] = 20
            age_us = int((time.monotonic() - exposed) * 1e6)
            try:
                self.request.sendall(HEADER.pack(part, 256, 256, age_us, 0) + picture.tobytes())
            except OSError:
                return


class Server(ThreadingTCPServer):
    """A thread for each connection."""

    allow_reuse_address = True
    daemon_threads = True


belt = Belt()

if __name__ == "__main__":
    control, camera = (int(port) for port in sys.argv[1:] or (4100, 4101))
    servers = [Server(("127.0.0.1", control), Control), Server(("127.0.0.1", camera), Pictures)]
    for server in servers:
        Thread(target=server.serve_forever).start()
    print("ready", flush=True)
