"""The whole station with frames that cross the GigE Vision protocol, some of their packets lost, one camera killed."""

from pathlib import Path

import pytest

from edge_inspector.cameras import aravis_library
from edge_inspector.errors import DeviceError
from edge_inspector.simulation.demo import Demo, DemoOptions

pytestmark = pytest.mark.system


def test_lost_packets_and_a_killed_camera_leave_no_part_without_its_verdict(tmp_path: Path) -> None:
    try:
        aravis_library.load()
    except DeviceError as error:
        pytest.skip(str(error))
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
    assert "resent_packets" in log
