"""The whole station with frames that cross the GigE Vision protocol, some of their packets lost, one camera killed."""

import math
from pathlib import Path

import numpy as np
import pytest

from edge_inspector.cameras import aravis_library
from edge_inspector.errors import DeviceError
from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.report import read_ledger
from edge_inspector.simulation.tiles import MARGIN_MM, TileLine

pytestmark = pytest.mark.system


@pytest.fixture(autouse=True)
def _aravis() -> None:
    try:
        aravis_library.load()
    except DeviceError as error:
        pytest.skip(str(error))


def test_lost_packets_and_a_killed_camera_leave_no_part_without_its_verdict(tmp_path: Path) -> None:
    options = DemoOptions(parts=45, cameras=2, model_ms=5.0, gige=True, loss=0.005, kills=("camera@2",))
    demo = Demo(options, tmp_path)
    with demo.running():
        demo.play()
        report = demo.finish()

    assert report["parts_triggered"] == 45
    assert report["unaccounted"] == 0
    assert report["duplicates"] == 0
    assert report["gate_wrong_part"] == 0
    assert report["late"] == 0
    assert set(report["not_inspected_reasons"]) <= {"camera_lost"}
    # Half a count of the encoder is 0.05 mm: the count that the camera latched is all that a position rests on. A busy
    # machine may let the simulated camera expose late, which moves the part on, not the median.
    assert report["position_error_mm"]["p50"] <= 0.051
    log = (tmp_path / "daemon.log").read_text()
    assert "camera_lost (E101) cam1" in log
    assert "camera_lost (E101) cam1: over" in log.split("does not answer")[1]
    assert report["packets_resent"] > 0
    # From the camera's being ready; the next part comes within a fifth of a second. A busy machine takes its time.
    assert report["camera_recovery_s"] < 2.0


def test_line_cameras_place_parts_by_their_first_row_and_defects_by_their_own(tmp_path: Path) -> None:
    demo = Demo(DemoOptions(parts=40, cameras=1, gige=True, line_scan=True), tmp_path)
    with demo.running():
        demo.play()
        report = demo.finish()
        verdicts = demo.recorder.verdicts()

    assert report["parts_triggered"] == 40
    assert report["unaccounted"] == 0
    assert report["duplicates"] == 0
    assert report["position_error_mm"]["p50"] <= 0.051
    assert report["reject"] > 0
    parts = {event["part_seq"]: event["part"] for event in read_ledger(demo.ledger) if event["kind"] == "trigger"}
    tiles = TileLine(demo.line.seed, 1)
    off_mm = []
    for body in verdicts:
        truth = tiles.defects(parts[body["part_seq"]])
        for defect in body["defects"]:
            places = [(each.x_mm + MARGIN_MM, each.y_mm + MARGIN_MM) for each in truth]
            off_mm.append(min(math.dist(place, (defect["y_mm"], defect["x_mm"])) for place in places))
    # The middle of what is seen of a crack or a chip is not where it was drawn from.
    assert np.median(off_mm) < 10.0
