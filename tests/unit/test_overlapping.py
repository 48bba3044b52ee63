"""Pictures of a web that overlap: rows are carried over, and a picture that does not follow is told."""

from collections import deque

import numpy as np
import pytest

from edge_inspector.cameras.overlapping import Overlap, OverlappingCamera
from edge_inspector.drivers import Camera
from edge_inspector.errors import FrameIncompleteError
from edge_inspector.records import Frame

ROWS, CARRIED, ROW_COUNTS = 50, 6, 10.0
LINE = Overlap(carried=CARRIED, row_counts=ROW_COUNTS, tolerance=20.0, least=48, most=52)
AREA = Overlap(carried=0, row_counts=ROW_COUNTS, tolerance=20.0, least=60, most=1000)


class Still(Camera):
    name = "top"

    def __init__(self) -> None:
        self.frames: deque[Frame] = deque()
        self.closed = 0

    def open(self) -> None:
        pass

    def grab(self, timeout_s: float) -> Frame | None:
        del timeout_s
        return self.frames.popleft() if self.frames else None

    def close(self) -> None:
        self.closed += 1


class Rig:
    """A camera whose time is the belt's count."""

    def __init__(self, overlap: Overlap) -> None:
        self.inner = Still()
        self.known = True
        self.camera = OverlappingCamera(self.inner, overlap, lambda at: float(at) if self.known else None)
        self.camera.open()

    def frame(self, number: int, at: int, *, rows: int = ROWS, width: int = 4) -> Frame | str:
        image = np.full((rows, width), number, np.uint8)
        self.inner.frames.append(Frame("top", number, at, 0, received_ns=at, image=image))
        try:
            return self.camera.grab(0.0) or "nothing"
        except FrameIncompleteError as error:
            return f"{error.frame_id}: {error}"


def image(found: Frame | str) -> list[int]:
    assert isinstance(found, Frame), found
    return [int(row[0]) for row in found.image]


def test_the_last_rows_of_a_picture_come_before_the_next_one() -> None:
    rig = Rig(LINE)
    assert "does not follow" in str(rig.frame(1, 0)), "nobody saw what is before the first one"
    assert image(rig.frame(2, 500)) == [1] * CARRIED + [2] * ROWS
    assert image(rig.frame(3, 1000)) == [2] * CARRIED + [3] * ROWS


@pytest.mark.parametrize(
    ("number", "at", "width"),
    [(3, 500, 4), (2, 560, 4), (2, 440, 4), (2, 500, 5)],
    ids=["lost", "late", "back", "wide"],
)
def test_a_picture_that_does_not_follow_is_not_joined(number: int, at: int, width: int) -> None:
    rig = Rig(LINE)
    rig.frame(1, 0)
    assert "does not follow" in str(rig.frame(number, at, width=width))
    assert image(rig.frame(number + 1, at + 500, width=width))[:CARRIED] == [number] * CARRIED, "it goes on from there"


def test_without_a_place_nothing_is_joined() -> None:
    rig = Rig(LINE)
    rig.frame(1, 0)
    rig.known = False
    assert "does not follow" in str(rig.frame(2, 500))
    rig.known = True
    assert "does not follow" in str(rig.frame(3, 1000))
    assert isinstance(rig.frame(4, 1500), Frame)


@pytest.mark.parametrize("rows", [47, 53])
def test_a_picture_of_a_line_camera_is_as_long_as_a_piece(rows: int) -> None:
    rig = Rig(LINE)
    rig.frame(1, 0)
    assert f"it has {rows} rows, a piece of the web needs 48 to 52" in str(rig.frame(2, 500, rows=rows))
    assert "does not follow" in str(rig.frame(3, 1000))


def test_an_area_camera_must_see_more_than_a_piece() -> None:
    rig = Rig(AREA)
    assert "it has 59 rows, a piece of the web needs 60" in str(rig.frame(1, 0, rows=59))
    assert image(rig.frame(2, 500, rows=60)) == [2] * 60


def test_it_is_its_camera_otherwise() -> None:
    rig = Rig(LINE)
    assert rig.camera.grab(0.0) is None
    assert rig.camera.counters() == rig.inner.counters()
    rig.frame(1, 0)
    rig.camera.close()
    assert rig.inner.closed == 1
    rig.camera.open()
    assert "does not follow" in str(rig.frame(2, 500)), "it was away in between"
