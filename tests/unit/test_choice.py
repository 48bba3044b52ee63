"""A chosen recipe outlives the daemon; nothing that stands in its file can keep a station from starting."""

from pathlib import Path

import pytest

from edge_inspector.errors import DeviceError
from edge_inspector.store.choice import remember_choice, remembered_choice


def test_a_choice_is_remembered_until_the_station_file_starts_with_another_recipe(tmp_path: Path) -> None:
    assert remembered_choice(tmp_path, 4) == 4
    remember_choice(tmp_path, 4, 5)
    assert remembered_choice(tmp_path, 4) == 5
    assert remembered_choice(tmp_path, 6) == 6
    remember_choice(tmp_path, 4, 4)
    assert remembered_choice(tmp_path, 4) == 4


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"{}", b"[]", b"7", b'{"configured": 4}', b'{"configured": 4, "chosen": "5"}', b"[" * 100_000],
)
def test_a_damaged_file_is_no_choice(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "recipe.json").write_bytes(content)
    assert remembered_choice(tmp_path, 4) == 4


def test_a_choice_that_cannot_be_kept_is_an_error_with_the_file_s_name(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"recipe\.json: the chosen recipe cannot be kept: No such file"):
        remember_choice(tmp_path / "absent", 4, 5)
