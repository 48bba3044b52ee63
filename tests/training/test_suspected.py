"""Masks that nobody drew, and what labels must be like. No training library is needed."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_inspector.errors import ConfigError
from edge_inspector.training.data.folder import Folder
from edge_inspector.training.data.labels import refuse_poor_labels
from edge_inspector.training.data.survey import survey
from edge_inspector.training.data.suspected import first_mask, next_mask
from edge_inspector.training.judging.evidence import entry_parts, gather
from edge_inspector.training.judging.figures import figures
from edge_inspector.training.judging.limits import Limit

Image = NDArray[np.uint8]


def cracked() -> tuple[Image, Image, NDArray[np.float32]]:
    """A rough picture with a dark line, its true mask, and a coarse map in cells of eight pixels that is off by one."""
    rng = np.random.default_rng(3)
    picture = rng.normal(150.0, 8.0, (128, 160)).clip(0, 255).astype(np.uint8)
    truth = np.zeros((128, 160), np.uint8)
    cv2.line(truth, (60, 40), (110, 56), 255, 4)
    picture[truth > 0] = 60
    cells = cv2.resize(truth, (20, 16), interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
    return picture[:, :, np.newaxis], truth, cv2.GaussianBlur(np.roll(cells, 1, 0), (0, 0), 1.0)


def overlap(one: Image, other: Image) -> float:
    both, either = (one > 127) & (other > 127), (one > 127) | (other > 127)
    return float(both.sum() / either.sum())


def test_the_mask_is_what_differs_where_a_defect_is_suspected() -> None:
    picture, truth, places = cracked()
    coarse = (cv2.resize(places, (160, 128)) >= 0.4 * places.max()).astype(np.uint8) * 255
    found = first_mask(picture, places)
    assert overlap(found, truth) > 0.6
    assert overlap(coarse, truth) < 0.3
    assert ((found > 0) & (found <= 127)).any(), "what is suspected and does not differ is in doubt"


def test_a_hole_in_what_differs_is_filled() -> None:
    picture, _, _ = cracked()
    picture[:] = 150
    cv2.circle(picture, (80, 64), 14, (60,), 4)
    places = np.zeros((16, 20), np.float32)
    places[5:11, 7:13] = 1.0
    assert first_mask(picture, places)[64, 80] > 127


def test_without_a_place_there_is_no_mask() -> None:
    picture, _, places = cracked()
    assert not first_mask(picture, np.zeros_like(places)).any()


def test_a_plain_region_is_the_defect_as_a_whole() -> None:
    """Nothing differs in it, and the label still says that something is there."""
    places = np.zeros((16, 20), np.float32)
    places[8, 10] = 1.0
    found = first_mask(np.full((128, 160, 1), 90, np.uint8), places)
    assert found[68, 84] > 127
    assert not found[:40].any()


def test_a_weak_second_region_belongs_to_something_else() -> None:
    picture, _, places = cracked()
    places[13, 2] = 0.5 * places.max()
    assert not first_mask(picture, places)[100:, :40].any()


def test_what_a_net_finds_makes_a_coarse_mask_better() -> None:
    """A net finds each mask pixel of which any pixel is defective, because that is how it learns."""
    _, truth, places = cracked()
    coarse = (cv2.resize(places, (160, 128)) >= 0.4 * places.max()).astype(np.uint8) * 255
    found = truth.reshape(64, 2, 80, 2).max(axis=(1, 3))
    assert overlap(next_mask(found, coarse), truth) > 0.7
    assert overlap(coarse, truth) < 0.3


def test_a_net_that_finds_nothing_leaves_the_mask() -> None:
    picture, _, places = cracked()
    before = first_mask(picture, places)
    assert np.array_equal(next_mask(np.full((64, 80), 9, np.uint8), before), before)


def data(root: Path, rows: list[tuple[str, str, str]], *, noise: int = 0) -> Path:
    """Pictures by (name, class, group). Bad ones have a mask, which with `noise` is none at all."""
    rng = np.random.default_rng(7)
    for name, kind, _ in rows:
        cv2.imwrite(str(root / name), rng.integers(0, 255, (32, 40), dtype=np.uint8))
        if kind != "good":
            (root / f"m-{name}").write_bytes(rng.bytes(noise) if noise else cv2.imencode(".png", square())[1].tobytes())
    with (root / "index.csv").open("w", newline="") as file:
        lines = [(name, "" if kind == "good" else f"m-{name}", kind, group, "train") for name, kind, group in rows]
        csv.writer(file).writerows([("image", "mask", "class", "group", "split"), *lines])
    return root


def square() -> Image:
    plane = np.zeros((32, 40), np.uint8)
    plane[8:16, 8:16] = 255
    return plane


ROWS = [(f"{number}.png", "pit" if number % 2 else "good", f"g{number // 2}") for number in range(8)]


def test_masks_are_never_opened(tmp_path: Path) -> None:
    """These masks are no pictures, and the half of them are missing."""
    data(tmp_path, ROWS, noise=90)
    (tmp_path / "m-3.png").unlink()
    folder = Folder(tmp_path, masks="ignored")
    entries = folder.entries("train")
    assert [entry.labelled for entry in entries] == [(1,) if number % 2 else () for number in range(8)]
    assert not any(entry.marks for entry in entries)
    assert "  pit: 4 pictures, by their labels. No mask is read" in list(survey(folder).said())
    with pytest.raises(ConfigError, match=r"mask m-3\.png is missing"):
        Folder(tmp_path)


def test_parts_are_judged_by_their_labels_and_pixels_are_not_counted(tmp_path: Path) -> None:
    folder = Folder(data(tmp_path, ROWS, noise=90), masks="ignored")
    seen = gather(
        lambda image: np.full((1, 16, 20), int(image.mean()), np.uint8),
        classes=1,
        stride=2,
        parts=entry_parts(folder.entries("train")),
    )
    assert seen.true[:, 0].tolist() == [False, True] * 4
    found = figures(seen, ("pit",), [Limit(0.5, 4.0)])
    assert (found.parts, found.defective) == (8, 4)
    assert found.iou == {}
    assert np.isnan([found.mean_iou, found.binary_mean_iou]).all()
    assert found.average_precision["any"] > 0.0


def test_where_some_masks_are_known_pixels_are_counted_there(tmp_path: Path) -> None:
    data(tmp_path, ROWS)
    index = tmp_path / "index.csv"
    index.write_text(index.read_text().replace("m-1.png", "").replace("m-3.png", ""))
    folder = Folder(tmp_path, masks="optional")
    seen = gather(
        lambda _: square()[np.newaxis, ::2, ::2], classes=1, stride=2, parts=entry_parts(folder.entries("train"))
    )
    assert seen.true.sum() == 4
    assert seen.binary[:, 0].tolist() == [0.0, 0.0, 0.0, 0.0, 0.0, 16.0, 0.0, 16.0]
    assert seen.binary[1].tolist() == [0.0, 0.0, 0.0]


def test_a_class_of_one_group_is_refused(tmp_path: Path) -> None:
    folder = Folder(data(tmp_path, [*ROWS, ("x.png", "scratch", "g9")]), masks="ignored")
    with pytest.raises(ConfigError, match="class 'scratch' has 1 picture of 1 group in train: labels need at least 2"):
        refuse_poor_labels(folder, "train")


def test_one_picture_under_two_labels_is_refused_at_once(tmp_path: Path) -> None:
    data(tmp_path, ROWS)
    (tmp_path / "4.png").write_bytes((tmp_path / "3.png").read_bytes())
    with pytest.raises(ConfigError, match=r"3\.png is pit and 4\.png is good, but they are one picture: correct one"):
        refuse_poor_labels(Folder(tmp_path, masks="ignored"), "train")


@pytest.mark.parametrize(
    ("rows", "wrong"),
    [
        ([row for row in ROWS if row[1] == "good"], "names no defect: at least one row needs label 1"),
        ([row for row in ROWS if row[1] != "good"], "every picture of 'train' is defective"),
        ([*ROWS, ("1.png", "good", "g0")], r"1\.png has a row with label 0 and one with label 1"),
    ],
)
def test_labels_of_one_kind_and_contradictions_are_refused(
    rows: list[tuple[str, str, str]], wrong: str, tmp_path: Path
) -> None:
    root = data(tmp_path, rows)
    with pytest.raises(ConfigError, match=wrong):
        Folder(root, masks="ignored").refuse_one_kind("train")
