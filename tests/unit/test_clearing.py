"""What a first stage may clear: its limit, promise and figures, and what is refused. No training library is needed."""

import hashlib
import math
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_inspector.cli import main
from edge_inspector.commands.model import evaluate_first
from edge_inspector.errors import ConfigError
from edge_inspector.records import ModelInfo
from edge_inspector.segmenters.manifest import read_manifest
from edge_inspector.segmenters.onnx import OnnxSegmenter
from edge_inspector.segmenters.two_stage import TwoStageSegmenter, suspicion_of
from edge_inspector.training.data.rendered import rendered_parts
from edge_inspector.training.judging.clearing import Sight, choose_level, cleared, look_at
from edge_inspector.training.judging.evidence import TruePart, TrueView
from edge_inspector.training.judging.limits import Limit
from edge_inspector.training.judging.runtimes import model_predictor
from edge_inspector.training.judging.splits import limits_of

ASSETS = Path(__file__).parents[1] / "assets"
SHIPPED = Path(__file__).parents[2] / "models"


def sight(bad: list[int], good: list[int], ways: int = 1) -> Sight:
    """Parts of one frame each. The second stage rejects every bad one. A value is what the first stage sees in it."""
    count = len(bad) + len(good)
    defective = np.arange(count) < len(bad)
    return Sight(
        part=np.arange(count),
        rejects=defective.copy(),
        looks=np.array([bad + good] * ways, np.uint8).T,
        defective=defective,
        names=np.array([f"p{number}" for number in range(count)]),
    )


def test_no_defective_part_is_cleared_if_there_are_just_enough_to_promise_it() -> None:
    limit = choose_level(sight([90] + [200] * 298, [10] * 99 + [80]), 0.01, "m-1")
    assert (limit.parts, limit.clears) == (299, 0.01)
    # 11 clears 99 of 100 good frames, and so nearly as many as 90, which would clear the last one, too.
    assert limit.level == 11


def test_a_share_may_be_cleared_if_so_many_parts_vouch_for_it() -> None:
    """Of 473 parts one may lie below: the chance for so few at a share of 1 % is 5 %."""
    good = [10] * 50 + [100] * 50
    assert choose_level(sight([5] + [200] * 472, good), 0.01, "m-1").level == 101
    with pytest.raises(ConfigError, match=r"no limit is safe: .* as little in p0 as in the good parts"):
        choose_level(sight([5] + [200] * 471, good), 0.01, "m-1")


@pytest.mark.parametrize(("parts", "can"), [(298, r"they can promise 0\.010"), (20, r"promise 0\.139"), (0, "nothing")])
def test_too_few_parts_promise_too_little(parts: int, can: str) -> None:
    with pytest.raises(ConfigError, match=rf"DATA: {parts} defective parts .* m-1 rejects: .*{can}.* needs 299"):
        choose_level(sight([200] * parts, [1] * 9), 0.01, "m-1")


def test_without_good_parts_nothing_shows_what_is_cleared() -> None:
    with pytest.raises(ConfigError, match="no good part is held out"):
        choose_level(sight([200] * 299, []), 0.01, "m-1")


def test_a_part_that_the_second_stage_accepts_vouches_for_nothing() -> None:
    seen = sight([1] + [200] * 299, [10] * 9)
    seen.rejects[0] = False
    assert choose_level(seen, 0.01, "m-1").level == 11


def test_the_worst_way_to_run_it_counts() -> None:
    seen = sight([200] * 299, [10] * 9, ways=2)
    seen.looks[0, 1], seen.looks[-1, 0] = 60, 20
    assert choose_level(seen, 0.01, "m-1").level == 21
    seen.looks[0, 1] = 15
    assert choose_level(seen, 0.01, "m-1").level == 11


def test_only_a_frame_that_suffices_saves_its_part() -> None:
    """The first stage is sure of the other frame, in which the second one finds too little."""
    seen = Sight(
        part=np.array([0, 0, 1]),
        rejects=np.array([True, False, False]),
        looks=np.array([[40], [250], [9]], np.uint8),
        defective=np.array([True, False]),
        names=np.array(["bad", "good"]),
    )
    assert seen.scores().tolist() == [40, 0]
    assert seen.rejected_by_both(40, 0).tolist() == [True, False]
    assert seen.rejected_by_both(41, 0).tolist() == [False, False]


def test_the_figures() -> None:
    seen = sight([200, 30, 200], [10, 10, 60, 10])
    seen.rejects[-1] = True
    found = cleared(seen, 50, 0, (0.2, 2.0))
    assert (found.frames, found.cleared, found.good_cleared) == (7, 4 / 7, 0.75)
    assert (found.rejected, found.escapes_added, found.escaped) == (3, 1, ("p1",))
    assert (found.false_rejects, found.false_rejects_removed) == (1, 1)
    assert found.ms_saved == pytest.approx(4 / 7 * 2.0 - 0.2)
    assert "escapes added: 1 of the 3 defective parts that are rejected (p1)" in "\n".join(found.lines())


def test_the_limit_of_the_driver_lies_between_two_mask_values() -> None:
    for level in range(1, 256):
        chosen = choose_level(sight([level] * 299, [level - 1] * 9), 0.01, "m-1")
        assert chosen.level == level
        assert level - 1 < chosen.suspicion * 255.0 <= level


def test_a_frame_suffices_by_the_rule_of_the_line() -> None:
    """Three mask pixels of 2 x 2 reach 12, and 9 are enough only if they touch."""

    def second(image: np.ndarray) -> np.ndarray:
        return image[np.newaxis, ::2, ::2]

    joined, apart = np.zeros((2, 12, 12), np.uint8)
    joined[0, 0:6] = 200
    apart[0, 0], apart[0, 4], apart[0, 8] = 200, 200, 200
    views = [TrueView(each, each) for each in (joined, apart)]
    seen = look_at(
        [TruePart("p", "g", defective=True, views=views)],
        second,
        [lambda image: image // 2, lambda image: image],
        limits=[Limit(0.5, 12.0)],
        stride=2,
    )
    assert seen.rejects.tolist() == [True, False]
    assert seen.looks.tolist() == [[100, 200], [100, 200]]
    with pytest.raises(ConfigError, match="no part"):
        look_at([], second, [second], limits=[Limit(0.5, 12.0)], stride=2)


MANIFEST = """
format = 1
name = "{name}"
version = "1.0"
licence = "Apache-2.0"
description = "255 - green, and red"
classes = ["dark", "red"]
[input]
height = 32
width = 48
channels = 3
[output]
stride = 2
[files.int8]
path = "model.onnx"
sha256 = "{sha256}"
"""
LIMITS = "".join(f"[limits.{each}]\nmin_confidence = 0.5\nmin_area_px = 16\n" for each in ("dark", "red"))
SHA256 = hashlib.sha256((ASSETS / "two-classes.onnx").read_bytes()).hexdigest()
PROMISE = f"""
[first_stage]
of = "second-1.0"
sha256 = "{SHA256}"
suspicion = 0.6
clears = 0.01
confidence = 0.95
parts = 300
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A model and its first stage, which are the same net."""
    for name, more in (("first", PROMISE), ("second", LIMITS), ("other", LIMITS)):
        folder = tmp_path / f"{name}-1.0"
        folder.mkdir()
        shutil.copy(ASSETS / "two-classes.onnx", folder / "model.onnx")
        text = MANIFEST.format(name=name, sha256=SHA256) + more
        (folder / "manifest.toml").write_text(text, encoding="utf-8")
    return tmp_path


def two_stages(models: Path, second: str = "second-1.0", **settings: Any) -> TwoStageSegmenter:
    asked = {"first": "first-1.0", "settings": {"overlap_px": 8}} | settings
    return TwoStageSegmenter(models / second, TwoStageSegmenter.Settings(**asked))


def grey(green: int) -> np.ndarray:
    image = np.zeros((32, 48, 3), np.uint8)
    image[..., 1] = green
    return image


@pytest.mark.parametrize(("settings", "level"), [({}, 153), ({"suspicion": 0.4}, 102)])
def test_the_station_takes_the_promised_limit_or_a_lower_one(
    models: Path, settings: dict[str, Any], level: int
) -> None:
    stages = two_stages(models, **settings)
    stages.open()
    cleared_mask, seen_mask = (stages.segment([grey(255 - value)])[0] for value in (level - 1, level))
    stages.close()
    assert not cleared_mask.any()
    assert seen_mask.max() == level
    assert f"from {level}" in stages.info.before


def another_file(models: Path) -> None:
    """The second stage was trained again since."""
    path = models / "second-1.0" / "manifest.toml"
    other = (ASSETS / "two-classes.onnx").read_bytes() + b"\x1a\x00"
    (path.parent / "model.onnx").write_bytes(other)
    path.write_text(path.read_text().replace(SHA256, hashlib.sha256(other).hexdigest()))


def test_a_first_stage_of_another_model_is_refused(models: Path) -> None:
    stages = two_stages(models)
    another_file(models)
    what = (
        "first: first-1.0 was made for second-1.0 of other files, not for this second-1.0: `model train --first-stage`"
    )
    for begin in (stages.open, lambda: two_stages(models)):
        with pytest.raises(ConfigError, match=what):
            begin()
    path = models / "first-1.0" / "manifest.toml"
    path.write_text(path.read_text().replace('of = "second-1.0"', 'of = "third-1.0"'))
    with pytest.raises(ConfigError, match=r"was made for third-1\.0, not for this second-1\.0"):
        two_stages(models)


def test_a_limit_that_clears_more_than_is_promised_is_refused(models: Path) -> None:
    with pytest.raises(ConfigError, match=r"suspicion: 0\.7 clears more than first-1\.0 promises: at most 0\.6"):
        two_stages(models, suspicion=0.7)


def test_a_first_stage_finds_no_defects(models: Path) -> None:
    with pytest.raises(ConfigError, match=r"first-1\.0 is itself a first stage: .* second-1\.0"):
        two_stages(models, "first-1.0", first="second-1.0")


def test_a_light_model_without_a_promise_is_taken_as_before(models: Path) -> None:
    first, second = (read_manifest(models / name) for name in ("other-1.0", "second-1.0"))
    assert suspicion_of(first, second) == 0.1
    assert suspicion_of(first, second, 0.9) == 0.9


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ten pictures: the bad ones dark in one place, three of them little enough for the first stage to clear."""
    root = tmp_path / "plates"
    root.mkdir()
    rows = ["image,mask,class,split"]
    for number in range(10):
        image, mask = grey(235), np.zeros((32, 48), np.uint8)
        if number < 5:
            image[8:16, 8:16, 1] = 110 if number < 3 else 0
            mask[8:16, 8:16] = 255
        cv2.imwrite(str(root / f"{number}.png"), image)
        cv2.imwrite(str(root / f"m{number}.png"), mask)
        rows.append(f"{number}.png,m{number}.png,dark,val" if number < 5 else f"{number}.png,,good,val")
    (root / "index.csv").write_text("\n".join(rows), encoding="utf-8")
    return root


def test_both_stages_are_measured_together(
    models: Path, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(folder: Path, *_: str) -> tuple[Any, ModelInfo]:
        net = OnnxSegmenter(folder, OnnxSegmenter.Settings(overlap_px=8, workers=1))
        net.open()
        return (lambda image: net.segment([image])[0]), net.info

    monkeypatch.setattr(evaluate_first, "model_predictor", opened)
    words = ["model", "evaluate", str(models / "second-1.0"), str(data), "--first-stage", str(models / "first-1.0")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "second-1.0/int8/cpu behind first-1.0, which clears frames below 0.6\n" in said
    assert "cleared: 0.800 of 10 frames, 1.000 of those of good parts" in said
    assert "escapes added: 3 of the 5 defective parts that are rejected (0.png, 1.png, 2.png)" in said
    assert "WARN: 0.600 of the rejected defective parts are lost, and 0.01 was promised" in said
    (row,) = read_manifest(models / "first-1.0").scores
    assert (row["data"], row["split"], row["escapes_added"], row["rejected"]) == ("plates", "val", 3, 5)
    assert not read_manifest(models / "second-1.0").scores


@pytest.mark.parametrize(
    ("model", "words", "what"),
    [
        ("second", ["--first-stage", "{}/other-1.0"], "other-1.0 is no first stage: `model train DATA --first-stage"),
        ("first", [], "is a first stage: name the model behind it, second-1.0"),
        ("second", ["--first-stage", "{}/first-1.0", "--cost", "9", "1", "0.1"], "--cost: has no meaning"),
        ("second", ["--first-stage", "{}/nothing-1.0"], "there is no such file"),
    ],
)
def test_what_cannot_be_measured(
    models: Path, data: Path, capsys: pytest.CaptureFixture[str], model: str, words: list[str], what: str
) -> None:
    given = [word.format(models) for word in words]
    assert main(["model", "evaluate", str(models / f"{model}-1.0"), str(data), *given]) == 2
    assert what in capsys.readouterr().err


def test_the_shipped_first_stage_does_what_it_promises() -> None:
    """On planks of the demo's seed, from which nothing was learned or chosen."""
    first, second = (SHIPPED / name for name in ("tile-first-1.1", "tile-1.1"))
    manifest = read_manifest(second)
    level = math.ceil(suspicion_of(read_manifest(first), manifest) * 255.0)
    looks = [model_predictor(first, precision)[0] for precision in ("int8", "fp32")]
    predict, info = model_predictor(second, "int8")
    parts = rendered_parts(range(7, 8), lanes=1, parts=80, defect_rate=0.5)
    seen = look_at(parts, predict, looks, limits=limits_of(manifest), stride=info.stride)
    for way in range(len(looks)):
        found = cleared(seen, level, way, (0.0, 0.0))
        assert found.rejected >= 30
        assert found.escapes_added == 0
        assert found.good_cleared >= 0.9
