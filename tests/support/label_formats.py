"""Labels as people have them: a file of each format, with the same two pictures, one of them with a square defect.

`python tests/support/label_formats.py` writes docs/label-formats.md, which says what was read of each. A test compares.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, NamedTuple

import cv2
import numpy as np

from edge_inspector.training.data.folder import Folder
from edge_inspector.training.data.form_guess import guess_form
from edge_inspector.training.data.importers import import_labels
from edge_inspector.training.data.label_files import Convention

TOP, LEFT, SIDE = 4, 8, 16
POINTS = [(LEFT, TOP), (LEFT + SIDE, TOP), (LEFT + SIDE, TOP + SIDE), (LEFT, TOP + SIDE)]
HEIGHT, WIDTH = 32, 40
BOX = [LEFT, TOP, SIDE, SIDE]
PACKED = "T8a0?0000000000000000000000000000000l>"


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


def coco(root: Path, shape: dict[str, Any] | None = None) -> None:
    """CVAT's layout of COCO: annotations/ and images/default/."""
    for name in "ab":
        plate(root / "images" / "default" / f"{name}.png", ord(name))
    shape = shape or {"segmentation": [[value for point in POINTS for value in point]]}
    table = {
        "images": [{"id": n, "file_name": f"{name}.png"} for n, name in enumerate("ab")],
        "categories": [{"id": 1, "name": "pit"}],
        "annotations": [{"id": 1, "image_id": 0, "category_id": 1, "bbox": BOX, **shape}],
    }
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_default.json").write_text(json.dumps(table))


def coco_runs(root: Path) -> None:
    """Run lengths as numbers, column by column, good first."""
    side = SIDE + 1
    first, rest = LEFT * HEIGHT + TOP, HEIGHT - side
    runs = [first, *([side, rest] * side)]
    runs[-1] += HEIGHT * WIDTH - sum(runs)
    coco(root, {"segmentation": {"counts": runs, "size": [HEIGHT, WIDTH]}})


def coco_packed(root: Path) -> None:
    """Run lengths as a text. This one was written by pycocotools 2.0."""
    coco(root, {"segmentation": {"counts": PACKED, "size": [HEIGHT, WIDTH]}})


def coco_boxes(root: Path) -> None:
    coco(root, {"segmentation": []})


def labelme(root: Path, kind: str = "polygon", points: Any = None, **more: Any) -> None:
    """A good picture has a file as well, without shapes."""
    for name in "ab":
        plate(root / f"{name}.png", ord(name))
        shape = {"label": "pit", "shape_type": kind, "points": points or POINTS, **more}
        table = {"imagePath": f"..\\pictures\\{name}.png", "shapes": [shape] if name == "a" else []}
        (root / f"{name}.json").write_text(json.dumps(table))


def labelme_rectangle(root: Path) -> None:
    labelme(root, "rectangle", [POINTS[0], POINTS[2]])


def labelme_circle(root: Path) -> None:
    middle = [LEFT + SIDE / 2, TOP + SIDE / 2]
    labelme(root, "circle", [middle, POINTS[2]])


def labelme_mask(root: Path) -> None:
    stamp = base64.b64encode(cv2.imencode(".png", np.ones((SIDE + 1, SIDE + 1), np.uint8))[1].tobytes()).decode()
    labelme(root, "mask", [POINTS[0], POINTS[2]], mask=stamp)


def labelme_ignore(root: Path) -> None:
    """The good picture has a region that is neither good nor bad."""
    labelme(root)
    shape = {"label": "__ignore__", "shape_type": "polygon", "points": POINTS}
    (root / "b.json").write_text(json.dumps({"imagePath": "b.png", "shapes": [shape]}))


def via(root: Path, shape: Any = None, attributes: Any = None, menus: Any = None) -> None:
    for name in "ab":
        plate(root / f"{name}.png", ord(name))
    outline = {"name": "polygon", "all_points_x": [x for x, _ in POINTS], "all_points_y": [y for _, y in POINTS]}
    region = {"shape_attributes": shape or outline, "region_attributes": attributes or {"defect": "pit"}}
    table = {f"{name}.png9": {"filename": f"{name}.png", "regions": [region] if name == "a" else []} for name in "ab"}
    (root / "via.json").write_text(
        json.dumps({"_via_img_metadata": table, "_via_attributes": {"region": menus or {}, "file": {}}})
    )


def via_two(root: Path) -> None:
    via(root, attributes={"operator": "shift-2", "defect": "pit"})


def via_menu(root: Path) -> None:
    menu = {"type": "dropdown", "options": {"1": "pit", "2": "dent"}, "default_options": {}}
    via(root, attributes={"defect": "1"}, menus={"defect": menu})


def via_ticked(root: Path) -> None:
    via(root, attributes={"defect": {"pit": True}})


def via_ellipse(root: Path) -> None:
    half = SIDE / 2
    via(root, {"name": "ellipse", "cx": LEFT + half, "cy": TOP + half, "rx": half, "ry": half, "theta": 0})


def via_rectangle(root: Path) -> None:
    via(root, {"name": "rect", **dict(zip(("x", "y", "width", "height"), BOX, strict=True))})


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


def yolo_boxes(root: Path) -> None:
    yolo_seg(root)
    x, y = LEFT + SIDE / 2, TOP + SIDE / 2
    box = f"1 {x / WIDTH} {y / HEIGHT} {SIDE / WIDTH} {SIDE / HEIGHT}\n"
    (root / "labels" / "train" / "a.txt").write_text(box)


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


def class_numbers(root: Path) -> None:
    """1 is a pit, and 255 is to be ignored, as in Pascal VOC."""
    images_and_masks(root)
    mask(root / "masks" / "a.png", 1)
    border = mask(root / "masks" / "b.png", 0)
    cv2.imwrite(str(border), np.full((HEIGHT, WIDTH), 255, np.uint8))


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


class Format(NamedTuple):
    """What people have, the form that it is taken for, the class, and what must be said to read it."""

    make: Callable[[Path], None]
    form: str
    kind: str = "pit"
    words: str = ""
    choices: Mapping[str, Any] = MappingProxyType({})


def _boxed(make: Callable[[Path], None], form: str) -> Format:
    return Format(make, form, words="--boxes", choices={"boxes": True})


FORMATS: dict[str, Format] = {
    "COCO with polygons, as CVAT writes it": Format(coco, "coco"),
    "COCO with run lengths": Format(coco_runs, "coco"),
    "COCO with packed run lengths": Format(coco_packed, "coco"),
    "COCO with boxes": _boxed(coco_boxes, "coco"),
    "COCO of Roboflow": Format(coco_roboflow, "coco"),
    "COCO with a file for each class": Format(coco_for_each_class, "coco"),
    "labelme with polygons": Format(labelme, "labelme"),
    "labelme with rectangles": _boxed(labelme_rectangle, "labelme"),
    "labelme with circles": Format(labelme_circle, "labelme"),
    "labelme with masks": Format(labelme_mask, "labelme"),
    "labelme with a region to ignore": Format(labelme_ignore, "labelme"),
    "VIA with polygons": Format(via, "via"),
    "VIA with several attributes": Format(
        via_two, "via", words="--attribute defect", choices={"class_attribute": "defect"}
    ),
    "VIA with menus": Format(via_menu, "via"),
    "VIA with check boxes": Format(via_ticked, "via"),
    "VIA with ellipses": Format(via_ellipse, "via"),
    "VIA with rectangles": _boxed(via_rectangle, "via"),
    "YOLO-seg of Ultralytics": Format(yolo_seg, "yolo"),
    "YOLO-seg of Roboflow": Format(yolo_roboflow, "yolo"),
    "YOLO with boxes": _boxed(yolo_boxes, "yolo"),
    "CVAT with polygons": Format(cvat, "cvat"),
    "CVAT with masks": Format(cvat_mask, "cvat"),
    "CVAT or VOC in colours": Format(cvat_colours, "masks"),
    "Severstal": Format(severstal, "severstal"),
    "Label Studio with polygons": Format(label_studio, "label-studio"),
    "Label Studio with brushes": Format(label_studio_brush, "label-studio"),
    "images and masks": Format(images_and_masks, "masks", "defect"),
    "masks beside pictures": Format(masks_beside, "masks", "defect"),
    "masks of class numbers": Format(class_numbers, "masks", words="--class 1=pit", choices={"names": {"1": "pit"}}),
    "good and bad": Format(good_and_bad, "folders", "defect"),
    "MVTec with numbers that restart": Format(mvtec_restarting, "mvtec"),
}

_HEAD = f"""# Labels as people have them

`edge-inspector model import any SOURCE TARGET` and `model quick` find out by themselves which format it is. A test
makes each row of this table: it writes the files, imports them, and says what was read. A square of
{(SIDE + 1) ** 2} px is drawn in each. Circles and ellipses have other areas. [models.md](models.md#data) has the rules.

| what people have | files | format | options | pictures | good | class | flawed px | not learned from |
|---|---|---|---|---|---|---|---|---|
"""


def table(scratch: Path) -> str:
    """The page with the table of all formats, each made in a folder of `scratch` and read."""
    return _HEAD + "".join(f"| {' | '.join(row)} |\n" for row in _rows(scratch))


def _rows(scratch: Path) -> Iterator[list[str]]:
    for number, (name, each) in enumerate(FORMATS.items()):
        source = scratch / str(number) / "in"
        source.mkdir(parents=True)
        each.make(source)
        files = sorted(path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file())
        form = guess_form(source)
        target = scratch / str(number) / "out"
        import_labels("", source, target, val_share=0.0, group_pattern="", convention=Convention(**each.choices))
        folder = Folder(target)
        rows = folder.rows("train+val+test")
        noted = sum(bool(row["note"]) for row in rows)
        areas = [
            str(np.count_nonzero(cv2.imread(str(target / row["mask"]), cv2.IMREAD_GRAYSCALE)))
            for row in rows
            if row["mask"]
        ]
        listed = ", ".join(f"`{file}`" for file in files)
        good = sum(row["label"] == "0" for row in rows)
        words = f"`{each.words}`" if each.words else ""
        numbers = [str(len({row["image"] for row in rows})), str(good), ", ".join(folder.classes), ", ".join(areas)]
        yield [name, listed, f"`{form}`", words, *numbers, str(noted or "")]


if __name__ == "__main__":
    with TemporaryDirectory() as made:
        page = Path(__file__).parents[2] / "docs" / "label-formats.md"
        page.write_text(table(Path(made)), encoding="utf-8")
        sys.stdout.write(f"{page}\n")
