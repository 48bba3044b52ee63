"""What was read is said first, and refused with its line if it cannot be right."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_inspector.errors import ConfigError
from edge_inspector.training.data import survey as survey_module
from edge_inspector.training.data.folder import Folder
from edge_inspector.training.data.survey import survey


def data(root: Path, *, value: int = 255, split: str = "train") -> Path:
    """Four pictures, of which b and d have a flaw of 64 pixels."""
    rows = []
    for number, name in enumerate("abcd"):
        cv2.imwrite(str(root / f"{name}.png"), np.full((32, 40), 90 + number, np.uint8))
        bad = name in "bd"
        if bad:
            plane = np.zeros((32, 40), np.uint8)
            plane[4:12, 4:12] = value
            cv2.imwrite(str(root / f"m-{name}.png"), plane)
        rows.append(
            (f"{name}.png", f"m-{name}.png" if bad else "", "pit" if bad else "good", int(bad), split, number // 2)
        )
    with (root / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "mask", "class", "label", "split", "group"), *rows])
    return root


def test_what_was_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "d.png").write_bytes((data(tmp_path) / "b.png").read_bytes())
    assert list(survey(Folder(tmp_path)).said()) == [
        "read 4 pictures of 2 groups (group): grey, 8 bits, 32 x 40 px; train 4",
        "  good: 2 pictures",
        "  pit: 2 pictures, flawed pixels 64 to 64, median 64 (5.00 % of a picture)",
        "  1 pictures are exact copies of others: one part counts several times",
    ]


@pytest.mark.parametrize(
    ("value", "line"), [(1, r"index\.csv: line 3: .*m-b\.png: is not a mask"), (0, r"line 3: .*m-b\.png: is empty")]
)
def test_a_mask_that_cannot_be_is_refused_with_its_line(tmp_path: Path, value: int, line: str) -> None:
    with pytest.raises(ConfigError, match=line) as caught:
        survey(Folder(data(tmp_path, value=value)))
    assert len(caught.value.faults) == 2


def test_one_picture_under_two_names_is_good_or_it_is_not(tmp_path: Path) -> None:
    data(tmp_path)
    (tmp_path / "c.png").write_bytes((tmp_path / "b.png").read_bytes())
    with pytest.raises(ConfigError, match=r"c\.png is good and b\.png is defective, but they are the same picture"):
        survey(Folder(tmp_path))


@pytest.mark.parametrize(("bits", "levels"), [(10, 4), (12, 16)])
def test_few_bits_in_sixteen_are_refused(tmp_path: Path, bits: int, levels: int) -> None:
    data(tmp_path)
    pixels = np.random.default_rng(1).integers(0, 1 << bits, (32, 40)).astype(np.uint16)
    pixels[0, 0] = (1 << bits) - 1
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    with pytest.raises(ConfigError, match=rf"line 2: .*a\.png: has {bits} bits in 16.*only {levels} grey levels"):
        survey(Folder(tmp_path))


def test_sixteen_bits_that_are_used_are_read(tmp_path: Path) -> None:
    data(tmp_path)
    pixels = np.random.default_rng(1).integers(0, 1 << 16, (32, 40)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    assert "grey, 8/16 bits" in next(iter(survey(Folder(tmp_path)).said()))
    (entry,) = [each for each in Folder(tmp_path).entries("train") if each.name == "a.png"]
    assert np.array_equal(entry.image[..., 0], pixels >> 8)


def test_pictures_that_do_not_fit_into_the_memory_are_refused_before_hours_are_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = survey(Folder(data(tmp_path)))
    needed = 32 * 40 * (2 + 2 * 2)  # of the bad ones the mask, too
    monkeypatch.setattr(survey_module, "free_memory", lambda: 2 * needed)
    found.refuse_too_large("train", 1)
    monkeypatch.setattr(survey_module, "free_memory", lambda: needed)
    with pytest.raises(ConfigError, match="4 pictures take 0 MB of memory at 1/1 of their size, and 0 MB are free"):
        found.refuse_too_large("train", 1)
    found.refuse_too_large("train", 2)
    found.refuse_too_large("val", 1)


def test_some_rows_without_a_split_are_named(tmp_path: Path) -> None:
    data(tmp_path)
    text = (tmp_path / "index.csv").read_text().replace("c.png,,good,0,train", "c.png,,good,0,")
    (tmp_path / "index.csv").write_text(text)
    with pytest.raises(ConfigError, match="line 4 has no split, other lines have one"):
        Folder(tmp_path)
