"""What is fed with hostile bytes: each target takes any bytes and raises nothing but what its caller expects."""

import contextlib
import itertools
import json
import os
import shutil
import tempfile
import threading
from binascii import crc_hqx
from collections.abc import Callable
from functools import cache
from pathlib import Path

from edge_inspector.codes import CommandName, ErrorCode, StationState
from edge_inspector.errors import ConfigError, DeviceError, PositionPendingError, PositionUnknownError
from edge_inspector.fleet.answers import figures_of, health_of
from edge_inspector.fleet.births import Births
from edge_inspector.fleet.fetch import FetchError, body_of
from edge_inspector.fleet.page import told
from edge_inspector.fleet.roster import Known, Roster
from edge_inspector.fleet.tables import BrokerTable
from edge_inspector.inspection.control import Control
from edge_inspector.inspection.recipe import Criteria, Recipe, read_recipe
from edge_inspector.inspection.timeline import Motion, Timeline
from edge_inspector.inspection.triggers import TriggerIntake
from edge_inspector.mqtt.commands import CommandInbox, Request
from edge_inspector.plc.block_encoder import BlockEncoder
from edge_inspector.plc.block_link import BlockLink, Place
from edge_inspector.plc.blocks import DB_EDGE, DB_PLC, ENCODER, PLC_HEADER, TRIGGER
from edge_inspector.records import Identity, StationStatus
from edge_inspector.segmenters.manifest import read_manifest
from edge_inspector.simulation.gige.control import ControlChannel
from edge_inspector.simulation.gige.registers import Registers, features
from edge_inspector.simulation.plc import PlcProgram
from edge_inspector.station.load import load_station

ROOT = Path(__file__).parents[2]
STATUS = StationStatus(StationState.READY, ErrorCode.NONE, 4)
IDENTITY = Identity(
    station="fuzz", boot_id=7, state_dir=Path("/nowhere"), counts_per_mm=10.0, defect_classes=("crack",)
)


class Memory:
    """A PLC's memory under the link: what is read is whatever the test puts there."""

    address = "fuzz"
    is_open = True

    def __init__(self) -> None:
        self.plc = bytes(DB_PLC.size)
        self.edge = bytearray(DB_EDGE.size)
        self.clock = itertools.count(1, 8_000_000)

    @property
    def round_trip_ns(self) -> tuple[int, int]:
        now = next(self.clock)
        return now, now + 500_000

    def open(self) -> None:
        pass

    def read(self, block: int, start: int, size: int) -> bytes:
        return (self.plc if block == 100 else bytes(self.edge))[start : start + size]

    def write(self, block: int, start: int, content: bytes) -> None:
        assert block == 101
        assert 0 <= start <= len(self.edge) - len(content)
        self.edge[start : start + len(content)] = content

    def close(self) -> None:
        pass


def _signed_block(data: bytes) -> bytes:
    """`data` as DB_Plc; where its first byte is even, with the CRCs that make it believed."""
    block = bytearray(data[1 : 1 + DB_PLC.size].ljust(DB_PLC.size, b"\0"))
    if data[:1] and data[0] % 2 == 0:
        for at, count, record in ((0, 1, PLC_HEADER), (32, 1, ENCODER), (64, 16, TRIGGER)):
            for start in range(at, at + count * record.size, record.size):
                body = bytes(block[start : start + record.size - 2])
                block[start + record.size - 2 : start + record.size] = crc_hqx(body, 0xFFFF).to_bytes(2, "big")
    return bytes(block)


def _blocks(data: bytes) -> list[bytes]:
    return [_signed_block(data[at : at + 321]) for at in range(0, max(len(data), 1), 321)][:8]


def plc_block(data: bytes) -> None:
    """What the PLC publishes, through the link to the triggers and the control."""
    memory = Memory()
    link = BlockLink(memory, Place(100, "DB100"), Place(101, "DB101"), IDENTITY)
    intake, control = TriggerIntake(), Control({4: _CRITERIA, 5: _CRITERIA}, 4, lambda: None)
    link.open()
    for memory.plc in _blocks(data):
        try:
            heard = link.exchange(STATUS)
        except DeviceError:
            link.open()
            continue
        if heard is not None and heard.trigger_seq < 10_000:  # a real PLC counts one by one: millions are only slow
            intake.take(heard)
            control.hear(heard)
        assert control.recipe_id in (4, 5)


def encoder_record(data: bytes) -> None:
    """The encoder's record, through the driver to the timeline."""
    memory = Memory()
    encoder = BlockEncoder(memory, 100, "DB100")
    timeline = Timeline(Motion(20_000.0, 50_000.0), stale_ns=250_000_000)
    for chunk in (data[at : at + 13] for at in range(0, min(len(data), 260), 13)):
        memory.plc = _signed_block(chunk[:1] + bytes(32) + chunk[1:])
        try:
            sample = encoder.read()
        except DeviceError:
            continue
        timeline.add(sample)
        with contextlib.suppress(PositionPendingError, PositionUnknownError):
            position = timeline.count_at(sample.asked_ns - 4_000_000, sample.answered_ns)
            assert position.error_counts >= 0
        furthest = timeline.furthest(sample.answered_ns)
        assert furthest is None or abs(furthest) < 2**63


def verdict_ring(data: bytes) -> None:
    """What stands in DB_Edge, read by the PLC's own logic."""
    program = PlcProgram(BOOT, 8000)
    for at in range(0, min(len(data), 512), 64):
        block = bytearray(DB_EDGE.size)
        content = data[at : at + 64]
        block[: len(content)] = content
        slot = 64 * (1 + len(content) % 32)
        block[slot : slot + len(content)] = content
        for _, how in program.consume(bytes(block), at * 10_000_000):
            assert how in ("in time", "late", "duplicate")


def mqtt_command(data: bytes) -> None:
    """A message on `command`, up to what it does to the station."""
    control = Control({4: _CRITERIA, 5: _CRITERIA}, 4, lambda: None)
    inbox = CommandInbox("edge/fuzz/command/result")
    cut = data.find(b"\0")
    topic = data[:cut].decode(errors="replace") if cut > 0 else ""
    commands = inbox.check([Request(data[cut + 1 :], response_topic=topic, correlation=data[:4])], 4)
    for command in commands:
        control.take(command, 0)
    control.stop()
    (answer,) = inbox.answers()
    assert answer.topic.startswith("edge/fuzz/command/result")
    json.dumps(answer.result.error)


def station_file(data: bytes) -> None:
    """A station file."""
    _load(data, "station.toml", load_station)


def recipe_file(data: bytes) -> None:
    """A recipe."""
    _load(data, "recipe.toml", read_recipe)


def manifest_file(data: bytes) -> None:
    """A model's manifest."""
    _load(data, "manifest.toml", lambda path: read_manifest(path.parent))


def fleet_answer(data: bytes) -> None:
    """An answer of a station to the fleet page, up to what the page shows."""
    roster = Roster([Known(address="http://fuzz:1")])
    with contextlib.suppress(FetchError):
        body = body_of(data, 4096)
        health = health_of(body)
        roster.note(("", "http://fuzz:1"), lambda before: before.good(health, 0.0, 1))
    with contextlib.suppress(FetchError):
        figures = figures_of(data)
        roster.note(("", "http://fuzz:1"), lambda before: before.counted(figures, 1).counted(figures, 2))
    json.dumps(told("fuzz", roster, 3))


def fleet_message(data: bytes) -> None:
    """A birth and a state over MQTT, up to what the fleet page shows."""
    roster = Roster([])
    births = Births(roster, BrokerTable(host="localhost"))
    for kind in ("birth", "state"):
        births.hear(Request(data, retained=bool(data[:1] > b"x"), topic=f"edge/fuzz/{kind}", received_ns=1))
    json.dumps(told("fuzz", roster, 3))


def gvcp_packet(data: bytes) -> None:
    """A command to the simulated GigE camera."""
    for packet in data.split(b"\xff\xfe\xfd")[:8]:
        _CAMERA.answer(packet, ("127.0.0.1", 5000 + len(packet) % 2))


def _load(data: bytes, name: str, load: Callable[[Path], object]) -> None:
    path = _folder() / name
    path.write_bytes(data)
    with contextlib.suppress(ConfigError):
        load(path)


class _OneCamera:
    """Made when it is first asked: it takes a port."""

    def __init__(self) -> None:
        self._channel: ControlChannel | None = None

    def answer(self, packet: bytes, sender: tuple[str, int]) -> None:
        if self._channel is None:
            address = f"127.{200 + os.getpid() % 50}.{os.getpid() // 50 % 250}.9"
            plugged = threading.Event()
            plugged.set()
            memory = Registers(features(480, 640), b"<xml/>")
            self._channel = ControlChannel(
                address, memory, resend=lambda *_: None, released=lambda: None, plugged=plugged
            )
        self._channel.answer(packet, sender)

    def close(self) -> None:
        if self._channel is not None:
            self._channel.stop()
            self._channel = None


BOOT = 77
_CAMERA = _OneCamera()
_MEMORY = Path("/dev/shm")  # noqa: S108 -- a folder of our own in it, made by mkdtemp: a disk would be the bottleneck
_RECIPE = {
    "id": 4, "name": "t", "model": "t", "views": ["top"], "part_length_mm": 1, "min_pitch_mm": 2,
    "position_tolerance_mm": 0.5,
}  # fmt: skip
_CRITERIA = Criteria(Recipe.model_validate(_RECIPE), {})


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="edge-inspector-fuzz-", dir=_MEMORY if _MEMORY.is_dir() else None))


def close() -> None:
    """Let go of port and folder."""
    _CAMERA.close()
    shutil.rmtree(_folder())
    _folder.cache_clear()


def _good_block() -> bytes:
    program, block = PlcProgram(BOOT, 8000), bytearray(DB_PLC.size)
    for count in (10, -10):
        program.photo_eye(count)
    program.publish(block)
    block[32:48] = ENCODER.pack(boot_id=BOOT, count=5, time_us=9)
    return b"\x01" + bytes(block)


def _file(*parts: str) -> bytes:
    return ROOT.joinpath(*parts).read_bytes()


TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "plc_block": (plc_block, [_good_block(), b"\x00" + _good_block()[1:], _good_block() * 3]),
    "encoder_record": (encoder_record, [b"\0" + b"\0\0\0\x4d\0\0\1\0\0\0\x1f\x40" + b"\0" * 13]),
    "verdict_ring": (verdict_ring, [bytes(64)]),
    "mqtt_command": (
        mqtt_command,
        [
            b"edge/fuzz/command/result/x\0" + json.dumps({"id": "a", "command": name.value, "recipe_id": 5}).encode()
            for name in CommandName
        ],
    ),
    "station_file": (station_file, [_file("deploy", "station.toml")]),
    "recipe_file": (recipe_file, [_file("deploy", "recipe.toml")]),
    "manifest_file": (manifest_file, [_file("models", "magnetic-tile-1.6", "manifest.toml")]),
    "fleet_answer": (
        fleet_answer,
        [
            (
                b"HTTP/1.1 200 OK\r\ncontent-length: 80\r\n\r\n"
                b'{"state":"fault","reasons":[{"code":"plc_lost","subject":"plc"}],"boot_id":1234}'
            ),
            (
                b'#\nedge_inspector_station_info{station="a"} 1.0\n'
                b'edge_inspector_parts_processed_total{decision="accept"} 7.0\n'
            ),
        ],
    ),
    "fleet_message": (
        fleet_message,
        [
            b'{"station": "a", "boot_id": 7, "page": "https://a.example:9108/x", "site": "S", "state": "ready"}',
            b'{"station": "a", "boot_id": 7, "state": "off", "error": "switched_off", "utc": "2026-11-21T06:00:00Z"}',
        ],
    ),
    "gvcp_packet": (
        gvcp_packet,
        [
            bytes.fromhex("42010080000400010000094c"),
            bytes.fromhex("420100820008000100000a0000000002"),
            bytes.fromhex("4200004000100001000000010000000000000001"),
            bytes.fromhex("42010084000800010000000000000200"),
        ],
    ),
}
