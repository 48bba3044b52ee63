"""The model beside two annotators. No training library is needed."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_inspector.errors import ConfigError
from edge_inspector.training.data.folder import Folder
from edge_inspector.training.judging.evidence import TruePart, TrueView, gather
from edge_inspector.training.judging.label_report import people_section
from edge_inspector.training.judging.people import SecondLookout, SecondLooks, SideBySide, side_by_side

Image = NDArray[np.uint8]


def bar(left: int, right: int) -> Image:
    """A class map with a defect of this extent."""
    classes = np.zeros((32, 64), np.uint8)
    classes[8:16, left:right] = 1
    return classes


def compared(triples: Sequence[tuple[Image, Image | None, Image]]) -> SideBySide:
    """Of first annotator, second annotator, model. Each is a part of its own group."""
    parts = [
        TruePart(
            f"p{at}", f"g{at}", bool(first.any()), [TrueView(np.full((32, 64, 1), at, np.uint8), first, "", second)]
        )
        for at, (first, second, _) in enumerate(triples)
    ]
    lookout = SecondLookout(1, 2)
    said = [triple[2] for triple in triples]
    gather(
        lambda image: said[int(image[0, 0, 0])][np.newaxis, ::2, ::2] * np.uint8(255),
        classes=1,
        stride=2,
        parts=parts,
        watch=lookout,
    )
    looks = lookout.looks()
    assert looks is not None
    return side_by_side(looks, ("pit",), lambda name: bool(said[int(name[1:])].any()))


def test_each_two_of_the_three_are_compared() -> None:
    found = compared([(bar(0, 20), bar(0, 40), bar(20, 40))] * 2)
    assert found.iou["any"] == found.iou["pit"] == pytest.approx((0.5, 0.0, 0.5))
    assert found.same == (1.0, 1.0, 1.0)
    assert found.lead == pytest.approx(0.25)
    assert (found.views, found.parts) == (2, 2)
    assert found.conclusion.startswith("2 pictures with a second annotation are too few")


def test_verdicts_are_compared_too() -> None:
    nothing = bar(0, 0)
    found = compared([(bar(0, 20), nothing, bar(0, 20)), (nothing, nothing, bar(0, 8)), (nothing, nothing, nothing)])
    assert found.same == pytest.approx((2 / 3, 2 / 3, 1 / 3))


def test_where_people_agree_and_the_model_does_not_the_model_limits() -> None:
    found = compared([(bar(at, 20 + at), bar(at, 20 + at), bar(at, 6 + at)) for at in range(0, 40, 2)])
    assert found.lead_95[0] > 0
    assert found.conclusion.startswith("the model limits")


def test_where_people_differ_as_much_as_the_model_the_data_limit() -> None:
    found = compared([(bar(at, 20 + at), bar(4 + at, 24 + at), bar(2 + at, 22 + at)) for at in range(0, 40, 2)])
    assert found.lead < 0
    assert found.conclusion.startswith("the data limit")
    assert any("same verdict on 1.000" in line for line in found.lines())
    assert "the data limit" in people_section(found)


def test_one_that_nobody_looked_at_twice_does_not_count(tmp_path: Path) -> None:
    found = compared([(bar(0, 20), None, bar(0, 20)), (bar(0, 20), bar(0, 20), bar(0, 20))])
    assert found.views == 1
    lookout = SecondLookout(1, 2)
    assert lookout.looks() is None
    looks = SecondLooks(
        parts=np.array(["a"]), groups=np.array(["g"]), overlap=np.ones((1, 3, 2)), union=np.ones((1, 3, 2)),
        bad=np.ones((1, 2), np.bool_),
    )  # fmt: skip
    looks.save(tmp_path / "x.npz")
    joined = SecondLooks.joined([SecondLooks.load(tmp_path / "x.npz"), looks])
    assert joined.parts.tolist() == ["a", "a"]


def folder(root: Path, index: str, masks: dict[str, Image]) -> Folder:
    for name in ("a", "b"):
        (root / "images").mkdir(exist_ok=True)
        cv2.imwrite(str(root / f"images/{name}.png"), np.full((32, 64), 100, np.uint8))
    for name, mask in masks.items():
        (root / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(root / name), mask * 255)
    (root / "index.csv").write_text(index)
    return Folder(root, grey=True)


def test_a_folder_beside_the_masks_is_the_second_annotator(tmp_path: Path) -> None:
    found = folder(
        tmp_path,
        "image,mask,class,split\nimages/a.png,masks/a.png,pit,train\nimages/b.png,,good,train\n",
        {"masks/a.png": bar(0, 20), "masks2/a.png": bar(0, 10), "masks2/b.png": bar(0, 0)},
    )
    first, second = found.entries("train")
    assert first.second_classes is not None
    assert first.second_classes.sum() == 80
    assert second.second_classes is not None
    assert not second.second_classes.any()


def test_a_defect_that_only_the_second_annotator_saw_has_the_one_class_or_none(tmp_path: Path) -> None:
    index = "image,mask,class,split,mask2\nimages/a.png,masks/a.png,pit,train,\nimages/b.png,,good,train,m2.png\n"
    masks = {"masks/a.png": bar(0, 20), "m2.png": bar(0, 10)}
    _, second = folder(tmp_path, index, masks).entries("train")
    assert second.second_classes is not None
    assert second.second_classes.max() == 1
    more = f"{index}images/a.png,masks/a.png,crack,train,\n"
    with pytest.raises(ConfigError, match=r"m2.png: shows a defect, but images/b.png has label 0 and so no class"):
        folder(tmp_path, more, masks).entries("train")
