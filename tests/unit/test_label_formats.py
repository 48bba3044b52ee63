"""Labels as people have them: a file of each format is made here, and each is read as the same two pictures."""

import csv
import json
import shutil
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.label_formats import (
    FORMATS,
    HEIGHT,
    LEFT,
    SIDE,
    TOP,
    WIDTH,
    Format,
    coco,
    cvat,
    cvat_colours,
    cvat_mask,
    good_and_bad,
    images_and_masks,
    label_studio,
    labelme_circle,
    mask,
    masks_beside,
    mvtec_restarting,
    plate,
    severstal,
    shares,
    table,
    via_ellipse,
    yolo_roboflow,
    yolo_seg,
)

from edge_inspector.cli import main
from edge_inspector.errors import ConfigError
from edge_inspector.training.data.folder import Folder
from edge_inspector.training.data.form_guess import guess_form
from edge_inspector.training.data.importers import import_labels
from edge_inspector.training.data.label_files import Convention
from edge_inspector.training.data.shapes import LARGEST_SIDE, patch_of_runs


def imported(source: Path, form: str = "", **choices: object) -> Folder:
    target = source.parent / "out"
    convention = Convention(**choices)  # type: ignore[arg-type]
    import_labels(form, source, target, val_share=0.0, group_pattern="", convention=convention)
    return Folder(target)


def defective_pixels(folder: Folder) -> int:
    (bad,) = [entry for entry in folder.entries("train+val+test") if entry.defective]
    assert bad.classes[TOP, LEFT]
    return int((bad.classes > 0).sum())


@pytest.mark.parametrize("each", FORMATS.values(), ids=FORMATS)
def test_each_format_is_found_out_and_read(tmp_path: Path, each: Format) -> None:
    source = tmp_path / "in"
    source.mkdir()
    each.make(source)
    assert guess_form(source) == each.form
    folder = imported(source, **each.choices)
    assert folder.classes == (each.kind,)
    if each.make not in {labelme_circle, via_ellipse}:  # they are not square
        assert defective_pixels(folder) == (SIDE + 1) ** 2
    assert any(row["label"] == "0" for row in folder.rows("train+val+test"))


def test_the_page_of_formats_says_what_was_read(tmp_path: Path) -> None:
    """`python tests/support/label_formats.py` writes it anew."""
    page = Path(__file__).parents[2] / "docs" / "label-formats.md"
    assert page.read_text(encoding="utf-8") == table(tmp_path)


@pytest.mark.parametrize("name", [name for name, each in FORMATS.items() if each.choices])
def test_what_could_mean_something_else_is_not_read_without_a_word(tmp_path: Path, name: str) -> None:
    source = tmp_path / "in"
    source.mkdir()
    FORMATS[name].make(source)
    with pytest.raises(ConfigError, match=r"--boxes|--class-attribute NAME|numbers of classes"):
        imported(source)


def test_a_region_to_ignore_is_no_class_in_any_format(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    yolo_seg(source)
    (source / "data.yaml").write_text("names:\n  0: dent # the small ones\n  1: __ignore__\n")
    (source / "labels" / "train" / "b.txt").write_text(f"0 {shares()}\n")
    folder = imported(source)
    assert folder.classes == ("dent",)
    assert sorted(row["note"] for row in folder.rows("train")) == ["", "has a region to ignore"]


@pytest.mark.parametrize(
    ("make", "lost", "message"),
    [
        (yolo_seg, "labels/train/A.txt", "has regions and no picture of its name"),
        (images_and_masks, "masks/a_seg.png", "1 masks belong to no picture"),
        (masks_beside, "c_mask.png", "1 masks belong to no picture"),
        (good_and_bad, "scratch/c.png", "has 1 pictures that are in neither good nor bad"),
        (good_and_bad, "c.png", "has 1 pictures that are in neither good nor bad"),
    ],
)
def test_what_would_be_lost_is_refused(tmp_path: Path, make: Callable[[Path], None], lost: str, message: str) -> None:
    """Otherwise the picture that a label was meant for would count as good."""
    source = tmp_path / "in"
    source.mkdir()
    make(source)
    if lost.endswith(".txt"):
        (source / lost).write_text(f"0 {shares()}\n")
    else:
        mask(source / lost)
    with pytest.raises(ConfigError, match=message):
        imported(source)


def test_good_pictures_deep_in_folders_are_read(tmp_path: Path) -> None:
    source = tmp_path / "in"
    good_and_bad(source)
    plate(source / "OK" / "2026" / "06" / "c.png", 9)
    assert len(imported(source).rows("train")) == 3


def test_pictures_that_no_label_file_names_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in"
    coco(source)
    plate(source / "images" / "default" / "c.png", 9)
    assert main(["model", "import", "any", str(source), str(tmp_path / "out")]) == 0
    assert "1 images are named in no label file and were left out" in capsys.readouterr().out


def test_masks_of_mvtec_may_have_any_two_values_and_no_class_numbers(tmp_path: Path) -> None:
    source = tmp_path / "in"
    mvtec_restarting(source)
    mask(source / "ground_truth" / "pit" / "000_mask.png", 1)
    assert defective_pixels(imported(source)) == (SIDE + 1) ** 2
    plane = np.ones((HEIGHT, WIDTH), np.uint8)
    plane[:4], plane[4:8] = 0, 255
    cv2.imwrite(str(source / "ground_truth" / "pit" / "000_mask.png"), plane)
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(ConfigError, match="these are numbers of classes, where 255 often means 'ignore'"):
        imported(source)


def test_a_link_out_of_the_folder_is_refused_wherever_it_is(tmp_path: Path) -> None:
    source = tmp_path / "in"
    images_and_masks(source)
    mask(tmp_path / "elsewhere.png")
    (source / "masks" / "a.png").unlink()
    (source / "masks" / "a.png").symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(ConfigError, match=r"masks/a\.png: lies outside"):
        imported(source)


def test_a_zip_file_is_read_as_it_comes_and_its_splits_stay(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    yolo_roboflow(source)
    plate(source / "valid" / "images" / "c.png", 9)
    (source / "valid" / "labels").mkdir()
    (source / "valid" / "labels" / "c.txt").write_text(f"0 {shares()}\n")
    with zipfile.ZipFile(tmp_path / "project.zip", "w") as archive:
        for path in source.rglob("*"):
            archive.write(path, f"project/{path.relative_to(source)}")
    import_labels("", tmp_path / "project.zip", tmp_path / "out", val_share=0.9, group_pattern="")
    folder = Folder(tmp_path / "out")
    assert folder.splits() == {"train": 2, "val": 1}
    assert {folder.group_of(row) for row in folder.rows("train")} == {"a_jpg", "b_jpg"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out", "project.zip"]


def test_a_zip_file_that_leaves_the_folder_or_explodes_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        archive.writestr("../escape.png", b"x")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.png", bytes(50 << 20))
    (tmp_path / "text.zip").write_text("no zip file")
    for name, message in (("out", "leaves the folder"), ("bomb", "it was not unpacked"), ("text", "neither a folder")):
        with pytest.raises(ConfigError, match=message):
            import_labels("", tmp_path / f"{name}.zip", tmp_path / "made", val_share=0.0, group_pattern="")
    assert not (tmp_path / "made").exists()
    assert not (tmp_path / "escape.png").exists()
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".zip", ".zip", ".zip"]


@pytest.mark.parametrize("packing", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_damaged_zip_file_is_refused_in_a_line(tmp_path: Path, packing: int) -> None:
    text = np.random.default_rng(1).integers(0, 8, 4000, dtype=np.uint8).tobytes()
    with zipfile.ZipFile(tmp_path / "in.zip", "w", packing) as archive:
        archive.writestr("a.txt", text)
    raw = bytearray((tmp_path / "in.zip").read_bytes())
    raw[50:200] = b"\xff" * 150
    (tmp_path / "in.zip").write_bytes(raw)
    with pytest.raises(ConfigError, match="cannot be unpacked"):
        import_labels("", tmp_path / "in.zip", tmp_path / "out", val_share=0.0, group_pattern="")
    assert [path.name for path in tmp_path.iterdir()] == ["in.zip"]


def test_a_folder_whose_name_says_what_is_in_it_is_kept_in_a_zip_file(tmp_path: Path) -> None:
    """Good parts alone are enough for a model, and people pack one folder."""
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.write(plate(tmp_path / "a.png"), "Good/a.png")
    with pytest.raises(ConfigError, match="no defect found in it as folders"):
        imported(tmp_path / "in.zip")


def test_a_zip_file_with_an_index_needs_no_import(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("index.csv", "image,class\na.png,good\n")
    with pytest.raises(ConfigError, match=r"has index\.csv already and needs no import: unpack it"):
        import_labels("", tmp_path / "in.zip", tmp_path / "out", val_share=0.0, group_pattern="")


def test_labels_without_a_defect_are_refused_with_the_form_that_was_found(tmp_path: Path) -> None:
    plate(tmp_path / "in" / "good" / "a.png")
    with pytest.raises(ConfigError, match="no defect found in it as folders"):
        imported(tmp_path / "in")


def test_masks_of_class_numbers_are_read_once_the_numbers_have_names(tmp_path: Path) -> None:
    source = tmp_path / "in"
    images_and_masks(source)
    plane = cv2.imread(str(mask(source / "masks" / "a.png", 1)), 0)
    plane[28:, :] = 255
    cv2.imwrite(str(source / "masks" / "a.png"), plane)
    with pytest.raises(ConfigError, match="these are numbers of classes, where 255 often means 'ignore'"):
        imported(source)
    with pytest.raises(ConfigError, match=r"class numbers 1: name each, as --class 1=NAME"):
        imported(source, names={"2": "dent"})
    folder = imported(source, names={"1": "pit"})
    assert folder.classes == ("pit",)
    assert [row["note"] for row in folder.rows("train")] == ["has a region to ignore", ""]


def test_classes_are_renamed_joined_and_dropped(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    yolo_seg(source)
    label = source / "labels" / "train" / "b.txt"
    label.write_text(f"0 {shares()}\n")
    words = ["model", "import", "any", str(source), str(tmp_path / "joined"), "--class", "pit=hole", "--class"]
    assert main([*words, "dent=hole"]) == 0
    assert Folder(tmp_path / "joined").classes == ("hole",)
    assert main(["model", "import", "any", str(source), str(tmp_path / "dropped"), "--drop", "dent"]) == 0
    folder = Folder(tmp_path / "dropped")
    assert folder.classes == ("pit",)
    assert sum(row["label"] == "0" for row in folder.rows("train+val")) == 1


def test_bad_pictures_without_a_mask_are_kept_apart(tmp_path: Path) -> None:
    source = tmp_path / "in"
    good_and_bad(source)
    plate(source / "NG" / "c.png", 7)
    folder = imported(source)
    notes = {row["image"][-5:]: row["note"] for row in folder.rows("train")}
    assert notes == {"a.png": "", "b.png": "", "c.png": "no mask"}
    assert len(folder.entries("train")) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 0.1 0.1 0.2\n", "a polygon has"),
        ("0 0.5 0.5 0.2 0.2\n", "marks a defect by a box"),
        ("pit 0.1 0.1 0.2 0.2 0.3 0.3\n", "line 1 is not a class number"),
        ("0 10 10 200 10 200 200\n", "are not shares of width and height"),
        ("0 nan 0.1 0.2 0.2 0.3 0.3\n", "not a number"),
    ],
)
def test_lines_of_yolo_are_not_trusted(tmp_path: Path, text: str, message: str) -> None:
    source = tmp_path / "in"
    source.mkdir()
    yolo_seg(source)
    (source / "labels" / "train" / "a.txt").write_text(text)
    with pytest.raises(ConfigError, match=message):
        imported(source)


@pytest.mark.parametrize("xml", ["", "<a", '<!DOCTYPE a [<!ENTITY b "c">]><annotations/>'])
def test_a_file_of_cvat_is_not_trusted(tmp_path: Path, xml: str) -> None:
    source = tmp_path / "in"
    source.mkdir()
    cvat(source)
    (source / "annotations.xml").write_text(xml)
    with pytest.raises(ConfigError, match=r"annotations\.xml: cannot be read"):
        imported(source, "cvat")


@pytest.mark.parametrize("runs", ["", "x", "inf", "1e400", "-5, 294", "9" * 5000])
def test_runs_of_cvat_are_not_trusted(tmp_path: Path, runs: str) -> None:
    source = tmp_path / "in"
    source.mkdir()
    cvat_mask(source)
    text = (source / "annotations.xml").read_text()
    start = text.index('rle="') + 5
    (source / "annotations.xml").write_text(text[:start] + runs + text[text.index('"', start) :])
    with pytest.raises(ConfigError, match="run lengths do not add up"):
        imported(source)


def test_masks_of_cvat_take_memory_only_while_they_are_drawn() -> None:
    """A line of text can mean a mask of 256 MB, and there may be many."""
    side = LARGEST_SIDE
    tracemalloc.start()
    masks = [patch_of_runs([side * side], [0, 0, side, side]) for _ in range(3)]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(masks) == 3
    assert most < 1 << 20


@pytest.mark.parametrize(
    "task",
    [
        {"id": 1, "data": "a.png", "annotations": []},
        {"id": 1, "data": {"image": "http://[a.png"}, "annotations": []},
        {"id": 1, "data": {"image": "a.png"}, "annotations": ["none"]},
        {
            "id": 1,
            "data": {"image": "a.png"},
            "annotations": [{"result": [{"type": "polygonlabels", "value": 3}, {"type": "x", "value": []}, 7]}],
        },
    ],
)
def test_tasks_of_label_studio_are_not_trusted(tmp_path: Path, task: dict[str, object]) -> None:
    source = tmp_path / "in"
    source.mkdir()
    label_studio(source)
    (source / "export.json").write_text(json.dumps([task]))
    with pytest.raises(ConfigError):
        imported(source)


@pytest.mark.parametrize("kind", [["circle"], {"a": 1}])
def test_shapes_of_labelme_are_not_trusted(tmp_path: Path, kind: object) -> None:
    plate(tmp_path / "in" / "a.png")
    shape = {"label": "pit", "shape_type": kind, "points": [[1, 1], [5, 5]]}
    (tmp_path / "in" / "a.json").write_text(json.dumps({"imagePath": "a.png", "shapes": [shape]}))
    with pytest.raises(ConfigError, match="draw polygons around the defects"):
        imported(tmp_path / "in")


def test_a_label_map_is_not_trusted(tmp_path: Path) -> None:
    source = tmp_path / "in"
    cvat_colours(source)
    (source / "labelmap.txt").write_bytes(b"\xe4:1,2,3::\n")
    with pytest.raises(ConfigError, match=r"labelmap\.txt: cannot be read"):
        imported(source)


@pytest.mark.parametrize("runs", ["1 99999999", "5", "x 1", "0 5"])
def test_runs_of_severstal_are_not_trusted(tmp_path: Path, runs: str) -> None:
    source = tmp_path / "in"
    source.mkdir()
    severstal(source)
    (source / "train.csv").write_text(f"ImageId,ClassId,EncodedPixels\na.png,pit,{runs}\n")
    with pytest.raises(ConfigError, match=r"run lengths are no pairs|a run ends at pixel"):
        imported(source)


def test_a_folder_without_labels_is_told_what_to_do(tmp_path: Path) -> None:
    plate(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="has 1 pictures and no labels in a known form: sort them into the folders"):
        guess_form(tmp_path)


def rows_of(root: Path, rows: list[dict[str, str]]) -> Path:
    for number, row in enumerate(rows):
        plate(root / row["image"], number)
    with (root / "index.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


def test_one_index_with_image_and_class_serves_everything(tmp_path: Path) -> None:
    """The demo needs no more, so training needs no more."""
    rows = [
        {"image": f"{n}.png", "mask": f"m{n}.png" if n % 2 else "", "class": "pit" if n % 2 else ""} for n in range(16)
    ]
    root = rows_of(tmp_path, rows)
    for n in range(1, 16, 2):
        mask(root / f"m{n}.png")
    folder = Folder(root)
    assert [row["label"] for row in folder.rows("train+val")].count("1") == 8
    assert folder.splits() == {"train": 12, "val": 4}
    assert Folder(root).rows("val") == folder.rows("val")
