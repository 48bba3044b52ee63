import threading

import numpy as np
import pytest
from support.verdicts import frame

from edge_inspector.store.album import Album


def test_a_picture_is_kept_without_a_copy() -> None:
    album, taken = Album(2**20), frame(frame_id=7)
    mask = np.zeros((2, 20, 30), np.uint8)
    album.put(taken, mask)
    found = album.get("cam1", 7)
    assert found is not None
    assert found.image is taken.image
    assert found.mask is mask
    assert (found.frame.camera, found.frame.captured_ns) == ("cam1", taken.captured_ns)


def test_the_oldest_give_way_and_the_bound_holds() -> None:
    album = Album(5 * 40 * 60 * 3)
    for number in range(1, 9):
        album.put(frame(frame_id=number), None)
    assert [number for number in range(1, 9) if album.get("cam1", number)] == [4, 5, 6, 7, 8]


def test_a_mask_counts_too_and_what_is_larger_than_the_album_is_not_kept() -> None:
    album = Album(10_000)
    album.put(frame(frame_id=1), np.zeros((1, 40, 60), np.uint8))
    assert album.get("cam1", 1) is not None
    album.put(frame(frame_id=2), np.zeros((2, 40, 60), np.uint8))
    assert album.get("cam1", 2) is None
    assert album.get("cam1", 1) is not None


def test_the_latest_of_each_camera() -> None:
    album = Album(2 * 40 * 60 * 3)
    assert album.latest("cam1") is None
    album.put(frame("cam1", 1), None)
    album.put(frame("cam2", 1), None)
    album.put(frame("cam2", 2), None)
    assert album.latest("cam1") is None, "it had to give way"
    latest = album.latest("cam2")
    assert latest is not None
    assert latest.frame.frame_id == 2


def test_a_camera_that_counts_anew_replaces_its_old_picture() -> None:
    album = Album(2 * 40 * 60 * 3)
    for _ in range(10):
        album.put(frame(frame_id=1), None)
    album.put(frame(frame_id=2), None)
    assert album.get("cam1", 1) is not None
    assert album.get("cam1", 2) is not None


def test_of_released_pictures_a_few_and_the_latest_of_each_camera_stay() -> None:
    size = 40 * 60 * 3
    album = Album(100 * size, 3 * size)
    album.put(frame("cam2", 1), None)
    for number in range(1, 11):
        album.put(frame("cam1", number), None)
    for number in range(1, 9):
        album.release("cam1", number)
    album.release("cam2", 1)
    album.release("cam1", 8)  # a picture may belong to two parts
    album.release("cam1", 99)
    assert [number for number in range(1, 11) if album.get("cam1", number)] == [7, 8, 9, 10]
    assert album.latest("cam2") is not None
    album.release("cam1", 9)
    album.release("cam1", 10)
    assert [number for number in range(1, 11) if album.get("cam1", number)] == [9, 10]
    assert album.latest("cam2") is not None


def test_fewer_released_pictures_stay_while_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    size, now = 40 * 60 * 3, [1_000_000_000]
    monkeypatch.setattr("edge_inspector.store.album.time.monotonic_ns", lambda: now[0])
    album = Album(100 * size, 4 * size, size)

    def there(*, after_s: float) -> list[int]:
        now[0] += int(after_s * 1e9)
        first = numbers[-1] + 1 if numbers else 1
        numbers.extend(range(first, first + 8))
        for number in numbers[-8:]:
            album.put(frame("cam1", number), None)
            album.release("cam1", number)
        return [number - first for number in numbers if album.get("cam1", number)]

    numbers: list[int] = []
    assert there(after_s=0) == [7]
    album.look()
    assert there(after_s=1) == [4, 5, 6, 7]
    assert there(after_s=60) == [7], "the screen is off again"


def test_the_latest_picture_of_a_camera_stays_however_large_it_is() -> None:
    album = Album(100 * 40 * 60 * 3, 1)
    for number in range(1, 4):
        album.put(frame("cam1", number), None)
        album.release("cam1", number)
    assert [number for number in range(1, 4) if album.get("cam1", number)] == [3]


def test_released_pictures_give_way_first() -> None:
    album = Album(3 * 40 * 60 * 3)
    for number in range(1, 4):
        album.put(frame("cam1", number), None)
    album.release("cam1", 3)
    album.put(frame("cam1", 4), None)
    assert [number for number in range(1, 5) if album.get("cam1", number)] == [1, 2, 4]


def test_threads_may_put_and_look_at_once() -> None:
    album = Album(20 * 40 * 60 * 3)

    def put(camera: str) -> None:
        for number in range(300):
            album.put(frame(camera, number), None)

    writers = [threading.Thread(target=put, args=(f"cam{at}",)) for at in range(3)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        latest = album.latest("cam0")
        assert latest is None or (latest.image == latest.frame.frame_id % 256).all()
    for writer in writers:
        writer.join()
    assert sum(album.get(f"cam{at}", number) is not None for at in range(3) for number in range(300)) == 20
