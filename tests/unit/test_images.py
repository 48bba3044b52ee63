import json
import os
import resource
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
from support.verdicts import frame

from edge_inspector.errors import DeviceError
from edge_inspector.records import Picture
from edge_inspector.store import images
from edge_inspector.store.images import ImageArchive, ImageLimits
from edge_inspector.store.pictures import find_picture, picture_stem

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
WIDE = ImageLimits(budget=2**30, min_free=0)


def picture(number: int = 1) -> Picture:
    noise = np.random.default_rng(number).integers(0, 256, (40, 60, 3), np.uint8)
    taken = frame(frame_id=number)
    taken.image[:] = noise
    return Picture(taken, noise[:20, :30].transpose(2, 0, 1)[:2].copy())


def stem(number: int, camera: str = "cam1") -> str:
    return picture_stem(NOON + timedelta(seconds=number), camera, number, number)


def on_disk(root: Path) -> int:
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in root.rglob("*") if path.is_file())


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: how a disk refuses, without one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_picture_lies_by_day_and_camera_with_mask_and_facts(tmp_path: Path) -> None:
    archive = ImageArchive(tmp_path, WIDE, "png")
    kept = picture()
    assert archive.save(stem(1), kept, {"part_seq": 1})

    found = find_picture(tmp_path, stem(1))
    assert found is not None
    assert found.image == tmp_path / "2026-11-21" / "cam1" / "120001.000000Z-part1-frame1.png"
    assert found.mask is not None
    assert found.sidecar is not None
    assert np.array_equal(cv2.imread(str(found.image), cv2.IMREAD_UNCHANGED), kept.image), "lossless"
    mask = cv2.imread(str(found.mask), cv2.IMREAD_UNCHANGED)
    assert kept.mask is not None
    assert np.array_equal(mask.reshape(kept.mask.shape), kept.mask), "one plane per class, top to bottom"
    assert json.loads(found.sidecar.read_text()) == {"part_seq": 1}
    assert list(tmp_path.rglob("*.new")) == []


@pytest.mark.parametrize(("kind", "ending"), [("png", ".png"), ("jpeg", ".jpg")])
def test_grey_pictures_and_those_without_a_mask(tmp_path: Path, kind: Literal["png", "jpeg"], ending: str) -> None:
    archive = ImageArchive(tmp_path, WIDE, kind)
    assert archive.save(stem(1), Picture(frame(size=(40, 60)), None), {})
    found = find_picture(tmp_path, stem(1))
    assert found is not None
    assert (found.image.suffix, found.mask) == (ending, None)
    assert cv2.imread(str(found.image), cv2.IMREAD_UNCHANGED).shape == (40, 60)


def test_the_budget_holds_and_the_oldest_go_with_all_their_files(tmp_path: Path) -> None:
    budget = 10 * 20 * 1024
    archive = ImageArchive(tmp_path, ImageLimits(budget, 0), "png")
    for number in range(1, 60):
        assert archive.save(stem(number, f"cam{number % 3 + 1}"), picture(number), {})
        assert archive.size == on_disk(tmp_path)
        assert archive.size <= budget
    kept = [number for number in range(1, 60) if find_picture(tmp_path, stem(number, f"cam{number % 3 + 1}"))]
    assert kept == list(range(kept[0], 60))
    assert len(kept) >= 8
    assert len(list(tmp_path.rglob("*.json"))) == len(list(tmp_path.rglob("*-mask.png"))) == len(kept)


@pytest.mark.parametrize("remembered", [4, 7])
def test_a_day_larger_than_what_is_remembered_of_it_gives_way_view_by_view(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remembered: int
) -> None:
    monkeypatch.setattr(images, "_REMEMBERED", remembered)
    archive = ImageArchive(tmp_path, ImageLimits(budget=20 * 3 * 2 * 4096, min_free=0), "png")
    for number in range(1, 16):
        for camera in ("cam1", "cam2"):
            assert archive.save(stem(number, camera), picture(), {})
    size = archive.size // 30
    archive = ImageArchive(tmp_path, ImageLimits(budget=size * 11, min_free=0), "png")
    archive.tidy("2026-11-21")
    left = sorted(path.name.partition("Z")[0] for path in tmp_path.rglob("*.json"))
    assert left == sorted(f"1200{number:02}.000000" for number in range(10, 16) for _ in range(2))[-11:]
    masks = sorted(path.name.partition("Z")[0] for path in tmp_path.rglob("*-mask.png"))
    assert masks == left, "views are whole"
    assert archive.size == on_disk(tmp_path) <= size * 11


def test_a_new_start_knows_what_is_there(tmp_path: Path) -> None:
    first = ImageArchive(tmp_path, WIDE, "png")
    for number in range(1, 20):
        first.save(stem(number), picture(number), {})
    half = first.size // 2
    again = ImageArchive(tmp_path, ImageLimits(half, 0), "jpeg")
    assert again.size == first.size
    assert again.save(stem(20), picture(20), {})
    assert again.size == on_disk(tmp_path) <= half
    assert find_picture(tmp_path, stem(20)) is not None
    assert find_picture(tmp_path, stem(1)) is None


def test_days_that_are_too_old_go_with_their_folders(tmp_path: Path) -> None:
    archive = ImageArchive(tmp_path, WIDE, "png")
    for day in range(5):
        archive.save(picture_stem(NOON + timedelta(days=day), "cam1", day, day), picture(), {})
    archive.tidy("2026-11-24")
    archive.tidy("2026-11-24")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2026-11-24", "2026-11-25"]
    assert archive.size == on_disk(tmp_path)


def days(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_days_of_a_clock_that_was_wrong_do_not_grow_old(tmp_path: Path) -> None:
    archive = ImageArchive(tmp_path, WIDE, "png")
    for utc in (datetime(1970, 1, 1, tzinfo=UTC), NOON, NOON + timedelta(days=1)):
        archive.save(picture_stem(utc, "cam1", 1, 1), picture(), {})
    assert archive.oldest_day() == "2026-11-21"
    archive.tidy("")
    assert days(tmp_path) == ["1970-01-01", "2026-11-21", "2026-11-22"]
    archive.tidy("2026-11-22")
    archive.tidy("2026-11-22")
    assert days(tmp_path) == ["1970-01-01", "2026-11-22"]
    assert archive.forgotten == {"age": 1}


def test_where_room_is_needed_days_that_are_still_to_come_go_first_then_the_oldest(tmp_path: Path) -> None:
    archive = ImageArchive(tmp_path, WIDE, "png")
    for day in (0, 1, 3650):
        archive.save(picture_stem(NOON + timedelta(days=day), "cam1", 1, 1), picture(), {})
    archive = ImageArchive(tmp_path, ImageLimits(archive.size - 4096, 0), "png")
    archive.tidy("", "2026-11-22")
    assert archive.forgotten == {"room": 1}
    assert sorted(path.parent.parent.name for path in tmp_path.rglob("*.json")) == ["2026-11-21", "2026-11-22"]
    archive = ImageArchive(tmp_path, ImageLimits(archive.size - 4096, 0), "png")
    archive.tidy("", "2026-11-22")
    assert [path.parent.parent.name for path in tmp_path.rglob("*.json")] == ["2026-11-22"]


def test_a_day_that_somebody_removed_is_no_trouble(tmp_path: Path) -> None:
    archive = ImageArchive(tmp_path, WIDE, "png")
    for day in range(3):
        archive.save(picture_stem(NOON + timedelta(days=day), "cam1", day, day), picture(), {})
    shutil.rmtree(tmp_path / "2026-11-21")
    archive.tidy("2026-11-23")
    archive.tidy("2026-11-23")
    assert days(tmp_path) == ["2026-11-23"]
    assert archive.size == on_disk(tmp_path)
    assert archive.lost is None
    shutil.rmtree(tmp_path)
    assert archive.lost == tmp_path


def test_the_disk_is_never_filled_whoever_fills_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, others = os.statvfs(tmp_path), [0]

    def statvfs(path: Path) -> os.statvfs_result:
        free = 2**20 - on_disk(path) - others[0]
        blocks = [4096, 4096, 10**6, free // 4096, free // 4096, *real[5:]]
        return os.statvfs_result(blocks)

    monkeypatch.setattr(os, "statvfs", statvfs)
    archive = ImageArchive(tmp_path, ImageLimits(2**30, 2**19), "png")
    for number in range(1, 80):
        assert archive.save(stem(number), picture(number), {})
        assert on_disk(tmp_path) <= 2**19
    others[0] = 2**18
    for _ in range(3):
        archive.tidy("2026-01-01")
    assert on_disk(tmp_path) <= 2**18, "ours give way to what others write"
    others[0] = 2**20
    for _ in range(3):
        archive.tidy("2026-01-01")
    assert not archive.save(stem(99), picture(), {}), "nothing of ours is left to give way"
    assert archive.size == on_disk(tmp_path) == 0


def test_what_is_not_ours_is_neither_counted_nor_removed(tmp_path: Path) -> None:
    day = tmp_path / "2026-11-21"
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "120000.000000Z-part0-frame0.png").write_bytes(b"x" * 9000)
    (day / "cam1").mkdir(parents=True)
    foreign = [tmp_path / "notes.txt", day / "notes.txt", day / "cam1" / "holiday.png", day / "cam1" / "..png"]
    for path in foreign:
        path.write_bytes(b"x" * 9000)
    (day / "linked").symlink_to(outside)
    (day / "cam1" / "120000.000000Z-part0-frame0.png").symlink_to(foreign[0])
    (day / "cam1" / "120000.000000Z-part1-frame1.json").mkdir()
    archive = ImageArchive(tmp_path, ImageLimits(60 * 1024, 0), "png")
    assert archive.size == 0
    for number in range(1, 20):
        assert archive.save(stem(number), picture(number), {})
    archive.tidy("2027-01-01")
    archive.tidy("2027-01-01")
    assert archive.size == 0
    assert all(path.exists() for path in foreign)
    assert (outside / "120000.000000Z-part0-frame0.png").exists()
    assert (day / "linked").is_symlink()


@pytest.mark.parametrize("ending", ["new", "part"], ids=["this version", "older versions"])
def test_half_written_files_of_a_killed_run_are_counted_and_give_way(tmp_path: Path, ending: str) -> None:
    (tmp_path / "2026-11-20" / "cam1").mkdir(parents=True)
    half = tmp_path / "2026-11-20" / "cam1" / f"120000.000000Z-part1-frame1.png.{ending}"
    half.write_bytes(b"x" * 5000)
    archive = ImageArchive(tmp_path, WIDE, "png")
    assert archive.size == 8192
    archive.tidy("2026-11-21")
    assert not half.exists()


def test_a_disk_that_refuses_is_a_device_error_and_leaves_no_half_file(tmp_path: Path) -> None:
    archive = ImageArchive(tmp_path, WIDE, "png")
    with largest_file(4096), pytest.raises(DeviceError, match="File too large"):
        archive.save(stem(1), picture(), {})
    assert find_picture(tmp_path, stem(1)) is None
    assert list(tmp_path.rglob("*.new")) == []
    assert archive.save(stem(2), picture(), {})
    (tmp_path / "file").write_text("")
    with pytest.raises(DeviceError, match="pictures"):
        ImageArchive(tmp_path / "file", WIDE, "png")


@pytest.mark.parametrize(
    "hostile",
    [
        "",
        "../../etc/passwd",
        "2026-11-21/../120001.000000Z-part1-frame1",
        "2026-11-21/cam1/../../../etc/passwd",
        "/etc/passwd",
        "2026-11-21/cam1/120001.000000Z-part1-frame1\n",
        "2026-11-21/cam1/120001.000000Z-part1-frame1/x",
        "2026-11-21/cam1",
    ],
)
def test_a_hostile_name_finds_nothing(tmp_path: Path, hostile: str) -> None:
    ImageArchive(tmp_path, WIDE, "png").save(stem(1), picture(), {})
    assert find_picture(tmp_path, hostile) is None
