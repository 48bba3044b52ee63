"""Network cameras that every product can open: uncompressed video (YUV4MPEG2) over HTTP, one port for each lane.

The first rows of each picture carry its part's number. So a receiver knows which part it is, and with the line it knows
when the picture was taken. Frames that a client has no room for are lost, as in a camera. SIGUSR1 kills the first
camera, SIGUSR2 brings it back.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import time
from contextlib import suppress
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np

from edge_inspector.records import Image
from edge_inspector.simulation.line import Line, camera_offset_mm

# The rate in the header is too high if frames come more slowly. With a low rate FFmpeg would first watch for five
# seconds.
_HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: video/x-yuv4mpeg\r\n\r\nYUV4MPEG2 W256 H256 F25:1 Ip A1:1 C420jpeg\n"
_BITS, _CELL = 16, 8
_NO_PART = 2**_BITS - 1


def captured_ns(line: Line, lane: int, part: int) -> int:
    """When the lane's camera takes the part's picture."""
    return line.belt.time_at(line.eye_mm(part) + camera_offset_mm(lane))


class LaneCamera:
    """One lane's camera and its clients."""

    def __init__(self, line: Line, lane: int, port: int) -> None:
        self._line = line
        self._lane = lane
        self._port = port
        self._planes = [_planes(line.look.render(part, lane)) for part in range(line.distinct)]
        self._clients: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def live(self) -> None:
        """Accept clients."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    def die(self) -> None:
        """Close the port and all connections."""
        if self._server is not None:
            self._server.close()
        for client in self._clients:
            client.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(_HEAD)
            await self._send_frames(writer)
        self._clients.discard(writer)
        writer.close()

    async def _send_frames(self, writer: asyncio.StreamWriter) -> None:
        planes = cycle(self._planes)  # a camera that repeats its picture would be taken for frozen
        while not self._line.started:  # a stream without pictures does not open
            writer.write(b"FRAME\n" + _numbered(next(planes), _NO_PART).tobytes())
            await asyncio.sleep(0.2)
        for part in range(self._line.parts):
            due_ns = captured_ns(self._line, self._lane, part)
            if due_ns < time.monotonic_ns():
                continue
            await asyncio.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)
            if writer.transport.is_closing():
                return
            if not writer.transport.get_write_buffer_size():
                writer.write(b"FRAME\n" + _numbered(self._planes[part % len(self._planes)], part).tobytes())


def _planes(picture: Image | None) -> Image:
    return np.asarray(cv2.cvtColor(np.asarray(picture), cv2.COLOR_BGR2YUV_I420), np.uint8)


def _numbered(planes: Image, number: int) -> Image:
    found = planes.copy()
    bits = [235 if number >> bit & 1 else 16 for bit in range(_BITS)]
    found[:_CELL, : _BITS * _CELL] = np.repeat(np.array(bits, np.uint8), _CELL)
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    colour = found[height:].reshape(2, height // 2, width // 2)
    colour[:, : _CELL // 2, : _BITS * _CELL // 2] = 128
    return found


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("line", type=Path)
    parser.add_argument("ports", type=int, nargs="+")
    given = parser.parse_args()
    line = Line.read(given.line)
    cameras = [LaneCamera(line, lane, port) for lane, port in enumerate(given.ports)]
    await asyncio.gather(*(camera.live() for camera in cameras))
    loop, back = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, cameras[0].die)
    loop.add_signal_handler(signal.SIGUSR2, back.set)
    while await back.wait():
        back.clear()
        await cameras[0].live()


if __name__ == "__main__":
    asyncio.run(_main())
