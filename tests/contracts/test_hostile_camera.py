"""A GigE camera that means harm, against the driver: in processes of their own, as it may end the one that opens it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SERVE = """
import re, sys, threading
from pathlib import Path
from edge_inspector.simulation.gige import camera, registers
from edge_inspector.simulation.gige.scene import SimulatedScene
from edge_inspector.simulation.line import Line
address, line, pattern, nodes = sys.argv[1:]
plain = camera.describe
def hostile(offered):
    xml, found = re.subn(pattern.encode(), nodes.encode(), plain(offered), count=1, flags=re.S)
    assert found
    return xml + b"\\n" * (-len(xml) % 4)
camera.describe = hostile
scene = SimulatedScene(Line.read(Path(line)), 0, 300.0, 1)
made = camera.SimulatedGigeCamera(address, "HOSTILE", scene, camera.Faults())
print("ready", flush=True)
made.run(threading.Event())
"""
OPEN = """
import sys
from edge_inspector.cameras.genicam import GenicamCamera
from edge_inspector.errors import DeviceError
camera = GenicamCamera("cam", GenicamCamera.Settings(address=sys.argv[1], packet_socket=False, packet_size=576))
try:
    camera.open()
    print("opened")
except DeviceError as error:
    print("refused:", error)
finally:
    camera.close()
"""
PAYLOAD = '<Integer Name="PayloadSize">.*?</Integer>'
VENDOR = '<StringReg Name="DeviceVendorName">.*?</StringReg>'


def knife(formula: str) -> tuple[str, str]:
    return PAYLOAD, f'<IntSwissKnife Name="PayloadSize"><Formula>{formula}</Formula></IntSwissKnife>'


def chain(length: int) -> str:
    nodes = "".join(f'<Integer Name="A{at}"><pValue>A{at + 1}</pValue></Integer>' for at in range(length))
    last = f'<Integer Name="A{length}"><Value>9216</Value></Integer>'
    return f'<Integer Name="PayloadSize"><pValue>A0</pValue></Integer>{nodes}{last}'


@pytest.mark.parametrize(
    ("pattern", "nodes", "answer"),
    [
        (PAYLOAD, '<Integer Name="PayloadSize"><pValue>PayloadSize</pValue></Integer>', "leads in a circle"),
        (VENDOR, '<String Name="DeviceVendorName"><pValue>DeviceVendorName</pValue></String>', "leads in a circle"),
        (PAYLOAD, chain(1000), "leads too far"),
        (PAYLOAD, chain(150), "opened"),
        ("<Length>4</Length>", "<Length>-4</Length>", "has a register of '-4' bytes"),
        ("<Length>4</Length>", "<pLength>Bad</pLength>", "as long as 'Bad' computes"),
        (*knife("0-1"), "frames of -1 bytes"),
        (*knife("2147483647"), "frames of 2147483647 bytes"),
        (*knife("0"), "frames of 0 bytes"),
    ],
    ids=["itself", "its vendor", "far", "as far as is allowed", "register", "computed", "negative", "huge", "nothing"],
)
def test_what_a_camera_says_of_itself_is_refused_with_words_and_ends_nothing(
    gige: Any, tmp_path: Path, pattern: str, nodes: str, answer: str
) -> None:
    address = gige.address.rpartition(".")[0] + ".200"
    line = gige.line_file
    server = [sys.executable, "-c", SERVE, address, str(line), pattern, nodes]
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        assert served.stdout.readline() == "ready\n"
        opened = subprocess.run(
            [sys.executable, "-c", OPEN, address], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
        )
        served.kill()
    assert (opened.returncode, answer in opened.stdout) == (0, True), opened.stdout + opened.stderr
