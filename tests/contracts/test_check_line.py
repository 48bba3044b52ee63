"""`check` on a line that runs: two seconds of the real encoder and trigger ring over a real Modbus server."""

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.register_server import RegisterServer, Request

from edge_inspector.cli import main
from edge_inspector.plc.blocks import DB_EDGE, DB_PLC, ENCODER, wrap32
from edge_inspector.simulation.plc import PlcProgram

BOOT = 0xBEEF
STATION = """\
[station]
name = "line-1"
recipe = "recipe.toml"

[line]
counts_per_mm = 10
speed_max_mm_s = 660
gate_mm = 2000
reserve_ms = 1500

[encoder]
driver = "modbus"
settings = {{ host = "127.0.0.1", port = {port} }}

[segmenter]
driver = "simulated"

[[cameras]]
name = "top"
driver = "folder"
offset_mm = 250
mm_per_px = 1
settings = {{ path = "pictures", interval_ms = 10 }}

[[plcs]]
name = "plc"
driver = "modbus"
settings = {{ host = "127.0.0.1", port = {port} }}
"""
RECIPE = """\
id = 7
name = "x"
model = "none"
views = ["top"]
part_length_mm = 60
min_pitch_mm = 120
position_tolerance_mm = 50
[classes.defect]
min_area_mm2 = 0.5
"""


@dataclass
class Plc:
    """Parts every 200 mm on a belt of 600 mm/s, counted `counts_per_mm` times."""

    counts_per_mm: float = 10.0
    speed_mm_s: float = 600.0
    clock: float = 1.0
    encoder_boot: int = BOOT

    def __post_init__(self) -> None:
        self.blocks = {0: bytearray(DB_PLC.size), 1000: bytearray(DB_EDGE.size)}
        self._program = PlcProgram(BOOT, 1)
        self._begun_ns = time.monotonic_ns() - 10**9
        for part in (1, 2, 3):
            self._program.photo_eye(self._count(200.0 * part))

    def publish(self, _: Request) -> None:
        memory, now = self.blocks[0], time.monotonic_ns()
        self._program.publish(memory)
        passed_s = (now - self._begun_ns) / 1e9
        record = ENCODER.pack(
            boot_id=self.encoder_boot,
            count=self._count(passed_s * self.speed_mm_s),
            time_us=int(passed_s * 1e6 * self.clock),
        )
        memory[DB_PLC.offset(ENCODER) : DB_PLC.offset(ENCODER) + ENCODER.size] = record

    def _count(self, way_mm: float) -> int:
        return wrap32(2**31 - 9000 + round(way_mm * self.counts_per_mm))


class Line:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers: list[RegisterServer] = []
        (folder / "pictures").mkdir()
        cv2.imwrite(str(folder / "pictures" / "0.png"), np.full((80, 64), 120, np.uint8))

    def check(self, plc: Plc, capsys: pytest.CaptureFixture[str], recipe: str = RECIPE) -> tuple[int, dict[str, str]]:
        """The exit code, and the rows that speak of the line by what they are about."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        server = RegisterServer(port, plc.blocks, plc.publish)
        self._servers.append(server)
        (self._folder / "recipe.toml").write_text(recipe)
        (self._folder / "station.toml").write_text(STATION.format(port=port))
        code = main(["check", str(self._folder / "station.toml")])
        assert plc.blocks[1000] == bytearray(DB_EDGE.size), "nothing in the PLC is changed"
        rows = [row.split(maxsplit=2) for row in capsys.readouterr().out.splitlines()]
        assert {"configuration", "model", "camera", "encoder", "link"} <= {kind for _, kind, _ in rows}
        return code, {what: mark for mark, kind, what in rows if kind in {"line", "picture"}}

    def stop(self) -> None:
        for server in self._servers:
            server.stop()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path)
    yield made
    made.stop()


def row(rows: dict[str, str], words: str) -> str:
    (mark,) = (mark for what, mark in rows.items() if words in what)
    return mark


def test_a_line_as_the_file_says_passes(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    code, rows = line.check(Plc(), capsys)
    assert code == 0
    assert set(rows.values()) == {"ok"}
    assert row(rows, "the count rises, as it should") == "ok"
    assert row(rows, "parts every 200 mm") == "ok"


def test_a_counter_of_another_scale_fails_and_says_why(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    code, rows = line.check(Plc(counts_per_mm=40.0), capsys)
    assert code == 1
    assert row(rows, "is line.counts_per_mm = 10 too small (x4 evaluation for x1: then 40)?") == "FAIL"


def test_a_belt_that_stands_and_what_is_only_odd_do_not_fail(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    code, rows = line.check(Plc(speed_mm_s=0.0), capsys, RECIPE.replace("min_pitch_mm = 120", "min_pitch_mm = 600"))
    assert row(rows, "the belt stands: direction and speed were not measured") == "ok"
    assert code == 1, "the pitch is told by the ring, belt or no belt"
    code, rows = line.check(Plc(speed_mm_s=100.0), capsys)
    assert row(rows, "if this is the belt's usual speed") == "WARN"
    assert code == 0


def test_two_plcs_and_another_clock_fail(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    code, rows = line.check(Plc(encoder_boot=7, clock=0.001), capsys)
    assert code == 1
    assert row(rows, "the encoder's record has boot_id 00000007, the trigger ring 0000beef") == "FAIL"
    assert row(rows, "milliseconds? It must be microseconds") == "FAIL"


def test_a_region_that_the_picture_does_not_show_fails(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    region = "[regions.top]\nx_mm = 0\ny_mm = 0\nwidth_mm = 65\nheight_mm = 80\n"
    code, rows = line.check(Plc(), capsys, RECIPE + region)
    assert code == 1
    assert row(rows, "the picture shows 64 x 80 mm, the region of recipe 7 ends at 65 x 80 mm") == "FAIL"
