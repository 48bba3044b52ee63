"""Drawn regions on the disk: whole or not at all, never thrown away, and hostile runs are refused."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_inspector.errors import DeviceError
from edge_inspector.records import Image
from edge_inspector.store import drawings
from edge_inspector.store.drawings import Drawing, Drawings, DrawnOn, drawn_from, runs_of

NOON = datetime(2026, 11, 21, 12, 0, 0, 250_123, tzinfo=UTC)
STEM = "2026-11-21/top/120000.250123Z-part7-frame9"
ON = DrawnOn(stem=STEM, part_id=3, part_seq=7, camera="top", utc=NOON, decision="ACCEPT")


def scratch(value: int = 1) -> Image:
    pixels = np.zeros((6, 8), np.uint8)
    pixels[2:4, 1:7] = value
    return pixels


def stored(kept: Drawings, pixels: Image | None = None, begun_from: int = 0) -> Drawing | None:
    given = scratch() if pixels is None else pixels
    return kept.store(ON, given, ["scratch", "chip"], by="anna", utc=NOON, begun_from=begun_from)


def test_a_drawing_is_read_as_it_was_drawn(tmp_path: Path) -> None:
    kept = Drawings(tmp_path)
    kept.hold(STEM, b"a picture")
    assert stored(kept) == kept.newest(STEM)
    (found,) = kept.all()
    assert (found.on, found.by, found.version, found.classes) == (ON, "anna", 1, ("scratch", "chip"))
    assert found.image.read_bytes() == b"a picture"
    assert (found.pixels() == scratch()).all()
    assert set(found.planes()) == {"scratch"}
    assert set(np.unique(found.planes()["scratch"])) == {0, 255}


def test_the_picture_outlives_the_archives(tmp_path: Path) -> None:
    kept, archived = Drawings(tmp_path), tmp_path / "archived.jpg"
    archived.write_bytes(b"a picture")
    kept.hold(STEM, archived)
    archived.unlink()
    drawn = stored(kept)
    assert drawn is not None
    assert drawn.image.read_bytes() == b"a picture"
    assert drawn.image.name.endswith(".jpg")
    assert not list((tmp_path / "labels" / "open").iterdir())


def test_of_two_people_the_second_overwrites_nothing(tmp_path: Path) -> None:
    kept = Drawings(tmp_path)
    kept.hold(STEM, b"a picture")
    assert stored(kept) is not None
    assert stored(kept, scratch(2)) is None
    newest = kept.newest(STEM)
    assert newest is not None
    assert (newest.pixels() == scratch()).all()
    again = stored(kept, scratch(2), begun_from=1)
    assert again is not None
    assert again.version == 2
    assert (tmp_path / "labels" / f"{STEM}-drawn1.png").exists(), "the first drawing stays"


@pytest.mark.parametrize("failing", ["-drawn1.png", "-drawn1.json"])
def test_a_disk_that_fails_half_way_leaves_no_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    kept = Drawings(tmp_path)
    kept.hold(STEM, b"a picture")
    real = drawings.replace_file

    def full(path: Path, content: Any) -> None:
        if path.name.endswith(failing):
            raise OSError(28, os.strerror(28))
        real(path, content)

    monkeypatch.setattr(drawings, "replace_file", full)
    with pytest.raises(DeviceError, match="No space left"):
        stored(kept)
    assert kept.newest(STEM) is None
    monkeypatch.undo()
    assert stored(kept) is not None, "it is drawn again when there is room"


def test_the_disk_keeps_the_room_that_it_must_leave(tmp_path: Path) -> None:
    Drawings(tmp_path).hold(STEM, b"a picture")
    full = Drawings(tmp_path, min_free=1 << 60)
    with pytest.raises(DeviceError, match="Make room"):
        stored(full)
    with pytest.raises(DeviceError, match="Make room"):
        full.hold(f"{STEM}9", b"another picture")


def test_without_a_picture_nothing_is_stored(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="the picture is gone"):
        stored(Drawings(tmp_path))


def test_pictures_that_nobody_finished_are_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawings, "_OPEN_MAX", 2)
    kept = Drawings(tmp_path)
    for number in range(4):
        kept.hold(f"{STEM}{number}", b"a picture")
        os.utime(tmp_path / "labels" / "open" / f"{STEM}{number}.png".replace("/", "_"), ns=(number, number))
    assert kept.picture(f"{STEM}0") is None
    assert kept.picture(f"{STEM}3") is not None


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"on": {}}', b"[" * 100_000, b"\xff"])
def test_a_damaged_file_is_named_and_never_left_out_in_silence(tmp_path: Path, content: bytes) -> None:
    kept = Drawings(tmp_path)
    kept.hold(STEM, b"a picture")
    stored(kept)
    facts = tmp_path / "labels" / f"{STEM}-drawn1.json"
    facts.write_bytes(content)
    with pytest.raises(DeviceError, match="damaged"):
        list(kept.all())


def test_a_damaged_mask_is_named(tmp_path: Path) -> None:
    kept = Drawings(tmp_path)
    kept.hold(STEM, b"a picture")
    drawn = stored(kept, scratch(9))
    assert drawn is not None
    with pytest.raises(DeviceError, match="damaged"):
        drawn.pixels()
    drawn.mask.write_bytes(b"")
    with pytest.raises(DeviceError, match="damaged"):
        drawn.planes()


@pytest.mark.parametrize("pixels", [scratch(), np.zeros((6, 8), np.uint8), np.full((1, 1), 2, np.uint8)])
def test_runs_there_and_back(pixels: Image) -> None:
    assert (drawn_from(runs_of(pixels), (pixels.shape[0], pixels.shape[1]), 2) == pixels).all()


@pytest.mark.parametrize(
    "runs",
    [
        None, {}, "0,48", [0], [0, 47], [0, 49], [3, 48], [-1, 48], [0, 0, 0, 48], [0, -1, 0, 49], [0, 48.0],
        [True, 48], [0, "48"], [[0, 48]], [0, 1 << 70], [0, 1 << 62, 0, 48],
    ],
)  # fmt: skip
def test_runs_that_make_no_sense_are_refused(runs: Any) -> None:
    with pytest.raises(ValueError, match="needed"):
        drawn_from(runs, (6, 8), 2)
