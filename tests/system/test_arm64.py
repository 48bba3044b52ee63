"""The daemon on aarch64, the processor of a Jetson, which qemu plays here. `sudo make arm64` builds what it needs."""

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from support import judged_pictures
from support.image_box import MODELS, InImage, give, inside, unpacked

from edge_inspector.records import Image
from edge_inspector.segmenters.manifest import read_manifest
from edge_inspector.segmenters.probing import probe_pictures
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.station_files import models_dir
from edge_inspector.simulation.tiles import TileLine

IMAGE = "localhost/edge-inspector:local-arm64"
SKIP = "needs root, x86-64 and the image for aarch64: sudo make arm64"
EMULATOR = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64")
SHIPPED = sorted(
    path.parent.name
    for path in models_dir().glob("*/manifest.toml")
    if read_manifest(path.parent).first_stage is None  # no recipe names one
)
FEW, MANY = 5, 17  # rendered planks. qemu takes a second for a large picture
FAR = {"int8": 16, "fp32": 1}
"""How far a pixel of a mask may be from that of the other processor, of 255.

The two sum up eight-bit products with other instructions, and floating point in another order.
"""
RECIPE = """\
id = 1
name = "any"
model = "{model}"
views = ["any"]
part_length_mm = 10
min_pitch_mm = 10
position_tolerance_mm = 1
[picture]
guard = "none"
may_repeat = true
max_dark = 1.0
max_saturated = 1.0
"""


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """The files of the image."""
    if platform.machine() != "x86_64" or not EMULATOR.exists():
        pytest.skip(SKIP)
    with unpacked(IMAGE, SKIP) as found:
        yield found


def pictures_for(model: str) -> Iterator[tuple[str, Image]]:
    """Pictures of the model's size: rendered planks, with and without defects, and shapes with hard edges."""
    size = read_manifest(models_dir() / model).input
    line = TileLine(seed=7, lanes=1, defect_rate=0.6)
    drawn = [line.render(part, 0) for part in range(MANY if size.height * size.width <= 256 * 256 else FEW)]
    colour = [cv2.resize(each, (size.width, size.height), interpolation=cv2.INTER_CUBIC) for each in drawn]
    planks = colour if size.channels == 3 else [cv2.cvtColor(each, cv2.COLOR_BGR2GRAY) for each in colour]
    shape = (size.height, size.width, 3) if size.channels == 3 else (size.height, size.width)
    for number, picture in enumerate([*planks, *probe_pictures(shape)]):
        yield f"{model} {number}", np.ascontiguousarray(picture)


@pytest.fixture(scope="module")
def compared(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Image], dict[str, Image]]:
    """Masks and decisions of the same bytes: here, and there."""
    folder = tmp_path_factory.mktemp("arm64")
    folder.chmod(0o755)
    (folder / "recipes").mkdir()
    for model in SHIPPED:
        (folder / "recipes" / f"{model}.toml").write_text(RECIPE.format(model=model))
    np.savez_compressed(folder / "pictures.npz", **dict(each for model in SHIPPED for each in pictures_for(model)))
    shutil.copy(Path(judged_pictures.__file__), folder / "judged_pictures.py")
    give(folder)
    words = [str(folder / name) for name in ("judged_pictures.py", "pictures.npz", "recipes")]
    program, *files = words
    subprocess.run([sys.executable, program, models_dir(), *files, folder / "here.npz"], check=True, timeout=900)
    there = [
        *inside(root, folder, emulated=True),
        "/opt/edge-inspector/bin/python",
        program,
        MODELS,
        *files,
        folder / "there.npz",
    ]
    subprocess.run(there, check=True, timeout=3600)
    return dict(np.load(folder / "here.npz")), dict(np.load(folder / "there.npz"))


def test_the_programs_are_of_the_other_processor(root: Path) -> None:
    code = "import platform; print(platform.machine())"
    found = subprocess.run(
        [*inside(root, emulated=True), "python", "-c", code], stdout=subprocess.PIPE, text=True, check=True, timeout=120
    )
    assert found.stdout.strip() == "aarch64"


@pytest.mark.parametrize("precision", FAR)
@pytest.mark.parametrize("model", SHIPPED)
def test_masks_and_verdicts_are_those_of_x86_64(
    compared: tuple[dict[str, Image], dict[str, Image]], model: str, precision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = compared
    assert here.keys() == there.keys()
    own = [name for name in here if name.startswith(f"{model} {precision} ")]
    masks = [name for name in own if name.endswith(" mask")]
    decisions = [name for name in own if name.endswith(" decision")]
    assert len(masks) == len(decisions) >= FEW + 3
    far = [np.abs(here[name].astype(int) - there[name]) for name in masks]
    equal = np.mean([np.mean(each == 0) for each in far])
    with capsys.disabled():
        farthest = max(int(each.max()) for each in far)
        sys.stdout.write(f"\n{model} {precision}: at most {farthest} of 255 apart, {equal:.4%} of the pixels equal ")
    assert max(int(each.max()) for each in far) <= FAR[precision]
    assert any(here[name].max() > 127 for name in masks), "nothing was found in any picture"
    assert [name for name in decisions if bytes(here[name]) != bytes(there[name])] == []


def test_a_line_gets_its_verdicts(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    demo = InImage(DemoOptions(parts=12, speed_mm_s=200.0), folder)
    demo.program = [*inside(root, folder, emulated=True), "edge-inspector"]
    with demo.running():
        demo.play()
        report = demo.finish()
    with capsys.disabled():
        told = {key: report[key] for key in ("accept", "reject", "not_inspected", "late", "escapes", "inference_ms")}
        sys.stdout.write(f"\na line of 12 parts: {told} ")
    assert (report["parts_triggered"], report["unaccounted"], report["duplicates"]) == (12, 0, 0)
    assert report["gate_wrong_part"] == 0
    assert report["accept"] + report["reject"] + report["not_inspected"] == 12
    assert demo.daemon.returncode == 0


def test_the_page_about_jetson_says_what_was_measured() -> None:
    page = (models_dir().parent / "docs" / "jetson.md").read_text()
    assert re.search(r"aarch64.*emulat", page, re.DOTALL)
