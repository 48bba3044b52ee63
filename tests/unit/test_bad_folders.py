"""Folders that cannot be learned from as they are: each is refused in a line, nothing is lost or half written."""

import csv
import errno
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.pictures import CMYK, bomb, turned

from edge_inspector.cli import main
from edge_inspector.errors import ConfigError, EdgeInspectorError
from edge_inspector.training.data import importers, pictures
from edge_inspector.training.data.folder import Folder
from edge_inspector.training.data.importers import import_labels
from edge_inspector.training.data.pictures import foretell
from edge_inspector.training.data.survey import survey

SIZE = (32, 40)


def plate(path: Path, seed: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(90, 200, SIZE, dtype=np.uint8))
    return path


def mask(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    plane = np.zeros(SIZE, np.uint8)
    plane[4:20, 8:24] = 255
    cv2.imwrite(str(path), plane)
    return path


def good_and_bad(root: Path) -> Path:
    plate(root / "good" / "b.png", 2)
    bad = plate(root / "bad" / "a.png", 1)
    mask(root / "bad" / "a_mask.png")
    return bad


def images_and_masks(root: Path) -> Path:
    plate(root / "images" / "b.png", 2)
    mask(root / "masks" / "a.png")
    return plate(root / "images" / "a.png", 1)


def mvtec(root: Path) -> Path:
    plate(root / "train" / "good" / "b.png", 2)
    mask(root / "ground_truth" / "pit" / "a_mask.png")
    return plate(root / "test" / "pit" / "a.png", 1)


def labelme(root: Path) -> Path:
    shape = {"label": "pit", "shape_type": "polygon", "points": [[8, 4], [24, 4], [24, 20]]}
    bad = plate(root / "a.png", 1)
    (root / "a.json").write_text(json.dumps({"imagePath": "a.png", "shapes": [shape]}))
    return bad


def coco(root: Path) -> Path:
    bad = plate(root / "a.png", 1)
    table = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "pit"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[8, 4, 24, 4, 24, 20]]}],
    }
    (root / "labels.json").write_text(json.dumps(table))
    return bad


def taken(source: Path, **more: object) -> importers.Imported:
    return import_labels("", source, source.parent / "out", val_share=0.0, group_pattern="", **more)  # type: ignore[arg-type]


def indexed(root: Path, rows: list[tuple[str, str, str]]) -> Path:
    with (root / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "mask", "class"), *rows])
    return root


def as_telephone(path: Path, orientation: int) -> None:
    path.write_bytes(turned(cv2.imencode(".jpg", cv2.imread(str(path)))[1].tobytes(), orientation))


@pytest.mark.parametrize("make", [good_and_bad, images_and_masks, mvtec])
@pytest.mark.parametrize("orientation", [3, 6])
def test_a_mask_beside_a_turned_picture_could_mean_two_things(
    tmp_path: Path, make: Callable[[Path], Path], orientation: int
) -> None:
    as_telephone(make(tmp_path / "in"), orientation)
    with pytest.raises(ConfigError, match="is turned by its EXIF, its mask is not: save it upright"):
        taken(tmp_path / "in")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_in_an_index_a_turned_picture_with_a_mask_is_named_with_its_line(tmp_path: Path) -> None:
    as_telephone(plate(tmp_path / "a.jpg"), 3)
    as_telephone(plate(tmp_path / "b.jpg"), 3)
    mask(tmp_path / "m.png")
    root = indexed(tmp_path, [("b.jpg", "", "good"), ("a.jpg", "m.png", "pit")])
    with pytest.raises(ConfigError, match=r"line 3: .*a\.jpg: is turned by its EXIF"):
        survey(Folder(root))


def test_polygons_on_a_turned_picture_come_with_an_upright_one(tmp_path: Path) -> None:
    bad = labelme(tmp_path / "in")
    as_telephone(bad, 6)
    taken(tmp_path / "in")
    (entry,) = Folder(tmp_path / "out").entries("train")
    assert entry.image.shape == (SIZE[1], SIZE[0], 1)
    assert entry.classes[6, 20]


@pytest.mark.parametrize("make", [good_and_bad, images_and_masks, mvtec, labelme, coco])
def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    bad = make(tmp_path / "in")
    secret = tmp_path / "elsewhere" / "a.png"
    secret.parent.mkdir()
    bad.rename(secret)
    bad.symlink_to(secret)
    with pytest.raises(ConfigError, match="outside"):
        taken(tmp_path / "in")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "in"]


@pytest.mark.parametrize("name", ["../a.png", "/etc/hostname", "link.png"])
def test_an_index_names_nothing_outside_its_folder(tmp_path: Path, name: str) -> None:
    plate(tmp_path / "a.png")
    root = tmp_path / "in"
    root.mkdir()
    (root / "link.png").symlink_to(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="is outside the folder"):
        Folder(indexed(root, [(name, "", "pit")]))


@pytest.mark.parametrize("name", ["../x.png", "project/../../x.png", "/x.png", "..\\..\\x.png"])
@pytest.mark.parametrize("make", [good_and_bad, coco])
def test_nothing_in_a_zip_file_is_written_outside_the_import(
    tmp_path: Path, make: Callable[[Path], Path], name: str
) -> None:
    make(tmp_path / "in")
    place = tmp_path / "place"
    place.mkdir()
    with zipfile.ZipFile(place / "in.zip", "w") as archive:
        for path in (tmp_path / "in").rglob("*"):
            archive.write(path, f"project/{path.relative_to(tmp_path / 'in')}")
        archive.writestr(name, b"x")
        link = zipfile.ZipInfo("project/link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/hostname")
    with pytest.raises(ConfigError):  # a name outside, or a link that is no picture
        import_labels("", place / "in.zip", place / "out", val_share=0.0, group_pattern="")
    assert sorted(path.name for path in place.iterdir()) == ["in.zip"]
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CMYK, "has the colours of a printer"),
        (bomb(".jpg"), "is larger than 67108864 pixels"),
        (bomb(".tiff"), "is larger than 67108864 pixels"),
        (b"no picture", "is not an image that can be read"),
        (cv2.imencode(".png", np.full(SIZE, 4095, np.uint16))[1].tobytes(), "has 12 bits in 16"),
    ],
)
def test_a_picture_that_nobody_can_learn_from_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    good_and_bad(tmp_path / "in")
    (tmp_path / "in" / "good" / "c.png").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"c\.png: {message}"):
        taken(tmp_path / "in")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    mask(tmp_path / "in" / "m.png")
    root = indexed(tmp_path / "in", [("good/c.png", "", "good"), ("bad/a.png", "m.png", "pit")])
    with pytest.raises(ConfigError, match=rf"line 2: .*c\.png: {message}"):
        survey(Folder(root, grey=True))


def test_a_full_disk_leaves_no_half_of_an_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good_and_bad(tmp_path / "in")

    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as failing:
        failing.setattr(shutil, "copyfile", full)
        with pytest.raises(EdgeInspectorError, match=r"No space left on device\. Nothing was kept"):
            taken(tmp_path / "in")
        assert main(["model", "import", "any", str(tmp_path / "in"), str(tmp_path / "out")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert taken(tmp_path / "in").images == 2


def test_an_import_that_was_killed_can_be_typed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good_and_bad(tmp_path / "in")
    (tmp_path / "out.abc123" / "out").mkdir(parents=True)  # what SIGKILL leaves

    def killed(*_args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as failing:
        failing.setattr(importers, "_split", killed)
        with pytest.raises(KeyboardInterrupt):
            taken(tmp_path / "in")
    assert not (tmp_path / "out").exists()
    assert taken(tmp_path / "in").images == 2


def test_how_long_reading_takes_is_said_after_a_few_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, said, reads = [plate(tmp_path / "a.png")] * 100_000, list[str](), list[Path]()
    clock = iter([0.0, 0.08])
    monkeypatch.setattr(pictures.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(pictures, "read_picture", lambda path, **_: reads.append(path))
    foretell(paths, said.append)
    assert said == ["reading 100000 pictures takes about 17 minutes"]
    assert len(reads) == 8
    clock = iter([0.0, 0.08])
    foretell(paths[:20], said.append)
    foretell_nothing = iter([0.0, 0.0])
    monkeypatch.setattr(pictures.time, "monotonic", lambda: next(foretell_nothing))
    foretell([], said.append)
    assert len(said) == 1
