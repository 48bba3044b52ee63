"""Labels as people have them: a file of each format is made here, and each is read as the same two pictures."""

import csv
import json
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_inspector.cli import main
from edge_inspector.errors import ConfigError
from edge_inspector.training.data.folder import Folder
from edge_inspector.training.data.form_guess import guess_form
from edge_inspector.training.data.importers import import_labels
from edge_inspector.training.data.label_files import Convention
from edge_inspector.training.data.shapes import LARGEST_SIDE, patch_of_runs

TOP, LEFT, SIDE = 4, 8, 16
POINTS = [(LEFT, TOP), (LEFT + SIDE, TOP), (LEFT + SIDE, TOP + SIDE), (LEFT, TOP + SIDE)]
HEIGHT, WIDTH = 32, 40


def plate(path: Path, seed: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8))
    return path


def mask(path: Path, value: int = 255, *, colour: tuple[int, int, int] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    plane = np.zeros((HEIGHT, WIDTH), np.uint8) if colour is None else np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    plane[TOP : TOP + SIDE + 1, LEFT : LEFT + SIDE + 1] = value if colour is None else colour[::-1]
    cv2.imwrite(str(path), plane)
    return path


def shares() -> str:
    return " ".join(f"{x / WIDTH} {y / HEIGHT}" for x, y in POINTS)


def yolo_seg(root: Path) -> None:
    """Ultralytics' layout: images/train and labels/train, names as a list."""
    for number, text in (("a", f"1 {shares()}\n"), ("b", "")):
        plate(root / "images" / "train" / f"{number}.png", ord(number))
        (root / "labels" / "train").mkdir(parents=True, exist_ok=True)
        (root / "labels" / "train" / f"{number}.txt").write_text(text)
    (root / "data.yaml").write_text("path: .\nnames: ['dent', 'pit']\n")


def yolo_roboflow(root: Path) -> None:
    """Roboflow's layout: train/images and train/labels, names as a block."""
    for number, text in (("a", f"0 {shares()}\n"), ("b", "")):
        plate(root / "train" / "images" / f"{number}_jpg.rf.0123.png", ord(number))
        (root / "train" / "labels").mkdir(parents=True, exist_ok=True)
        (root / "train" / "labels" / f"{number}_jpg.rf.0123.txt").write_text(text)
    (root / "data.yaml").write_text("nc: 1\nnames:\n- pit\ntrain: ../train/images\n")


def coco_roboflow(root: Path) -> None:
    for name in "ab":
        plate(root / "train" / f"{name}.png", ord(name))
    outline = [value for point in POINTS for value in point]
    table = {
        "images": [{"id": n, "file_name": f"{name}.png"} for n, name in enumerate("ab")],
        "categories": [{"id": 0, "name": "things"}, {"id": 1, "name": "pit"}],
        "annotations": [{"id": 1, "image_id": 0, "category_id": 1, "segmentation": [outline]}],
    }
    (root / "train" / "_annotations.coco.json").write_text(json.dumps(table))


def coco_for_each_class(root: Path) -> None:
    """One file for each class lists all pictures: the picture without dents has a pit."""
    coco_roboflow(root)
    table = json.loads((root / "train" / "_annotations.coco.json").read_text())
    (root / "train" / "_annotations.coco.json").rename(root / "train" / "pit.json")
    table["annotations"] = []
    table["categories"] = [{"id": 1, "name": "dent"}]
    (root / "train" / "dent.json").write_text(json.dumps(table))


def cvat(root: Path) -> None:
    for name in "ab":
        plate(root / "images" / f"{name}.png", ord(name))
    points = ";".join(f"{x}.0,{y}.0" for x, y in POINTS)
    (root / "annotations.xml").write_text(
        f'<?xml version="1.0"?><annotations><version>1.1</version><image id="0" name="a.png" width="40" height="32">'
        f'<polygon label="pit" occluded="0" points="{points}"/></image>'
        '<image id="1" name="b.png" width="40" height="32"></image></annotations>'
    )


def cvat_mask(root: Path) -> None:
    cvat(root)
    side = SIDE + 1
    text = (root / "annotations.xml").read_text()
    start, end = text.index("<polygon"), text.index("</image>")
    runs = f'rle="0, {side * side}" left="{LEFT}" top="{TOP}" width="{side}" height="{side}"'
    (root / "annotations.xml").write_text(f'{text[:start]}<mask label="pit" {runs}/>{text[end:]}')


def cvat_colours(root: Path) -> None:
    """CVAT's segmentation mask 1.1, which is Pascal VOC's layout."""
    for name in "ab":
        plate(root / "JPEGImages" / f"{name}.png", ord(name))
        mask(root / "SegmentationClass" / f"{name}.png", colour=(250, 50, 83) if name == "a" else (0, 0, 0))
    (root / "labelmap.txt").write_text("# label:color_rgb:parts:actions\nbackground:0,0,0::\npit:250,50,83::\n")


def severstal(root: Path) -> None:
    for name in "ab":
        plate(root / "train_images" / f"{name}.png", ord(name))
    runs = " ".join(f"{column * HEIGHT + TOP + 1} {SIDE + 1}" for column in range(LEFT, LEFT + SIDE + 1))
    (root / "train.csv").write_text(f"ImageId,ClassId,EncodedPixels\na.png,pit,{runs}\nb.png,pit,\n")


def label_studio(root: Path) -> None:
    for name in "ab":
        plate(root / "images" / f"{name}.png", ord(name))
    points = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in POINTS]
    region = {
        "type": "polygonlabels",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "value": {"points": points, "polygonlabels": ["pit"]},
    }
    tasks = [
        {"id": 1, "data": {"image": "/data/upload/1/0123abcd-a.png"}, "annotations": [{"result": [region]}]},
        {"id": 2, "data": {"image": "/data/local-files/?d=parts/b.png"}, "annotations": [{"result": []}]},
    ]
    (root / "export.json").write_text(json.dumps(tasks))


def label_studio_brush(root: Path) -> None:
    label_studio(root)
    tasks = json.loads((root / "export.json").read_text())
    tasks[0]["annotations"][0]["result"] = [{"type": "brushlabels", "value": {"brushlabels": ["pit"], "rle": [1]}}]
    (root / "export.json").write_text(json.dumps(tasks))
    mask(root / "task-1-annotation-7-by-1-tag-pit-0.png")


def images_and_masks(root: Path) -> None:
    for name in "ab":
        plate(root / "images" / f"{name}.png", ord(name))
        mask(root / "masks" / f"{name}.png", 255 if name == "a" else 0)


def masks_beside(root: Path) -> None:
    for name in "ab":
        plate(root / f"{name}.png", ord(name))
        mask(root / f"{name}_mask.png", 255 if name == "a" else 0)


def good_and_bad(root: Path) -> None:
    plate(root / "OK" / "b.png", 2)
    plate(root / "NG" / "a.png", 1)
    mask(root / "NG" / "a_mask.png")


def mvtec_restarting(root: Path) -> None:
    """Numbers start again in each folder: three pictures of three parts, all called 000."""
    plate(root / "train" / "good" / "000.png", 1)
    plate(root / "test" / "good" / "000.png", 2)
    plate(root / "test" / "pit" / "000.png", 3)
    mask(root / "ground_truth" / "pit" / "000_mask.png")


FORMATS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "YOLO-seg of Ultralytics": (yolo_seg, "yolo", "pit"),
    "YOLO-seg of Roboflow": (yolo_roboflow, "yolo", "pit"),
    "COCO of Roboflow": (coco_roboflow, "coco", "pit"),
    "COCO with a file for each class": (coco_for_each_class, "coco", "pit"),
    "CVAT with polygons": (cvat, "cvat", "pit"),
    "CVAT with masks": (cvat_mask, "cvat", "pit"),
    "CVAT or VOC in colours": (cvat_colours, "masks", "pit"),
    "Severstal": (severstal, "severstal", "pit"),
    "Label Studio with polygons": (label_studio, "label-studio", "pit"),
    "Label Studio with brushes": (label_studio_brush, "label-studio", "pit"),
    "images and masks": (images_and_masks, "masks", "defect"),
    "masks beside pictures": (masks_beside, "masks", "defect"),
    "good and bad": (good_and_bad, "folders", "defect"),
    "MVTec with numbers that restart": (mvtec_restarting, "mvtec", "pit"),
}


def imported(source: Path, form: str = "", **choices: object) -> Folder:
    target = source.parent / "out"
    convention = Convention(**choices)  # type: ignore[arg-type]
    import_labels(form, source, target, val_share=0.0, group_pattern="", convention=convention)
    return Folder(target)


def defective_pixels(folder: Folder) -> int:
    (bad,) = [entry for entry in folder.entries("train+val+test") if entry.defective]
    assert bad.classes[TOP, LEFT]
    return int((bad.classes > 0).sum())


@pytest.mark.parametrize(("make", "form", "kind"), FORMATS.values(), ids=FORMATS)
def test_each_format_is_found_out_and_read(tmp_path: Path, make: Callable[[Path], None], form: str, kind: str) -> None:
    source = tmp_path / "in"
    source.mkdir()
    make(source)
    assert guess_form(source) == form
    folder = imported(source)
    assert folder.classes == (kind,)
    assert defective_pixels(folder) == (SIDE + 1) ** 2
    assert any(not entry.defective for entry in folder.entries("train+val+test"))


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
