"""Nothing leaves a station that its owner did not ask for."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = """
from pathlib import Path
from edge_inspector.segmenters.onnx import OnnxSegmenter
segmenter = OnnxSegmenter(Path("models/tile-1.1"), OnnxSegmenter.Settings())
segmenter.open()
segmenter.close()
"""


def test_the_runtime_makes_no_identifier_and_keeps_no_telemetry(tmp_path: Path) -> None:
    # Without the variables by which the runtime itself recognises a build server, and keeps silent.
    clean = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=clean, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "telemetry" not in done.stderr.lower()
    assert [path.name for path in tmp_path.rglob("*")] == []
