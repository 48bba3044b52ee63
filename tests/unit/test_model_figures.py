"""From masks to limits and figures, and the gate on INT8. No training library is needed."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_inspector.errors import ConfigError
from edge_inspector.segmenters.manifest import read_manifest
from edge_inspector.training.data.folder import LabelledImage
from edge_inspector.training.judging.evidence import CONFIDENCES, Evidence, TruePart, TrueView, gather, truth_planes
from edge_inspector.training.judging.figures import Figures, average_precision, bootstrap, figures, human_level
from edge_inspector.training.judging.limits import (
    Cost,
    Limit,
    cheapest,
    choose_limits,
    confidences_with,
    elsewhere,
    rates,
    rejected,
)
from edge_inspector.training.shipping.gate import GateOutcome, objections, refuse_blind
from edge_inspector.training.shipping.manifest import FILES, Card, Draft, add_scores, score_row

Image = NDArray[np.uint8]
PER_CLASS = {"areas", "peaks", "true", "overlap", "union"}


def evidence() -> Evidence:
    """Ten good parts with regions up to 20 px, ten bad ones from 100 px on; each pair of parts is a group."""
    areas = np.zeros((20, 1, len(CONFIDENCES)))
    areas[:10] = np.linspace(0, 20, 10)[:, np.newaxis, np.newaxis]
    areas[10:] = np.linspace(100, 200, 10)[:, np.newaxis, np.newaxis]
    bad = np.arange(20) >= 10
    nothing = np.zeros((20, 1, len(CONFIDENCES)))
    return Evidence(
        names=np.array([f"p{n}" for n in range(20)]),
        groups=np.array([f"g{n // 2}" for n in range(20)]),
        areas=areas,
        peaks=areas[:, :, 0] / 200.0,
        true=bad[:, np.newaxis],
        defective=bad,
        sizes=np.where(bad, areas[:, 0, 0], 0.0),
        overlap=nothing + 3.0,
        union=nothing + 4.0,
        binary=np.array([[3.0, 4.0, 10.0]] * 20),
    )


def doubled(one: Evidence) -> Evidence:
    """The same with a second class like the first."""
    return Evidence(
        **{
            name: np.concatenate([getattr(one, name)] * 2, axis=1) if name in PER_CLASS else getattr(one, name)
            for name in Evidence.__slots__
        }
    )


def test_overlap_is_taken_at_one_half_whatever_the_limits() -> None:
    seen = evidence()
    seen.overlap[:, :, :2] = 0.0
    seen.overlap[:, :, 3:] = 1.0
    assert figures(seen, ("crack",), [Limit(0.9, 60.0)]).iou == {"crack": 0.75}


def test_what_is_seen_of_a_part() -> None:
    classes = np.zeros((8, 8), np.uint8)
    classes[2:4, 2:6] = 2
    image = np.zeros((8, 8, 1), np.uint8)

    def predict(_: Image) -> Image:
        mask = np.zeros((2, 4, 4), np.uint8)
        mask[1, 1, 1:3] = 255
        mask[1, 3, 3] = 255  # touches nothing
        mask[0, 0, 0] = 102  # p = 0.4
        return mask

    seen = gather(
        predict, classes=2, stride=2, parts=[TruePart("x", "g", defective=True, views=[TrueView(image, classes)])]
    )

    assert seen.areas[0, 1].tolist() == [8.0] * 7
    assert seen.areas[0, 0].tolist() == [4.0, 4.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert seen.true.tolist() == [[False, True]]
    assert seen.sizes.tolist() == [8.0]
    assert (seen.overlap[0, 1, 0], seen.union[0, 1, 0]) == (2.0, 3.0)
    assert seen.binary.tolist() == [[2.0, 3.0, 16.0]]  # the speck at p = 0.4 is not flawed enough


def test_truth_at_the_masks_resolution_keeps_thin_defects() -> None:
    classes = np.zeros((5, 7), np.uint8)
    classes[:, 3] = 1
    assert truth_planes(classes, 1, 2)[0].tolist() == [[False, True, False, False]] * 3


def test_evidence_is_kept_as_it_is(tmp_path: Path) -> None:
    evidence().save(tmp_path / "e.npz")
    kept = Evidence.load(tmp_path / "e.npz")
    joined = Evidence.joined([kept, kept])
    assert kept.names.tolist() == evidence().names.tolist()
    assert joined.areas.shape == (40, 1, 7)


def test_evidence_that_a_power_cut_leaves_half_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fold is not judged again where its evidence is there."""

    def half(file: BinaryIO, **_: object) -> None:
        file.write(b"PK")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", half)
    with pytest.raises(KeyboardInterrupt):
        evidence().save(tmp_path / "e.npz")
    assert not (tmp_path / "e.npz").exists()


def test_limits_separate_what_can_be_separated() -> None:
    limits = choose_limits([evidence()], 0.0, 2)
    assert 20.0 < limits[0].min_area_px < 100.0
    assert rates(evidence(), limits) == (1.0, 0.0)


@pytest.mark.parametrize("level", range(1, 7))
def test_the_confidence_is_the_one_that_serves_a_fold_whose_limits_were_chosen_elsewhere(level: int) -> None:
    """Below it all parts of both folds could be told apart, but by limits between 84 and 100 px that neither gives."""
    folds = [evidence(), evidence()]
    folds[1].areas[:, :, :level] *= 4.0
    for fold in folds:
        fold.areas[10, :, level:] = 0.0
        fold.areas[10:, :, level + 1 :] = 0.0
    limits = choose_limits(folds, 0.0, 2)
    assert limits[0].min_confidence == CONFIDENCES[level]
    assert rates(Evidence.joined(folds), limits) == (0.9, 0.0)
    assert rates(Evidence.joined(folds), [Limit(CONFIDENCES[level - 1], 90.0)]) == (1.0, 0.0)
    assert elsewhere(folds, lambda others: _at(others, level)) == (0.9, 0.0)


def _at(folds: Sequence[Evidence], level: int) -> list[Limit]:
    return choose_limits([fold.at(level) for fold in folds], 0.0, 2)


def test_limits_elsewhere_are_those_of_the_other_folds() -> None:
    low, high = evidence(), evidence()
    high.areas[:] *= 8.0
    # The one's limit lies below what is sound in the other, the other's above all that is flawed in the one.
    assert elsewhere([low, high], lambda others: choose_limits(others, 0.0, 2)) == (0.5, pytest.approx(7 / 20))


def test_all_classes_have_one_confidence() -> None:
    two = doubled(evidence())
    two.areas[:10, 0, :5] = 500.0
    two.areas[:10, 1, 6:] = 500.0
    assert {limit.min_confidence for limit in choose_limits([two], 0.0, 2)} == {0.8}


def test_limits_decide_by_area_as_the_line_does() -> None:
    assert rejected(evidence(), [Limit(0.5, 150.0)]).sum() == 5


def test_limits_judge_by_their_own_confidence_and_area() -> None:
    """A station knows no grid of confidences, and finds no defect in an empty mask."""

    def refused(probability: float, limit: Limit) -> bool:
        mask = np.zeros((1, 4, 4), np.uint8)
        mask[0, :2, :2] = round(255 * probability)
        part = TruePart(
            "x", "g", defective=False, views=[TrueView(np.zeros((8, 8, 1), np.uint8), np.zeros((8, 8), np.uint8))]
        )
        seen = gather(lambda _: mask, classes=1, stride=2, parts=[part], confidences=confidences_with([limit]))
        assert len(Evidence.joined([seen, seen]).chosen(np.array([0])).confidences) == seen.areas.shape[2]
        return bool(rejected(seen, [limit])[0])

    for confidence in (0.2, 0.55, 0.95):
        assert refused(confidence + 0.02, Limit(confidence, 16.0))
        assert not refused(confidence - 0.02, Limit(confidence, 16.0))
    assert refused(0.6, Limit(0.5, 0.0))
    assert not refused(0.4, Limit(0.5, 0.0))


def test_a_class_without_any_evidence_rejects_no_good_part() -> None:
    seen = evidence()
    blind = replace(seen, areas=seen.areas[::-1].copy())
    assert not rejected(blind, choose_limits([blind], 0.0, 2))[:10].any()


def test_a_costly_escape_lowers_the_limits_and_a_costly_reject_raises_them() -> None:
    start = [Limit(0.5, 150.0)]
    careful, _ = cheapest(evidence(), start, Cost(escape=100.0, false_reject=1.0, defect_rate=0.1))
    assert rates(evidence(), careful) == (1.0, 0.0)
    mixed = evidence()
    mixed.areas[:10] = np.linspace(0, 180, 10)[:, np.newaxis, np.newaxis]
    strict, price = cheapest(mixed, start, Cost(escape=1.0, false_reject=100.0, defect_rate=0.1))
    loose, _ = cheapest(mixed, start, Cost(escape=1000.0, false_reject=1.0, defect_rate=0.1))
    assert rates(mixed, strict)[1] == 0.0
    assert rates(mixed, loose)[0] == 1.0
    assert strict[0].min_area_px > loose[0].min_area_px
    assert price == pytest.approx(0.1 * (1 - rates(mixed, strict)[0]))


def test_limits_are_chosen_without_a_defective_part_too() -> None:
    good = evidence().chosen(np.arange(10))
    assert rates(good, choose_limits([good], 0.5, 2))[1] == 0.0


@pytest.mark.parametrize("kind", ["good", "defective"])
def test_cost_is_nothing_where_all_parts_are_of_one_kind(kind: str) -> None:
    seen = evidence().chosen(np.flatnonzero(evidence().defective == (kind == "defective")))
    with pytest.raises(ConfigError, match="--cost: needs good parts and defective ones"):
        cheapest(seen, [Limit(0.5, 150.0)], Cost(escape=100.0, false_reject=1.0, defect_rate=0.1))


def test_figures_count_parts() -> None:
    found = figures(evidence(), ("crack",), [Limit(0.5, 150.0)])

    assert (found.parts, found.defective, found.groups) == (20, 10, 10)
    assert (found.part_recall, found.escapes) == (0.5, 5)
    assert (found.false_reject_rate, found.false_rejects) == (0.0, 0)
    assert found.recall_at_2_percent == 1.0
    assert found.mean_iou == 0.75
    assert found.binary_mean_iou == pytest.approx((3 / 4 + 6 / 7) / 2)
    assert found.average_precision == {"crack": 1.0, "any": 1.0}
    # Between half and twice the limit lie all ten defective parts.
    assert found.review_share == 0.5
    assert list(found.size_recall.values()) == [0.0, 0.0, 1.0, 1.0]
    assert found.part_recall_95[0] < 0.5 < found.part_recall_95[1]


def test_intervals_are_wider_when_parts_hang_together() -> None:
    """Twenty parts of which whole groups are caught or lost say less than twenty parts each on its own."""
    together, apart = evidence(), evidence()
    object.__setattr__(together, "groups", np.array([f"g{n // 5}" for n in range(20)]))
    object.__setattr__(apart, "groups", np.array([f"g{n}" for n in range(20)]))
    widths = []
    for seen in (together, apart):
        low, high = bootstrap(seen, lambda some: rates(some, [Limit(0.5, 150.0)]), 1)[0]
        widths.append(high - low)
    assert widths[0] > widths[1]


def test_nothing_refused_in_vain_of_a_few_is_no_promise() -> None:
    found = figures(evidence(), ("crack",), [Limit(0.5, 60.0)])
    assert (found.part_recall, found.false_reject_rate) == (1.0, 0.0)
    # Five groups of good parts, five of defective ones.
    assert found.part_recall_95 == (pytest.approx(0.05**0.2), 1.0)
    assert found.false_reject_rate_95 == (0.0, pytest.approx(1 - 0.05**0.2))


def test_average_precision_counts_ties_against_us() -> None:
    scores, positive = np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False])
    assert average_precision(scores, positive) == pytest.approx((1 + 2 / 3) / 2)
    assert np.isnan(average_precision(scores, np.zeros(4, np.bool_)))


def test_among_parts_that_a_model_is_sure_of_the_larger_region_comes_first() -> None:
    seen = evidence()
    object.__setattr__(seen, "peaks", np.ones((20, 1)))
    assert figures(seen, ("crack",), [Limit(0.5, 60.0)]).average_precision == {"crack": 1.0, "any": 1.0}
    object.__setattr__(seen, "peaks", np.where(np.arange(20) == 9, 1.0, 0.99)[:, np.newaxis])
    assert figures(seen, ("crack",), [Limit(0.5, 60.0)]).average_precision["any"] < 0.9


def test_two_annotators() -> None:
    one, other = np.zeros((2, 4, 4), np.uint8)
    one[:2], other[1:3] = 255, 255
    blank: Image = np.zeros((4, 4, 1), np.uint8)
    entry = LabelledImage(
        name="x", part="x", group="g", defective=True, image=blank, marks=((1, one),), second=((1, other),)
    )
    assert human_level([entry], ("crack", "pit")) == {"crack": pytest.approx(1 / 3)}
    assert (
        human_level(
            [LabelledImage(name="y", part="y", group="g", defective=False, image=blank, marks=())], ("crack", "pit")
        )
        == {}
    )


def outcome(iou: float = 0.70, recall: float = 0.9, ms: float = 5.0, false_rejects: int = 0) -> GateOutcome:
    full = figures(evidence(), ("crack",), [Limit(0.5, 60.0)])

    def variant(iou: float, recall: float, false_rejects: int) -> Figures:
        return replace(full, parts=1010, mean_iou=iou, part_recall=recall, false_rejects=false_rejects)

    kinds = {("fp32", "onnx"): variant(0.70, 0.9, 0), ("int8", "onnx"): variant(iou, recall, false_rejects)}
    return GateOutcome(kinds, {("fp32", "onnx"): 10.0, ("int8", "onnx"): ms}, ())


def test_the_gate_lets_pass_what_is_as_good_and_quicker() -> None:
    assert list(objections(outcome())) == []
    assert list(objections(outcome(iou=0.696))) == []
    assert list(objections(outcome(false_rejects=5))) == []


def test_the_gate_holds_back_what_is_worse_or_slower() -> None:
    assert list(objections(outcome(iou=0.69))) == ["onnx: INT8 loses 1.0 points of mean IoU (0.700 to 0.690)"]
    assert list(objections(outcome(recall=0.8))) == ["onnx: INT8 loses 10.0 points of part recall (0.900 to 0.800)"]
    assert list(objections(outcome(ms=10.0))) == ["onnx: INT8 takes 10.0 ms, FP32 10.0 ms"]
    assert list(objections(outcome(false_rejects=6))) == ["onnx: INT8 rejects 6 of 1000 good parts, FP32 0"]
    assert len(list(objections(outcome(iou=float("nan"))))) == 1


def test_one_more_part_refused_in_vain_is_chance_however_few_there_are() -> None:
    few = outcome()
    kinds = {kind: replace(found, parts=20, false_rejects=n) for n, (kind, found) in enumerate(few.figures.items())}
    assert list(objections(replace(few, figures=kinds))) == []
    kinds["int8", "onnx"] = replace(kinds["int8", "onnx"], false_rejects=2)
    assert list(objections(replace(few, figures=kinds))) == ["onnx: INT8 rejects 2 of 10 good parts, FP32 0"]


def test_the_gate_is_not_passed_by_a_split_that_cannot_tell() -> None:
    bad, good = (TruePart(str(kind), "g", defective=kind, views=[]) for kind in (True, False))
    refuse_blind("val", [good, bad])
    for parts, missing in (([], "no defective and no good"), ([good, good], "no defective"), ([bad], "no good")):
        with pytest.raises(ConfigError, match=f"--split: val has {missing} part"):
            refuse_blind("val", parts)


def test_nothing_to_judge_by_is_told() -> None:
    with pytest.raises(ConfigError, match="has no part to judge by"):
        gather(lambda image: image, classes=1, stride=2, parts=[])


def test_a_class_that_does_not_occur_makes_no_mean_iou_worse_or_better() -> None:
    two = doubled(evidence())
    two.true[:, 1] = False
    two.overlap[:, 1] = 0.0
    found = figures(two, ("crack", "pit"), [Limit(0.5, 60.0)] * 2)
    assert found.iou == {"crack": 0.75}
    assert found.mean_iou == 0.75
    two.true[:] = False
    assert np.isnan(figures(two, ("crack", "pit"), [Limit(0.5, 60.0)] * 2).mean_iou)


def test_a_manifest_is_read_as_it_was_written_and_scores_are_replaced(tmp_path: Path) -> None:
    (tmp_path / FILES["int8"]).write_bytes(b"weights")
    limits = [Limit(0.5, 12.34), Limit(0.9, 60.0)]
    card = Card("tile", "1.0", "Apache-2.0", 'said "so", and\nmore')
    Draft(card, ("crack", "kühl 2"), (256, 320, 3), 2, limits=limits, training={"draw": [["a", "b"]]}).write(tmp_path)
    found = figures(evidence(), ("crack",), [Limit(0.5, 150.0)])
    for recall in (0.1, 0.2):
        add_scores(tmp_path, [score_row(found, data="d", split="val", precision="int8", runtime="onnx", note=recall)])
    add_scores(tmp_path, [score_row(found, data="d", split="val", precision="fp32", runtime="onnx")])

    manifest = read_manifest(tmp_path)
    assert (manifest.name, manifest.description, manifest.classes) == ("tile", card.description, ("crack", "kühl 2"))
    assert manifest.limits["crack"].min_area_px == 12.3
    assert [(score["precision"], score.get("note")) for score in manifest.scores] == [("int8", 0.2), ("fp32", None)]
    assert manifest.scores[0]["part_recall"] == 0.5
    assert manifest.scores[0]["average_precision"] == {"crack": 1.0, "any": 1.0}
    assert manifest.training["draw"] == [["a", "b"]]


def test_whatever_a_manifest_says_outlives_new_scores(tmp_path: Path) -> None:
    (tmp_path / FILES["int8"]).write_bytes(b"weights")
    training = {
        "made": date(2026, 10, 1),
        "at": datetime(2026, 10, 1, 12, 30, tzinfo=UTC),
        "from": time(6, 0),
        "rates": [1e-05, float("inf"), -float("inf"), 3.0],
        "seed": 1,
        "tta": True,
    }
    Draft(Card("a", "1", "none", ""), ("b",), (8, 8, 1), 2, training=training).write(tmp_path)
    add_scores(tmp_path, [{"data": "d", "part_recall": float("nan")}])
    assert read_manifest(tmp_path).training == training


def test_scores_for_a_manifest_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        add_scores(tmp_path, [])
