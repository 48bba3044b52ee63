"""What we say, read by programs that nobody here wrote."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from support.mqtt_peers import fresh_verdict, identity, run_until, settings, wait_until
from support.snap7_peer import PEERS, RemoteBlock, Snap7Server, needs_peers

from edge_inspector.codes import Decision, ErrorCode, Reason, StationState
from edge_inspector.mqtt.link import MqttLink
from edge_inspector.plc.s7 import S7Link
from edge_inspector.plc.s7_connection import S7Settings
from edge_inspector.records import Defect, Identity, Part, StationStatus
from edge_inspector.simulation.broker import DemoBroker, find_mosquitto
from edge_inspector.simulation.demo import free_port
from edge_inspector.simulation.plc import PlcProgram

pytestmark = pytest.mark.system


def test_nodes7_reads_header_and_verdict_at_the_documented_offsets(tmp_path: Path) -> None:
    needs_peers()
    port = free_port()
    server = Snap7Server(port)
    try:
        program = PlcProgram(2**31 + 7, 8000)
        program.photo_eye(-5)
        program.publish(RemoteBlock(server, 100, 320))  # type: ignore[arg-type]
        named = Identity(
            station="press-3",
            boot_id=2**32 - 1,
            state_dir=tmp_path,
            counts_per_mm=10.0,
            defect_classes=("crack", "pore"),
        )
        link = S7Link(S7Settings(host="127.0.0.1", port=port), named)
        link.open()
        try:
            link.exchange(StationStatus(StationState.DEGRADED, ErrorCode.CAMERA_LOST, 65535))
            defect = Defect("top", "pore", area_mm2=2.5, length_mm=3.0, confidence=0.75, x_mm=1.0, y_mm=1.0)
            plain = fresh_verdict(1)
            told = type(plain)(
                **{name: getattr(plain, name) for name in plain.__slots__}
                | {
                    "part": Part(part_seq=1, plc_boot_id=2**31 + 7, epoch=1, trigger_count=-5, due_count=2**31 + 100),
                    "decision": Decision.REJECT,
                    "reason": Reason.DEFECT,
                    "grade": "C",
                    "defects": (defect,),
                }
            )
            assert link.deliver([told]) == 1
            link.exchange(StationStatus(StationState.DEGRADED, ErrorCode.CAMERA_LOST, 65535))
            read = subprocess.run(
                ["node", str(PEERS / "read_edge.js"), str(port), "1"],
                capture_output=True,
                text=True,
                timeout=20,
                check=True,
            )
        finally:
            link.close()
    finally:
        server.stop()
    found = json.loads(read.stdout)
    assert found.pop("heartbeat") > 0
    assert found == {
        "layout_version": 1,
        "status": 0b0101,
        "boot_id": 2**32 - 1,
        "plc_boot_id": 2**31 + 7,
        "last_seq": 1,
        "recipe_id": 65535,
        "seq": 1,
        "part_seq": 1,
        "due_count": -(2**31) + 100,
        "decision": 2,
        "reason": 1,
        "grade": "C",
        "rejects": True,
        "area_mm2": 2.5,
        "max_confidence": 0.75,
        "trigger_seq": 1,
    }


def test_mosquitto_sub_reads_every_verdict_as_json_across_a_broken_connection(tmp_path: Path) -> None:
    if find_mosquitto() is None or shutil.which("mosquitto_sub") is None:
        pytest.skip("mosquitto or mosquitto_sub is not installed")
    with DemoBroker(free_port(), tmp_path) as broker:
        command = ["mosquitto_sub", "-p", str(broker.port), "-V", "5", "-q", "1", "-i", "gateway", "-c", "-x", "600"]
        heard = tmp_path / "heard"
        with heard.open("w") as file:
            reader = subprocess.Popen([*command, "-t", "edge/press-3/verdict", "-t", "edge/press-3/state"], stdout=file)
        link = MqttLink(settings(broker.port), identity(tmp_path))
        link.open()
        try:
            run_until(link, lambda: link.connected and "ready" in heard.read_text())
            for seq in range(1, 101):
                if seq == 50:
                    broker.stop()  # in order: what a killed one forgets after its PUBACK is not ours to keep
                assert link.deliver([fresh_verdict(seq)]) == 1
            broker.start()
            run_until(link, lambda: link.backlog == 0)
            wait_until(lambda: len(_seqs(heard)) == 100)
            assert _seqs(heard) == list(range(1, 101))
        finally:
            link.close()
            reader.kill()
            reader.wait()


def _seqs(heard: Path) -> list[int]:
    bodies = [json.loads(line) for line in heard.read_text().splitlines() if line.endswith("}")]
    return list(dict.fromkeys(body["seq"] for body in bodies if "seq" in body))
