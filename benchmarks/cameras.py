"""The highest rate of four GigE Vision streams without loss on this machine: `python benchmarks/cameras.py`.

The cameras are processes that send one prepared picture again and again, many packets per system call. A simulation
that renders parts would be the bottleneck. The receiver is the genicam driver, with one thread per camera. Each frame
is copied once, into its place in the model's input.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import resource
import signal
import socket
import struct
import threading
import time
import tracemalloc
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from typing import Any

import numpy as np

from edge_inspector.cameras.genicam import GenicamCamera
from edge_inspector.errors import DeviceError, FrameIncompleteError
from edge_inspector.simulation.gige import registers
from edge_inspector.simulation.gige.control import ControlChannel
from edge_inspector.simulation.gige.genapi import describe
from edge_inspector.simulation.gige.registers import Registers

_GVSP_HEADER = 8
_OVERHEAD = 20 + 8 + _GVSP_HEADER
_AT_ONCE = 16  # packets per system call. A pause after each keeps the sender from outrunning the reader
_FULL_PACE = 0.6  # a frame is sent within this part of its interval, as by a camera with a packet delay


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """struct mmsghdr of 64-bit Linux."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_size", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)),
        ("count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_long),  # an int and its padding
        ("sent", ctypes.c_long),
    )


class Sender:
    """One picture as GVSP packets in memory. Only the frame's number and time change from frame to frame."""

    def __init__(self, picture: np.ndarray[Any, Any], packet_size: int, connected: socket.socket) -> None:
        room = packet_size - _OVERHEAD
        pixels = picture.tobytes()
        height, width = picture.shape
        leader = struct.pack(">HHQIIIIIHH", 0, 1, 0, 0x01080001, width, height, 0, 0, 0, 0)
        parts = [
            leader,
            *(pixels[at : at + room] for at in range(0, len(pixels), room)),
            struct.pack(">HHI", 0, 1, height),
        ]
        kinds = [1, *[3] * (len(parts) - 2), 2]
        self._packets = [
            bytearray(struct.pack(">HHI", 0, 0, kind << 24 | at) + part)
            for at, (kind, part) in enumerate(zip(kinds, parts, strict=True))
        ]
        self._places = [(ctypes.c_char * len(packet)).from_buffer(packet) for packet in self._packets]
        self._vectors = (_Vector * len(parts))()
        self._messages = (_Message * len(parts))()
        for at, place in enumerate(self._places):
            self._vectors[at] = _Vector(ctypes.addressof(place), len(place))
            self._messages[at] = _Message(vectors=ctypes.pointer(self._vectors[at]), count=1)
        self._connected = connected
        self._sendmmsg = ctypes.CDLL(None, use_errno=True).sendmmsg

    def send(self, number: int, within_ns: int) -> None:
        """Send one frame, spread over this time."""
        for packet in self._packets:
            struct.pack_into(">H", packet, 2, number)
        struct.pack_into(">Q", self._packets[0], _GVSP_HEADER + 4, time.monotonic_ns())
        count, began = len(self._packets), time.monotonic_ns()
        for first in range(0, count, _AT_ONCE):
            now = min(_AT_ONCE, count - first)
            self._sendmmsg(self._connected.fileno(), ctypes.byref(self._messages[first]), now, 0)
            ahead_ns = began + within_ns * (first + now) // count - time.monotonic_ns()
            if ahead_ns > 100_000:
                time.sleep(ahead_ns / 1e9)


def be_camera(address: str, size: int, rate: float, stop: Event) -> None:
    """A camera process: the control channel of the simulated camera, and frames as fast as asked."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    offered = registers.features(size, size)
    memory = Registers(offered, describe(offered))
    ip = struct.unpack(">I", socket.inet_aton(address))[0]
    memory.set_words({registers.VERSION: 0x00010002, registers.DEVICE_MODE: 0x80000001, registers.CURRENT_IP: ip})
    memory.set_words({registers.STREAM_CHANNELS: 1, registers.CAPABILITY: registers.CAPABILITY_BASIC})
    memory.set_words({registers.HEARTBEAT_TIMEOUT_MS: 10_000, registers.TICKS_PER_SECOND: 10**9})
    memory.live = {"PayloadSize": lambda: memory.get("Width") * memory.get("Height")}
    acquiring, plugged = threading.Event(), threading.Event()
    plugged.set()
    memory.watched |= {"AcquisitionStart": lambda _: acquiring.set(), "AcquisitionStop": lambda _: acquiring.clear()}
    control = ControlChannel(address, memory, resend=lambda *_: None, released=acquiring.clear, plugged=plugged)
    control.start()
    picture = np.random.default_rng(1).integers(0, 255, (size, size), dtype=np.uint8)
    interval_ns = int(1e9 / rate)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        sending.bind((address, 0))
        memory.set_words({registers.STREAM_SOURCE_PORT: sending.getsockname()[1]})
        while not stop.is_set() and not acquiring.wait(0.05):
            pass
        to = socket.inet_ntoa(struct.pack(">I", memory.word(registers.STREAM_IP)))
        sending.connect((to, memory.word(registers.STREAM_PORT) & 0xFFFF))
        sender = Sender(picture, memory.word(registers.PACKET_SIZE) & 0xFFFF, sending)
        due, number = time.monotonic_ns(), 0
        while not stop.is_set() and acquiring.is_set():
            time.sleep(max(0, due - time.monotonic_ns()) / 1e9)
            number = number % 0xFFFF + 1
            sender.send(number, int(interval_ns * _FULL_PACE))
            due = max(due + interval_ns, time.monotonic_ns() - interval_ns)
    control.stop()


@dataclass
class Outcome:
    """The result of one run, and its cost."""

    asked: float
    frames: int = 0
    damaged: int = 0
    missed: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    faults: int = 0
    python_bytes: int = 0

    @property
    def whole(self) -> bool:
        """Whether nothing was lost and the senders kept the rate."""
        return not self.damaged and not self.missed and self.frames >= 0.97 * self.asked * self.seconds


def receive(camera: GenicamCamera, tensor: np.ndarray[Any, Any], *, until: float, outcome: Outcome, lock: Any) -> None:
    """Read one camera. Each frame is copied once, into its place in the model's input."""
    frames = damaged = 0
    while time.monotonic() < until:
        try:
            frame = camera.grab(0.2)
        except FrameIncompleteError:
            damaged += 1
            continue
        if frame is not None:
            np.copyto(tensor, frame.image)
            frames += 1
    with lock:
        outcome.frames += frames
        outcome.damaged += damaged


def run(count: int, size: int, *, rate: float, seconds: float, packet_size: int, packet_socket: bool) -> Outcome:
    """Run all cameras at this rate for this long."""
    spawn = multiprocessing.get_context("spawn")
    stop = spawn.Event()
    addresses = [f"127.0.77.{at + 1}" for at in range(count)]
    senders = [spawn.Process(target=be_camera, args=(each, size, rate, stop)) for each in addresses]
    for each in senders:
        each.start()
    cameras = []
    try:
        for each in addresses:
            settings = GenicamCamera.Settings(
                address=each, packet_size=packet_size, packet_socket=packet_socket, buffers=8, trigger_source="Software"
            )
            cameras.append(_opened(GenicamCamera(each, settings)))
        tensors = np.zeros((count, size, size), np.uint8)
        _measure(cameras, tensors, 1.0, Outcome(rate * count))  # warms up the buffers and learns the clocks
        before = [camera.counters().frames_missed for camera in cameras]
        outcome = _measure(cameras, tensors, seconds, Outcome(rate * count))
        outcome.missed = sum(camera.counters().frames_missed for camera in cameras) - sum(before)
    finally:
        for camera in cameras:
            camera.close()
        stop.set()
        for each in senders:
            each.join()
    return outcome


def _opened(camera: GenicamCamera) -> GenicamCamera:
    deadline = time.monotonic() + 60
    while True:
        try:
            camera.open()
        except DeviceError:
            if time.monotonic() > deadline:
                raise
        else:
            return camera


def _measure(cameras: list[GenicamCamera], tensors: np.ndarray[Any, Any], seconds: float, outcome: Outcome) -> Outcome:
    lock, until = threading.Lock(), time.monotonic() + seconds
    threads = [
        threading.Thread(
            target=receive, args=(camera, tensor), kwargs={"until": until, "outcome": outcome, "lock": lock}
        )
        for camera, tensor in zip(cameras, tensors, strict=True)
    ]
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    tracemalloc.start()
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    outcome.python_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    after = resource.getrusage(resource.RUSAGE_SELF)
    outcome.seconds = time.monotonic() - began
    outcome.cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    outcome.faults = after.ru_minflt - before.ru_minflt
    return outcome


def main() -> None:
    """Raise the rate until frames are lost. Print the cost of each rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--size", type=int, default=2048, help="width and height in pixels")
    parser.add_argument("--rates", default="4,6,8,10,12,15,18,20,25,30", help="frames per second and camera")
    parser.add_argument("--seconds", type=float, default=5.0, help="per rate")
    parser.add_argument("--packet-size", type=int, default=8192)
    parser.add_argument("--packet-socket", action="store_true", help="past the UDP stack (needs CAP_NET_RAW)")
    given = parser.parse_args()
    columns = ("fps per camera", "MB/s", "frames", "incomplete", "never arrived", "CPU ms", "page faults", "new MiB")
    print("CPU time and page faults are the receiver's, per frame; new MiB is the most that Python had taken anew.\n")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for rate in map(float, given.rates.split(",")):
        found = run(
            given.cameras,
            given.size,
            rate=rate,
            seconds=given.seconds,
            packet_size=given.packet_size,
            packet_socket=given.packet_socket,
        )
        frames = max(1, found.frames)
        print(
            f"| {rate:g} | {found.frames * given.size**2 / found.seconds / 1e6:.0f} | {found.frames} | {found.damaged} "
            f"| {found.missed} | {1000 * found.cpu_s / frames:.2f} | {found.faults / frames:.0f} "
            f"| {found.python_bytes / 2**20:.1f} |",
            flush=True,
        )
        if not found.whole:
            break


if __name__ == "__main__":
    main()
