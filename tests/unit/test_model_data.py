"""Folders with index.csv, the labels of other tools, and folds that cannot leak. No training library is needed."""

import base64
import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspector.cli import main
from edge_inspector.errors import ConfigError
from edge_inspector.segmenters.manifest import Manifest, read_manifest
from edge_inspector.segmenters.tiling import place
from edge_inspector.training.data import label_files
from edge_inspector.training.data.folder import Folder
from edge_inspector.training.data.folds import grouped_folds
from edge_inspector.training.data.importers import import_labels
from edge_inspector.training.data.label_files import Convention
from edge_inspector.training.judging.splits import folder_parts, open_judged
from edge_inspector.training.shipping.manifest import FILES, Card, Draft

SQUARE = [4, 4, 20, 4, 20, 20, 4, 20]


def picture(path: Path, channels: int = 1) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (32, 40) if channels == 1 else (32, 40, 3)
    seed = sum(path.name.encode())
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))
    return path.name


def mask(path: Path, value: int = 255) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    plane = np.zeros((32, 40), np.uint8)
    plane[4:12, 4:12] = value
    cv2.imwrite(str(path), plane)
    return path.name


def index(root: Path, rows: list[dict[str, str]]) -> Path:
    for row in rows:
        picture(root / row["image"])
        if row["mask"] and ".." not in row["mask"]:
            mask(root / row["mask"], 255 * int(row["label"] == "1"))
    with (root / "index.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


def row(number: int, kind: str = "good", **more: str) -> dict[str, str]:
    bad = kind != "good"
    name = f"m{number}-{kind}.png" if bad else ""
    return {
        "image": f"i{number}.png",
        "mask": name,
        "class": kind,
        "label": str(int(bad)),
        "session": f"s{number}",
        "split": "train",
    } | more


def manifest(folder: Path) -> Manifest:
    """Of a grey model that finds pits."""
    (folder / FILES["fp32"]).write_bytes(b"weights")
    Draft(Card("m", "1.0", "Apache-2.0", ""), ("pit",), (64, 64, 1), 2).write(folder)
    return read_manifest(folder)


def test_a_folder_is_what_its_index_says(tmp_path: Path) -> None:
    folder = Folder(index(tmp_path, [row(1), row(2, "pit"), row(2, "crack"), row(3, "pit", split="val")]))
    good, bad = folder.entries("train")

    assert (folder.classes, folder.channels, folder.group_column) == (("crack", "pit"), 1, "session")
    assert not good.defective
    assert not good.classes.any()
    assert bad.defective
    assert {kind for kind, _ in bad.marks} == {1, 2}
    assert folder.splits() == {"train": 3, "val": 1}


def test_a_doubtful_row_is_left_out_unless_asked_for(tmp_path: Path) -> None:
    rows = [row(1) | {"note": ""}, row(2, "pit") | {"note": "empty mask"}]
    folder = Folder(index(tmp_path, rows))
    assert len(folder.entries("train")) == 1
    assert len(folder.entries("train", doubtful=True)) == 2


def test_a_note_on_one_row_leaves_out_the_whole_image(tmp_path: Path) -> None:
    """Its other defect would be taught as sound surface."""
    rows = [row(1) | {"note": ""}, row(2, "pit") | {"note": ""}, row(2, "crack") | {"note": "outline unsure"}]
    folder = Folder(index(tmp_path, rows))
    assert [entry.name for entry in folder.entries("train")] == ["i1.png"]
    assert [part.name for part in folder_parts(folder, "train", frozenset({"s1", "s2"}))] == ["i1.png"]
    assert [len(entry.marks) for entry in folder.entries("train", doubtful=True)] == [0, 2]


@pytest.mark.parametrize("note", ["not reviewed", "unsure", "a defect without class and mask"])
def test_no_model_is_judged_by_what_nobody_stands_for(tmp_path: Path, note: str) -> None:
    rows = [row(1, "pit", split="val") | {"note": "empty mask"}, row(2, "pit", split="val") | {"note": note}]
    root = index(tmp_path / "data", rows)
    judged = open_judged(str(root), "val", manifest(tmp_path))
    assert [part.name for part in judged.parts()] == [entry.name for entry in judged.entries()] == ["i1.png"]
    index(root, [rows[1]])
    with pytest.raises(ConfigError, match=r"no picture of 'val' in .* was reviewed by anybody"):
        open_judged(str(root), "val", manifest(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": "../secret.png"}, "outside the folder"),
        ({"mask": "gone/../../m.png"}, "outside the folder"),
        ({"mask": "m\0/../.."}, "no name at all"),
        ({"mask": "gone/../" + "m" * 300}, "is too long"),
        ({"label": "yes"}, "label must be 0 or 1"),
        ({"class": ""}, "names its class"),
    ],
)
def test_an_index_is_not_trusted(tmp_path: Path, change: dict[str, str], message: str) -> None:
    root = tmp_path / "data"
    root.mkdir()
    index(root, [row(1), row(2, "pit") | change])
    with pytest.raises(ConfigError, match=message):
        Folder(root)


def test_an_index_saved_by_excel(tmp_path: Path) -> None:
    file = index(tmp_path, [row(1, "pit")]) / "index.csv"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert Folder(tmp_path).classes == ("pit",)


def test_an_index_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"index\.csv: cannot be read"):
        Folder(tmp_path)
    (tmp_path / "index.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match=r"the columns image, class \(or label\)"):
        Folder(tmp_path)


def test_a_stations_export_is_grouped_by_part(tmp_path: Path) -> None:
    """The columns of `edge-inspector export --format index`: two cameras saw part 7."""
    names = ("image", "mask", "class", "label", "split", "note", "part_id", "camera")
    rows = [
        dict(zip(names, ("a.png", "a-m.png", "pit", "1", "train", "", "7", "left"), strict=True)),
        dict(zip(names, ("b.png", "b-m.png", "good", "0", "train", "", "7", "right"), strict=True)),
        dict(zip(names, ("c.png", "c-m.png", "pit", "1", "train", "nobody looked", "8", "left"), strict=True)),
    ]
    folder = Folder(index(tmp_path, rows))
    (part,) = folder_parts(folder, "train", frozenset({"7"}))
    assert folder.group_column == "part_id"
    assert (part.name, part.defective, len(part.views)) == ("7", True, 2)
    assert len(folder.entries("train")) == 2


def marked(value: object, channels: int = 0, kind: Any = np.uint8) -> np.ndarray[Any, Any]:
    plane = np.zeros((32, 40, channels) if channels else (32, 40), kind)
    plane[4:12, 4:12] = value
    return plane


def with_ignored_zone() -> np.ndarray[Any, Any]:
    plane = marked(1)
    plane[20:, :] = 255
    return plane


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (marked(1), "holds the values 0, 1: these are numbers of classes"),
        (marked(3), "holds the values 0, 3: these are numbers of classes"),
        (
            with_ignored_zone(),
            "holds the values 0, 1, 255: these are numbers of classes, where 255 often means 'ignore'",
        ),
        (marked(65535, kind=np.uint16), "has 16 bits a value, at most 65535"),
        (marked((0, 0, 128), 3), r"is coloured \(\(0, 0, 0\), \(128, 0, 0\) as RGB\): a palette or a drawing"),
        (marked((255, 0, 0), 3), r"is coloured .*\(0, 0, 255\) as RGB"),
        (marked((255, 255, 255, 255), 4), "is partly transparent"),
        (marked(100), "holds only 0 and 100, which is less than half sure"),
    ],
)
def test_a_mask_that_could_mean_two_things_is_refused(tmp_path: Path, stored: Any, message: str) -> None:
    root = index(tmp_path, [row(1, "pit")])
    cv2.imwrite(str(root / "m1-pit.png"), stored)
    with pytest.raises(ConfigError, match=rf"m1-pit\.png: is not a mask: it {message}.*Write 0 where the part is good"):
        Folder(root).entries("train")


def opaque(value: int) -> np.ndarray[Any, Any]:
    picture = marked((value, value, value, 255), 4)
    picture[..., 3] = 255
    return picture


@pytest.mark.parametrize("stored", [marked(255), marked((255, 255, 255), 3), opaque(255), marked(200)])
def test_a_mask_that_is_clear_is_read_however_it_is_stored(tmp_path: Path, stored: Any) -> None:
    root = index(tmp_path, [row(1, "pit")])
    cv2.imwrite(str(root / "m1-pit.png"), stored)
    (entry,) = Folder(root).entries("train")
    assert int((entry.classes > 0).sum()) == 64


def test_a_soft_mask_may_be_faint_at_its_edge(tmp_path: Path) -> None:
    root = index(tmp_path, [row(1, "pit")])
    soft = cv2.GaussianBlur(marked(255), (0, 0), 2)
    cv2.imwrite(str(root / "m1-pit.png"), soft)
    (entry,) = Folder(root).entries("train")
    assert int(entry.certainty.max()) == int(soft.max())


def test_good_and_defective_contradict_each_other(tmp_path: Path) -> None:
    root = index(tmp_path, [row(1, "pit"), row(2, mask="m2.png")])
    mask(root / "m2.png")
    with pytest.raises(ConfigError, match=r"m2\.png: shows a defect, but i2\.png is marked as good"):
        Folder(root).entries("train")
    mask(root / "m2.png", 0)
    mask(root / "m1-pit.png", 0)
    with pytest.raises(ConfigError, match=r"m1-pit\.png: is empty, but i1\.png is marked as defective"):
        Folder(root).entries("train")
    index(root, [row(1, "pit"), row(1)])
    with pytest.raises(ConfigError, match=r"i1\.png has a row with label 0 and one with label 1"):
        Folder(root)


def test_a_class_has_one_spelling(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the classes 'Pit', 'pit ' differ only in spelling"):
        Folder(index(tmp_path, [row(1, "Pit", mask="a.png"), row(2, "pit ", mask="b.png")]))


def test_a_defective_row_without_a_mask_is_refused_with_its_line(tmp_path: Path) -> None:
    rows = [row(1), row(2, "pit", mask="")]
    with pytest.raises(ConfigError, match=r"index\.csv: line 3: i2\.png is defective and has no mask: draw one"):
        Folder(index(tmp_path, rows))
    noted = [each | {"note": "no mask" if each["label"] == "1" else ""} for each in rows]
    assert [entry.name for entry in Folder(index(tmp_path, noted)).entries("train")] == ["i1.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            b"image;mask;class;label;split\na.png;;good;0;train\n",
            "The fields are separated by ';': save it with commas",
        ),
        (b"file,label\na.png,0\n", "Its first line is 'file,label'"),
        (
            "image,mask,class,label,split\na.png,,Oberfl\u00e4che,0,train\n".encode("cp1252"),
            "is not UTF-8: save it as CSV UTF-8",
        ),
        (b"image,mask,class,label,split\na.png,,good,OK,train\n", "write 0 for good and 1 for defective"),
        (b"image,mask,class,label,split\nimages\\a.png,,good,0,train\n", "is missing: write / instead of"),
    ],
)
def test_an_index_by_hand_is_answered_with_what_to_write(tmp_path: Path, text: bytes, message: str) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "index.csv").write_bytes(text)
    with pytest.raises(ConfigError, match=message):
        Folder(tmp_path)


def test_one_picture_in_colour_makes_a_folder_of_colour(tmp_path: Path) -> None:
    root = index(tmp_path, [row(1), row(2, "pit")])
    assert Folder(root).channels == 1
    picture(root / "i2.png", 3)
    assert Folder(root).channels == 3


def test_a_grey_model_learns_from_colour_what_the_daemon_shows_it(tmp_path: Path) -> None:
    root = index(tmp_path, [row(1, "pit")])
    picture(root / "i1.png", 3)
    slot = np.zeros((32, 40), np.uint8)
    place(cv2.imread(str(root / "i1.png")), slot, "mirror")
    (entry,) = Folder(root, grey=True).entries("train")
    assert np.array_equal(entry.image[..., 0], slot)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x40\0\0\0\x40\0", "larger than 67108864 pixels"),
        (b"P5 60000 60000 255\n", "not an image that can be read"),
        (b"", "not an image that can be read"),
    ],
)
def test_a_picture_is_refused_before_it_unfolds(tmp_path: Path, content: bytes, message: str) -> None:
    root = index(tmp_path, [row(1, "pit")])
    (root / "i1.png").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"i1\.png: is {message}"):
        Folder(root, grey=True).entries("train")


def test_a_mask_of_another_size(tmp_path: Path) -> None:
    root = index(tmp_path, [row(1, "pit")])
    cv2.imwrite(str(root / "m1-pit.png"), np.zeros((5, 5), np.uint8))
    with pytest.raises(ConfigError, match="its image"):
        Folder(root).entries("train")


def test_a_thin_defect_outlives_shrinking(tmp_path: Path) -> None:
    root = index(tmp_path, [row(1, "crack")])
    line = np.zeros((32, 40), np.uint8)
    line[3:29, 7] = 255
    cv2.imwrite(str(root / "m1-crack.png"), line)
    (entry,) = Folder(root, shrink=3).entries("train")
    assert entry.image.shape == (11, 14, 1)
    assert np.array_equal(np.argwhere(entry.classes), [[n, 2] for n in range(1, 10)])


def test_a_group_on_both_sides_is_told(tmp_path: Path) -> None:
    rows = [row(1, "pit", session="a"), row(2, session="a", split="val"), row(3, session="b")]
    assert Folder(index(tmp_path, rows)).leaks() == ["a"]


def test_views_of_a_part_are_never_torn(tmp_path: Path) -> None:
    """Neither without a grouping column nor where it would tear them."""
    rows = [row(n, "pit" if n < 4 else "good") | {"part": f"p{n // 2}"} for n in range(12)]
    for lacking in ("", "session"):
        told = [{name: value for name, value in each.items() if name != lacking} for each in rows]
        folder = Folder(index(tmp_path, told))
        first, second = grouped_folds(folder, "train", 2)
        parts = [{part.name for part in folder_parts(folder, "train", fold)} for fold in (first, second)]
        assert [len(names) for names in parts] == [3, 3]
        assert not parts[0] & parts[1]
        assert all(len(part.views) == 2 for part in folder_parts(folder, "train", first))


def test_what_is_joined_has_one_name(tmp_path: Path) -> None:
    rows = [row(n, session=name) | {"part": part} for n, (name, part) in enumerate(("a1", "b1", "b2", "c2", "d3"))]
    rows[4] = row(4, "pit", session="d") | {"part": rows[4]["part"]}
    folder = Folder(index(tmp_path, [*rows, row(4, "pit", session="e") | {"part": ""}]))
    assert [folder.group_of(each) for each in folder.rows("train")] == ["a", "a", "a", "a", "d", "d"]


def test_an_image_or_a_part_on_both_sides_is_told(tmp_path: Path) -> None:
    rows = [row(1, "pit"), row(1, "pit", split="val"), row(2)]
    for each in rows:
        del each["session"]
    root = index(tmp_path / "data", rows)
    assert Folder(root).leaks() == ["i1.png"]
    with pytest.raises(ConfigError, match=r"the splits leak: part i1\.png lies in two"):
        open_judged(str(root), "val", manifest(tmp_path))
    index(root, [row(1, "pit") | {"part": "p"}, row(2, split="val") | {"part": "p"}])
    assert Folder(root).leaks() == ["s1"]


def test_a_model_is_judged_by_the_groups_it_was_trained_in(tmp_path: Path) -> None:
    rows = [row(1, "pit", session="a") | {"lot": "1"}, row(2, session="a", split="val") | {"lot": "2"}]
    root = index(tmp_path / "data", rows)
    trained = manifest(tmp_path).model_copy(update={"training": {"group": "lot"}})
    assert [part.group for part in open_judged(str(root), "val", trained).parts()] == ["2"]
    with pytest.raises(ConfigError, match="the splits leak: session a"):
        open_judged(str(root), "val", manifest(tmp_path))


@settings(max_examples=30)
@given(
    kinds=st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["good", "pit", "crack"])), min_size=12, max_size=50),
    count=st.integers(2, 4),
)
def test_no_group_is_ever_in_two_folds(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[tuple[int, str]], count: int
) -> None:
    rows = [row(n, kind, session=f"s{group}") for n, (group, kind) in enumerate(kinds)] + [row(99, "pit", session="z")]
    folder = Folder(index(tmp_path_factory.mktemp("data"), rows))
    groups = {each["session"] for each in rows}
    if len(groups) < count:
        with pytest.raises(ConfigError, match="do not make"):
            grouped_folds(folder, "train", count)
        return
    folds = grouped_folds(folder, "train", count)

    assert len(folds) == count
    assert sum(len(fold) for fold in folds) == len(groups)
    assert frozenset().union(*folds) == groups


def test_each_fold_has_its_share_of_every_class(tmp_path: Path) -> None:
    rows = [row(n, kind) for n, kind in enumerate(["good"] * 30 + ["pit"] * 6 + ["crack"] * 3)]
    folder = Folder(index(tmp_path, rows))
    for fold in grouped_folds(folder, "train", 3):
        kinds = [each["class"] for each in folder.rows("train") if each["session"] in fold]
        assert (kinds.count("good"), kinds.count("pit"), kinds.count("crack")) == (10, 2, 1)


def test_folds_of_the_index_that_leak_are_refused(tmp_path: Path) -> None:
    rows = [row(1, "pit", session="a") | {"fold": "1"}, row(2, session="a") | {"fold": "2"}]
    with pytest.raises(ConfigError, match="the folds leak: session a"):
        grouped_folds(Folder(index(tmp_path, rows)), "train", 2)


def coco(folder: Path, **changes: Any) -> Path:
    picture(folder / "a_1.png", 3)
    picture(folder / "b_1.png", 3)
    annotation = {"id": 1, "image_id": 1, "category_id": 3, "segmentation": [SQUARE]}
    table = {
        "images": [{"id": 1, "file_name": "a_1.png"}, {"id": 2, "file_name": "b_1.png"}],
        "annotations": [annotation],
        "categories": [{"id": 3, "name": "pit"}],
    }
    (folder / "labels.json").write_text(json.dumps(table | changes))
    return folder


def via(folder: Path) -> Path:
    shape = {"name": "polygon", "all_points_x": SQUARE[0::2], "all_points_y": SQUARE[1::2]}
    region = {"shape_attributes": shape, "region_attributes": {"kind": "pit"}}
    table = {
        "x1": {"filename": picture(folder / "a_1.png"), "regions": [region]},
        "x2": {"filename": picture(folder / "b_1.png"), "regions": []},
    }
    (folder / "via.json").write_text(json.dumps({"_via_img_metadata": table}))
    return folder


def labelme(folder: Path) -> Path:
    points = [list(point) for point in zip(SQUARE[0::2], SQUARE[1::2], strict=True)]
    table = {"imagePath": picture(folder / "a_1.png"), "shapes": [{"label": "pit", "points": points}]}
    (folder / "a_1.json").write_text(json.dumps(table))
    picture(folder / "b_1.png")
    return folder


@pytest.mark.parametrize("names", [("划痕", "凹坑"), ("dirt 1", "dirt_1")])
def test_every_class_keeps_its_own_mask_whatever_its_name(tmp_path: Path, names: tuple[str, str]) -> None:
    source = labelme(tmp_path / "in")
    file = source / "a_1.json"
    table = json.loads(file.read_text())
    small = {"label": names[1], "points": [[30, 1], [32, 1], [32, 3], [30, 3]]}
    file.write_text(json.dumps(table | {"shapes": [table["shapes"][0] | {"label": names[0]}, small]}))
    import_labels("labelme", source, tmp_path / "out", val_share=0.0, group_pattern="")
    folder = Folder(tmp_path / "out")
    (bad,) = [entry for entry in folder.entries("train") if entry.defective]
    areas = {folder.classes[kind - 1]: np.count_nonzero(plane) for kind, plane in bad.marks}
    assert areas == {names[0]: 17 * 17, names[1]: 3 * 3}


def mvtec(folder: Path) -> Path:
    picture(folder / "train" / "good" / "a_1.png")
    picture(folder / "test" / "pit" / "b_1.png")
    plane = np.zeros((32, 40), np.uint8)
    plane[4:21, 4:21] = 255
    target = folder / "ground_truth" / "pit"
    target.mkdir(parents=True)
    cv2.imwrite(str(target / "b_1_mask.png"), plane)
    return folder


def turned(path: Path, orientation: int) -> None:
    """A picture as a telephone stores it: EXIF says how it is to be shown."""
    exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + bytes(6)
    segment = b"Exif\0\0" + exif
    plain = cv2.imencode(".jpg", cv2.imread(str(path)))[1].tobytes()
    size = (len(segment) + 2).to_bytes(2)
    path.write_bytes(plain[:2] + b"\xff\xe1" + size + segment + plain[2:])


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_mask_of_a_turned_picture_is_refused(tmp_path: Path, orientation: int) -> None:
    source = mvtec(tmp_path / "in")
    turned(source / "test" / "pit" / "b_1.png", orientation)
    with pytest.raises(ConfigError, match="is turned by its EXIF"):
        import_labels("mvtec", source, tmp_path / "out", val_share=0.0, group_pattern="")


def test_polygons_lie_on_a_turned_picture_as_it_is_shown(tmp_path: Path) -> None:
    source = labelme(tmp_path / "in")
    turned(source / "a_1.png", 6)
    import_labels("labelme", source, tmp_path / "out", val_share=0.0, group_pattern="")
    (bad,) = [entry for entry in Folder(tmp_path / "out").entries("train") if entry.defective]
    assert bad.image.shape == (40, 32, 1)
    assert bad.classes[4:21, 4:21].all()


@pytest.mark.parametrize(("form", "make"), [("coco", coco), ("via", via), ("labelme", labelme), ("mvtec", mvtec)])
def test_labels_of_every_form_come_to_the_same(tmp_path: Path, form: str, make: Any) -> None:
    (tmp_path / "in").mkdir()
    assert import_labels(form, make(tmp_path / "in"), tmp_path / "out", val_share=0.0, group_pattern="").images == 2

    folder = Folder(tmp_path / "out")
    entries = folder.entries("train")
    (bad,) = [entry for entry in entries if entry.defective]
    assert folder.classes == ("pit",)
    assert len(entries) == 2
    assert int((bad.classes > 0).sum()) == 17 * 17
    assert not bad.classes[:4].any()


@pytest.mark.parametrize("name", ["test/pit/b_1.png", "ground_truth/pit/b_1_mask.png", "train/good/a_1.png"])
def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    link = mvtec(tmp_path / "in") / name
    link.replace(tmp_path / "secret.png")
    link.symlink_to(tmp_path / "secret.png")
    with pytest.raises(ConfigError, match="lies outside"):
        import_labels("mvtec", tmp_path / "in", tmp_path / "out", val_share=0.0, group_pattern="")
    assert not (tmp_path / "out").exists()


def test_groups_come_from_the_name_and_stay_together(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    import_labels("coco", coco(tmp_path / "in"), tmp_path / "out", val_share=0.0, group_pattern=r"_(\d+)\.")
    assert {each["group"] for each in Folder(tmp_path / "out").rows("train")} == {"1"}
    with pytest.raises(ConfigError, match="does not match"):
        import_labels("coco", tmp_path / "in", tmp_path / "more", val_share=0.0, group_pattern=r"(x)")
    with pytest.raises(ConfigError, match="not a regular expression"):
        import_labels("coco", tmp_path / "in", tmp_path / "more", val_share=0.0, group_pattern="(")


def annotation(**changes: Any) -> list[dict[str, Any]]:
    return [{"id": 1, "image_id": 1, "category_id": 3, "segmentation": [SQUARE]} | changes]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": [{"id": 1, "file_name": "../../etc/passwd.png"}]}, "is outside the folder"),
        ({"images": [{"id": 1, "file_name": "/etc/passwd"}]}, "is outside the folder"),
        ({"images": [{"id": 1, "file_name": "labels.json"}]}, "is of no known kind"),
        ({"images": [{"id": 1, "file_name": "a\0.png"}]}, "is too long, or no name at all"),
        ({"images": [{"id": 1, "file_name": "a" * 300 + ".png"}]}, "is too long, or no name at all"),
        ({"images": [{"id": 1, "file_name": "missing.png"}]}, "is missing"),
        ({"images": {"id": 1}}, "'images' must be a list"),
        ({"images": [{"id": [], "file_name": "a_1.png"}]}, "'id' must be a number"),
        ({"annotations": annotation(segmentation=[[1, 2, 3, 4]])}, "a polygon has"),
        ({"annotations": annotation(segmentation=[[1, 2, 3, 4, "x", 6]])}, "not a number"),
        ({"annotations": annotation(segmentation=[[1, 2, 3, 4, float("nan"), 6]])}, "not a number"),
        ({"annotations": annotation(segmentation=[[1, 2, 3, 4, 10**400, 6]])}, "not a number"),
        ({"annotations": annotation(segmentation={"counts": "abc"})}, "the size of run lengths is not"),
        ({"annotations": annotation(segmentation={"counts": "0", "size": [0, 0]})}, "run lengths add up to 0"),
        ({"annotations": annotation(segmentation={"counts": [5, 5], "size": [32, 40]})}, "add up to 10, their picture"),
        ({"annotations": annotation(segmentation={"counts": "~", "size": [1, 1]})}, "run lengths are damaged"),
        ({"annotations": annotation(segmentation={"counts": [10**9], "size": [10**5, 10**4]})}, "add up to"),
        ({"annotations": annotation(segmentation={"counts": [8, 2, 6], "size": [4, 4]})}, "the picture has"),
        ({"annotations": annotation(segmentation=[])}, "marked by a box: draw its outline, or .* with --boxes"),
        ({"annotations": annotation(image_id="1")}, "of image '1', which is not listed"),
        ({"annotations": annotation(category_id=9)}, "no known category"),
        ({"categories": [{"id": 3, "name": "../../x"}]}, "not a name for a class"),
        ({"annotations": []}, "no defect found"),
    ],
)
def test_labels_are_not_trusted(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(ConfigError, match=message):
        import_labels("coco", coco(tmp_path / "in", **change), tmp_path / "out", val_share=0.2, group_pattern="")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_labels_that_unfold_are_refused_before_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_files, "_MOST_LISTS", 1000)
    (tmp_path / "in").mkdir()
    with pytest.raises(ConfigError, match="more than 1000 lists and tables"):
        import_labels(
            "coco", coco(tmp_path / "in", more=[[]] * 1000), tmp_path / "out", val_share=0.2, group_pattern=""
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [({"regions": 5}, "'regions' must be a list"), ({"regions": [{"shape_attributes": {}}]}, "'region_attributes' is")],
)
def test_regions_of_via_are_not_trusted(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    (tmp_path / "in").mkdir()
    file = via(tmp_path / "in") / "via.json"
    table = json.loads(file.read_text())["_via_img_metadata"]
    file.write_text(json.dumps({"x1": table["x1"] | change}))
    with pytest.raises(ConfigError, match=message):
        import_labels("via", tmp_path / "in", tmp_path / "out", val_share=0.0, group_pattern="")


def test_classes_of_via_may_be_a_list(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    file = via(tmp_path / "in") / "via.json"
    file.write_text(file.read_text().replace('{"kind": "pit"}', '["", "pit"]'))
    import_labels("via", tmp_path / "in", tmp_path / "out", val_share=0.0, group_pattern="")
    assert Folder(tmp_path / "out").classes == ("pit",)


@pytest.mark.parametrize(("form", "make", "line"), [("via", via, "polyline"), ("labelme", labelme, "linestrip")])
def test_an_open_line_is_no_outline(tmp_path: Path, form: str, make: Any, line: str) -> None:
    (tmp_path / "in").mkdir()
    for file in make(tmp_path / "in").glob("*.json"):
        text = file.read_text().replace('"name": "polygon"', f'"name": "{line}"')
        file.write_text(text.replace('"label":', f'"shape_type": "{line}", "label":'))
    with pytest.raises(ConfigError, match=f"a shape is a {line}: draw polygons"):
        import_labels(form, tmp_path / "in", tmp_path / "out", val_share=0.0, group_pattern="")


def test_polygons_far_outside_the_image_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    far = [[-1e300, -1e300, 1e300, -1e300, 1e300, 1e300, -1e300, 1e300]]
    import_labels(
        "coco",
        coco(tmp_path / "in", annotations=annotation(segmentation=far)),
        tmp_path / "out",
        val_share=0.0,
        group_pattern="",
    )
    (bad,) = [entry for entry in Folder(tmp_path / "out").entries("train") if entry.defective]
    assert bad.classes.all()


@pytest.mark.parametrize("text", ["", "[" * 100_000, '{"a"', "\x00"])
def test_label_files_that_are_no_json(tmp_path: Path, text: str) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "x.json").write_text(text)
    with pytest.raises(ConfigError, match=r"x\.json: cannot be read"):
        import_labels("via", source, tmp_path / "out", val_share=0.2, group_pattern="")


def test_an_import_leaves_alone_what_lies_beside_its_target(tmp_path: Path) -> None:
    (tmp_path / "out.new").mkdir()
    import_labels("labelme", labelme(tmp_path / "in"), tmp_path / "out", val_share=0.0, group_pattern="")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out", "out.new"]
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "in").stat().st_mode


def test_validation_gets_whole_groups_of_every_class(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for number in range(16):
        picture(source / f"{number}.png")
        if number < 8:
            shapes = [{"label": "pit", "points": [[1, 1], [9, 1], [9, 9]]}]
            (source / f"{number}.json").write_text(json.dumps({"imagePath": f"{number}.png", "shapes": shapes}))
    import_labels("labelme", source, tmp_path / "out", val_share=0.25, group_pattern="")
    folder = Folder(tmp_path / "out")
    assert [each["class"] for each in folder.rows("val")].count("pit") == 2
    assert folder.splits() == {"train": 12, "val": 4}
    assert folder.leaks() == []


def imported(folder: Path, form: str, **given: Any) -> Folder:
    import_labels(form, folder, folder.parent / "out", val_share=0.0, group_pattern="", convention=Convention(**given))
    return Folder(folder.parent / "out")


def inside(folder: Folder) -> int:
    """Pixels that are defective in the one picture that is."""
    (bad,) = [entry for entry in folder.entries("train") if entry.defective]
    return int((bad.classes > 0).sum())


@pytest.mark.parametrize(
    "counts",
    [
        [4 * 32 + 4, *([17, 15] * 16), 17, 32 * 40 - 20 * 32 - 21],
        "packed",
    ],
)
def test_run_lengths_are_masks(tmp_path: Path, counts: Any) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    if isinstance(counts, str):
        counts = packed([4 * 32 + 4, *([17, 15] * 16), 17, 32 * 40 - 20 * 32 - 21])
    coco(folder, annotations=annotation(segmentation={"counts": counts, "size": [32, 40]}))
    assert inside(imported(folder, "coco")) == 17 * 17


def packed(runs: list[int]) -> str:
    """COCO's text form, as pycocotools writes it."""
    text = ""
    for at, run in enumerate(runs):
        value, more = run - (runs[at - 2] if at > 2 else 0), True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != -1 if bits & 0x10 else value != 0
            text += chr(48 + (bits | (0x20 if more else 0)))
    return text


def test_a_box_is_a_mask_only_where_somebody_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    coco(folder, annotations=annotation(segmentation=[], bbox=[4, 4, 16, 16]))
    with pytest.raises(ConfigError, match="or take the whole box for defective with --boxes"):
        imported(folder, "coco")
    assert inside(imported(folder, "coco", boxes=True)) == 17 * 17


def test_annotations_of_cvat_lie_beside_their_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    coco(folder)
    (folder / "annotations").mkdir()
    (folder / "images" / "default").mkdir(parents=True)
    (folder / "labels.json").rename(folder / "annotations" / "instances_default.json")
    for name in ("a_1.png", "b_1.png"):
        (folder / name).rename(folder / "images" / "default" / name)
    assert inside(imported(folder, "coco")) == 17 * 17


def via_with(folder: Path, attributes: object, shape: object = None, menus: object = None) -> Path:
    folder.mkdir()
    file = via(folder) / "via.json"
    table = json.loads(file.read_text())
    region = table["_via_img_metadata"]["x1"]["regions"][0]
    region["region_attributes"] = attributes
    region["shape_attributes"] = shape or region["shape_attributes"]
    file.write_text(json.dumps(table | {"_via_attributes": {"region": menus or {}}}))
    return folder


def test_what_names_the_class_in_via_is_asked_for_where_it_is_not_clear(tmp_path: Path) -> None:
    folder = via_with(tmp_path / "in", {"operator": "shift-2", "defect": "pit"})
    with pytest.raises(
        ConfigError, match="attributes operator, defect: name the one with the class: --class-attribute"
    ):
        imported(folder, "via")
    with pytest.raises(ConfigError, match="a region has no attribute 'kind', only operator, defect"):
        imported(folder, "via", class_attribute="kind")
    assert imported(folder, "via", class_attribute="defect").classes == ("pit",)


def test_check_boxes_and_menus_of_via_name_classes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert imported(via_with(tmp_path / "a" / "in", {"defect": {"pit": True, "crack": False}}), "via").classes == (
        "pit",
    )
    menus = {"defect": {"type": "dropdown", "options": {"1": "crack", "2": "pit"}}}
    assert imported(via_with(tmp_path / "b" / "in", {"defect": "2"}, menus=menus), "via").classes == ("pit",)


@pytest.mark.parametrize(
    ("shape", "pixels"),
    [
        ({"name": "circle", "cx": 15, "cy": 15, "r": 8}, (180, 240)),
        ({"name": "ellipse", "cx": 15, "cy": 15, "rx": 10, "ry": 5, "theta": 1.57}, (140, 190)),
    ],
)
def test_round_shapes_of_via_are_filled(tmp_path: Path, shape: object, pixels: tuple[int, int]) -> None:
    found = inside(imported(via_with(tmp_path / "in", {"defect": "pit"}, shape), "via"))
    assert pixels[0] < found < pixels[1]


def test_a_rectangle_of_via_is_a_box(tmp_path: Path) -> None:
    folder = via_with(tmp_path / "in", {"defect": "pit"}, {"name": "rect", "x": 4, "y": 4, "width": 16, "height": 16})
    with pytest.raises(ConfigError, match="--boxes"):
        imported(folder, "via")
    assert inside(imported(folder, "via", boxes=True)) == 17 * 17


def labelme_with(folder: Path, *shapes: dict[str, Any]) -> Path:
    folder.mkdir()
    file = labelme(folder) / "a_1.json"
    table = json.loads(file.read_text())
    file.write_text(json.dumps(table | {"shapes": [table["shapes"][0], *shapes] if shapes else table["shapes"]}))
    return folder


def test_a_region_to_ignore_keeps_its_picture_from_training(tmp_path: Path) -> None:
    region = {"label": "__ignore__", "points": [[0, 0], [9, 0], [9, 9]]}
    folder = imported(labelme_with(tmp_path / "in", region), "labelme")
    assert folder.classes == ("pit",)
    assert [entry.defective for entry in folder.entries("train")] == [False]


def test_the_background_of_labelme_is_no_class(tmp_path: Path) -> None:
    region = {"label": "_background_", "points": [[0, 0], [9, 0], [9, 9]]}
    assert imported(labelme_with(tmp_path / "in", region), "labelme").classes == ("pit",)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"shape_type": "circle", "points": [[25, 25], [28, 25]]}, ""),
        ({"shape_type": "rectangle", "points": [[25, 25], [28, 28]]}, "--boxes"),
        ({"shape_type": "rectangle", "points": [[25, 25]]}, "a rectangle has 1 points, not two"),
        ({"shape_type": "mask", "points": [[25, 25], [26, 26]], "mask": "%%%"}, "not a PNG in base64"),
        ({"shape_type": "mask", "points": [[25, 25], [26, 26]], "mask": "AAAA"}, "not a PNG in base64"),
    ],
)
def test_shapes_of_labelme_are_filled_or_refused(tmp_path: Path, shape: dict[str, Any], message: str) -> None:
    folder = labelme_with(tmp_path / "in", {"label": "pit"} | shape)
    if message:
        with pytest.raises(ConfigError, match=message):
            imported(folder, "labelme")
    else:
        assert inside(imported(folder, "labelme")) > 17 * 17


@pytest.mark.parametrize(("corner", "fits"), [([30, 20], True), ([39, 31], False), ([-1, 0], False)])
def test_a_stamped_mask_of_labelme_lies_in_its_picture(tmp_path: Path, corner: list[int], fits: bool) -> None:  # noqa: FBT001
    png = base64.b64encode(cv2.imencode(".png", np.full((4, 5), 255, np.uint8))[1].tobytes()).decode()
    shape = {"label": "pit", "shape_type": "mask", "points": [corner, [0, 0]], "mask": png}
    folder = labelme_with(tmp_path / "in", shape)
    if fits:
        assert inside(imported(folder, "labelme")) == 17 * 17 + 20
    else:
        with pytest.raises(ConfigError, match="a mask lies beyond its picture"):
            imported(folder, "labelme")


def test_pictures_without_a_label_file_are_counted_and_may_be_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    source = str(labelme(tmp_path / "in"))
    assert main(["model", "import", "labelme", source, str(tmp_path / "out")]) == 0
    assert (
        "1 images have no label file and were taken for good. --unlabelled skip leaves them out"
        in capsys.readouterr().out
    )
    assert main(["model", "import", "labelme", source, str(tmp_path / "less"), "--unlabelled", "skip"]) == 0
    assert "1 images, classes pit" in capsys.readouterr().out


def test_one_kind_of_picture_alone_is_refused_before_anything_is_learned(tmp_path: Path) -> None:
    rows = [row(1, "pit"), row(2, "pit"), row(3, split="val"), row(4, "pit", split="both"), row(5, split="both")]
    folder = Folder(index(tmp_path, rows))
    with pytest.raises(
        ConfigError, match="every picture of 'train' is defective: limits cannot be chosen without good"
    ):
        folder.refuse_one_kind("train")
    with pytest.raises(ConfigError, match="every picture of 'val' is good: there is no defect to learn"):
        folder.refuse_one_kind("val")
    folder.refuse_one_kind("both")


def test_masks_that_are_all_mostly_defect_are_taken_for_inverted(tmp_path: Path) -> None:
    root = index(tmp_path, [row(number, "pit") for number in range(4)])
    for number in range(4):
        cv2.imwrite(str(root / f"m{number}-pit.png"), 255 - marked(255))
    with pytest.raises(ConfigError, match="each of 4 masks is defective in more than half: are they inverted"):
        Folder(root).entries("train")
    cv2.imwrite(str(root / "m3-pit.png"), marked(255))
    assert len(Folder(root).entries("train")) == 4
