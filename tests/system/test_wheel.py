import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.system


def test_the_wheel_holds_the_package_and_the_models(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "edge_inspector/pipeline.py" in names
    assert "edge_inspector/py.typed" in names
    web = ROOT / "edge_inspector" / "web"
    page = {
        f"edge_inspector/web/{part}/{file.name}" for part in ("static", "languages") for file in (web / part).iterdir()
    }
    assert page <= set(names)
    assert "edge_inspector/models/tile-1.1/manifest.toml" in names
    assert "edge_inspector/models/tile-first-1.1/model.int8.onnx" in names
    assert not [name for name in names if name.startswith(("tests/", "docs/"))]
