import hashlib
import subprocess
import sys

import numpy as np
import pytest

from edge_inspector.simulation import tiles
from edge_inspector.simulation.tiles import CLASSES, LENGTH_MM, MARGIN_MM, MM_PER_PX, SIZE_PX, TileLine

LANES = 3

HASH_IN_A_FRESH_PROCESS = """
import hashlib
from edge_inspector.simulation.tiles import TileLine
line = TileLine(21, 3, 1.0)
digest = hashlib.sha256()
for part in range(4):
    for lane in range(3):
        digest.update(line.render(part, lane).tobytes())
        digest.update(line.truth(part, lane).tobytes())
print(digest.hexdigest())
"""


@pytest.fixture(scope="module")
def line() -> TileLine:
    return TileLine(21, LANES, 1.0)


def test_two_processes_see_the_same_planks(line: TileLine) -> None:
    command = [sys.executable, "-c", HASH_IN_A_FRESH_PROCESS]
    other = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    digest = hashlib.sha256()
    for part in range(4):
        for lane in range(LANES):
            digest.update(line.render(part, lane).tobytes())
            digest.update(line.truth(part, lane).tobytes())
    assert digest.hexdigest() == other


def test_a_frame_does_not_depend_on_what_was_rendered_before(line: TileLine) -> None:
    first = line.render(5, 1)
    line.render(6, 0)
    assert np.array_equal(line.render(5, 1), first)


def test_frames_are_what_a_colour_camera_gives(line: TileLine) -> None:
    frame, truth = line.render(0, 0), line.truth(0, 0)
    assert frame.shape == (SIZE_PX, SIZE_PX, 3)
    assert frame.dtype == np.uint8
    assert truth.shape == (SIZE_PX, SIZE_PX)
    assert truth.max() <= len(CLASSES)


def test_every_defect_shows_in_the_truth_of_some_lane(line: TileLine) -> None:
    for part in range(60):
        seen = set(np.unique(np.stack([line.truth(part, lane) for lane in range(LANES)]))) - {0}
        kinds = {1 + CLASSES.index(defect.kind) for defect in line.defects(part)}
        # Where several lie on one plank, one may cover another.
        assert seen <= kinds
        assert seen == kinds or len(line.defects(part)) > 1


def test_a_defect_lies_where_the_truth_says(line: TileLine) -> None:
    for part in (part for part in range(60) if len(line.defects(part)) == 1):
        defect = line.defects(part)[0]
        lane = min(LANES - 1, int(defect.y_mm / LENGTH_MM))
        rows, columns = np.nonzero(line.truth(part, lane))
        x = rows * MM_PER_PX - MARGIN_MM
        y = lane * LENGTH_MM + columns * MM_PER_PX - MARGIN_MM
        nearest = float(np.hypot(x - defect.x_mm, y - defect.y_mm).min())
        assert nearest < defect.size_mm / 2 + 2.0


def test_defects_change_the_picture_and_only_where_the_truth_is_near() -> None:
    bad, good = TileLine(22, 1, 1.0), TileLine(22, 1, 0.0)
    for part in range(30):
        difference = np.abs(bad.render(part, 0).astype(int) - good.render(part, 0).astype(int)).max(axis=2)
        truth = bad.truth(part, 0) > 0
        assert difference[truth].mean() > 8.0
        assert difference[~truth].mean() < difference[truth].mean() / 4


def test_good_parts_have_no_defects_and_the_rate_holds() -> None:
    line = TileLine(23, 2, 0.15)
    bad = [part for part in range(2000) if line.defects(part)]
    assert 240 < len(bad) < 360
    good = next(part for part in range(2000) if not line.defects(part))
    assert not line.truth(good, 0).any()


def test_belt_shows_at_the_outer_sides_only() -> None:
    line = TileLine(24, 3, 0.0)
    left, middle, right = (line.render(0, lane).mean(axis=2) for lane in range(3))
    inner = slice(20, -20)
    for frame in (left, middle, right):
        assert frame[0].max() < 80
        assert frame[-1].max() < 80
    assert left[inner, 0].max() < 80
    assert right[inner, -1].max() < 80
    assert min(left[inner, -1].min(), middle[inner, 0].min(), middle[inner, -1].min(), right[inner, 0].min()) > 80


def test_neighbouring_lanes_see_the_same_strip() -> None:
    truths = TileLine(25, 2, 1.0)
    overlap = round(2 * MARGIN_MM / MM_PER_PX)
    for part in range(40):
        if any(defect.kind in {"stain", "colour"} for defect in truths.defects(part)):
            continue  # their soft borders end with the frame
        left, right = truths.truth(part, 0), truths.truth(part, 1)
        inner = slice(0, overlap)
        near = left[:, SIZE_PX - overlap :][:, 1:-1], right[:, inner][:, 1:-1]
        assert np.array_equal(*near)


def test_every_kind_can_be_drawn() -> None:
    kinds = {defect.kind for part in range(200) for defect in TileLine(26, 2, 1.0).defects(part)}
    assert kinds == set(tiles.CLASSES)
