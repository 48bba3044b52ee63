"""Picture files from outside: each is read as it is shown, or refused in a line before it takes memory."""

import struct
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pictures import CMYK, ENDINGS, bomb, encoded, turned

from edge_inspector.store import picture_file
from edge_inspector.store.picture_file import Header, camera_picture, content_of, decoded, header_of, is_turned


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_sides_are_read_from_the_first_bytes(ending: str, channels: int) -> None:
    content = encoded(ending, channels=channels)
    assert header_of(content) == Header(7, 13)
    assert camera_picture(content).shape[:2] == (7, 13)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_that_ends_too_early_is_no_picture_or_one_of_its_size(ending: str) -> None:
    content = encoded(ending)
    for length in range(len(content)):
        assert header_of(content[:length]) in (None, Header(7, 13))


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_picture_that_would_explode_is_refused_before_it_is_unfolded(
    ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was unfolded"))
    with pytest.raises(ValueError, match="is larger than 67108864 pixels"):
        camera_picture(bomb(ending))


def test_fifty_megapixels_are_read_where_they_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    claimed = bytearray(encoded(".png"))
    claimed[16:24] = struct.pack(">II", 8192, 6144)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: np.zeros((6144, 8192), np.uint8))
    assert camera_picture(bytes(claimed)).shape == (6144, 8192)
    with pytest.raises(ValueError, match="is larger than 33554432 pixels"):
        camera_picture(bytes(claimed), 1 << 25)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CMYK, r"colours of a printer \(CMYK\)"),
        (b"", "not an image that can be read"),
        (b"P5 2 2 255\nabcd", "not an image that can be read"),
        (b"GIF89a" + bytes(40), "not an image that can be read"),
        (b"BM" + bytes(60), "not an image that can be read"),
        (b"\xff\xd8" + b"\xff\x01" * 30_000, "not an image that can be read"),
        (encoded(".png")[:40], "not an image that can be read"),
        (
            cv2.imencode(".png", np.full((4, 4), 1023, np.uint16))[1].tobytes(),
            "has 10 bits in 16, at most 1023: only 4",
        ),
        (cv2.imencode(".tiff", np.zeros((4, 4), np.float32))[1].tobytes(), "holds values of type float32"),
    ],
)
def test_what_no_camera_gives_is_refused_in_a_line(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as told:
        camera_picture(content)
    assert "\n" not in str(told.value)


def test_sixteen_bits_that_are_used_become_eight() -> None:
    assert camera_picture(encoded(".png", kind=np.uint16)).max() == 255


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_picture_is_read_as_it_is_shown(orientation: int) -> None:
    content = turned(encoded(".jpg"), orientation)
    assert camera_picture(content).shape[:2] == ((13, 7) if orientation == 6 else (7, 13))
    assert is_turned(content)
    assert not is_turned(turned(encoded(".jpg"), 1))
    assert not is_turned(encoded(".png"))


def test_a_file_of_any_size_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(encoded(".png"))
    assert content_of(tmp_path / "a.png") == encoded(".png")
    monkeypatch.setattr(picture_file, "_LARGEST_FILE", 10)
    with pytest.raises(ValueError, match="is larger than"):
        content_of(tmp_path / "a.png")
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        content_of(tmp_path / "b.png")


@given(st.sampled_from(ENDINGS), st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=8))
def test_damaged_files_are_answered_with_a_line_and_nothing_else(ending: str, changes: list[tuple[int, int]]) -> None:
    content = bytearray(encoded(ending))
    for at, value in changes:
        content[at % len(content)] = value
    with suppress(ValueError):
        assert decoded(bytes(content), cv2.IMREAD_GRAYSCALE, 1 << 16).size <= 1 << 16
