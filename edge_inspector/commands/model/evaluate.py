"""`model evaluate MODEL_DIR DATA`: measure a model folder on a split and write the figures into its manifest."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, get_args

import numpy as np

from edge_inspector.commands.model import evaluate_first
from edge_inspector.commands.model.arguments import DATA, add_cost, add_driver
from edge_inspector.commands.progress import Progress
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.inspection.mask_watch import told_of
from edge_inspector.segmenters.manifest import Manifest, Precision, read_manifest
from edge_inspector.training.data.folder import Image
from edge_inspector.training.judging.evidence import Evidence, Predict, gather
from edge_inspector.training.judging.figures import Figures, figures, human_level
from edge_inspector.training.judging.label_report import people_section
from edge_inspector.training.judging.likeness import unlike
from edge_inspector.training.judging.limits import Cost, Limit, cheapest, confidences_with
from edge_inspector.training.judging.people import SecondLookout, compare_people
from edge_inspector.training.judging.report import write_evaluation_report
from edge_inspector.training.judging.runtimes import blank, interleaved_ms, model_predictor
from edge_inspector.training.judging.splits import Judged, limits_of, open_judged
from edge_inspector.training.shipping.manifest import add_scores, has_seen, named, score_row

_LOOKED: Final = 40
_RATE_FROM: Final = 2
"""Parts from which a rate is printed beside the counts."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, and on what."""
    parser.add_argument("model", type=Path, metavar="MODEL_DIR", help="a model folder")
    parser.add_argument("data", metavar="DATA", help=DATA)
    parser.add_argument("--split", default="val", help="split to score on (default: val)")
    parser.add_argument(
        "--precision",
        choices=get_args(Precision),
        default="int8",
        help="which file of the model to score (default: int8)",
    )
    add_driver(parser, "the model")
    add_cost(parser, "also print the cheapest limits")
    parser.add_argument("--machine", default="", help="name of this machine, for the manifest")
    parser.add_argument("--report", type=Path, metavar="FILE", help="also write an HTML page with the worst misses")
    parser.add_argument(
        "--first-stage",
        type=Path,
        metavar="FIRST_DIR",
        help="a first stage of the model: measure what it clears, costs and saves. The result goes into its manifest",
    )
    parser.add_argument("--dry-run", action="store_true", help="do not change the manifest")


def run(given: argparse.Namespace) -> int:
    """Measure, print, write."""
    manifest = _manifest(given)
    if given.first_stage is not None:
        return evaluate_first.run(given, manifest)
    judged = open_judged(given.data, given.split, manifest)
    split = named(given.split, judged.name, manifest.training)
    if has_seen(given.split, judged.name, manifest.training):
        print(f"the model was trained on {given.split}: the following figures are not a score")
    limits = limits_of(manifest)
    if said := _unlike(manifest, judged):
        print(f"WARN: {said}", flush=True)
    predict, info = model_predictor(given.model, given.precision, given.driver)
    values: set[int] = set()
    lookout = SecondLookout(len(manifest.classes), info.stride)
    with Progress() as progress:
        progress.begin(f"judging {judged.count} parts of {judged.name}", judged.count)
        seen = gather(
            _noting(predict, values),
            classes=len(manifest.classes),
            stride=info.stride,
            parts=progress.counted(judged.parts()),
            confidences=confidences_with(limits),
            watch=lookout,
        )
    found = figures(seen, manifest.classes, limits)
    (took,) = interleaved_ms([predict], blank(manifest))
    print(f"{info.label}: {took:.1f} ms per frame of {info.height} x {info.width}")
    for what in filter(None, (info.blind, info.doubt, told_of(values))):
        print(f"WARN: {what}")
    print("\n".join(lines(found)))
    people = human_level(judged.entries(), manifest.classes)
    if people:
        print("two annotators agree (IoU): " + _listed(people))
    looks = lookout.looks()
    beside = compare_people(looks, seen, limits, manifest.classes) if looks is not None else None
    if beside is not None:
        print("\n".join(beside.lines()))
    if given.cost:
        _print_cheapest(seen, manifest, limits, Cost(*given.cost))
    if not given.dry_run:
        add_scores(
            given.model,
            [score_row(found, **_conditions(given, split=split, data=judged.name, ms=round(took, 2), people=people))],
        )
    if given.report:
        write_evaluation_report(
            given.report,
            title=info.label,
            classes=manifest.classes,
            limits=limits,
            seen=seen,
            parts=judged.parts(),
            predict=predict,
            about_labels=[people_section(beside)] if beside is not None else [],
        )
        print(f"report: {given.report}")
    return 0


def _manifest(given: argparse.Namespace) -> Manifest:
    """The model's manifest. Raises ConfigError if there is nothing to judge, or no place for the report."""
    if given.report and not given.report.parent.is_dir():
        raise ConfigError([Fault("--report", f"{given.report.parent} is not a folder")])
    manifest = read_manifest(given.model)
    if manifest.first_stage is not None:
        what = f"is a first stage: name the model behind it, {manifest.first_stage.of}, and this one with --first-stage"
        raise ConfigError([Fault(str(given.model), what)])
    return manifest


def _unlike(manifest: Manifest, judged: Judged) -> str:
    """A line if the first good pictures are not like those that the model was taught."""
    good = (part.views[0].image for part in islice(judged.parts(), _LOOKED) if not part.defective)
    return unlike(taught, good) if (taught := manifest.training.get("looks")) else ""


def _noting(predict: Predict, values: set[int]) -> Predict:
    """The same function. It also adds every mask value that occurs to `values`."""

    def noting(image: Image) -> Image:
        mask = predict(image)
        values.update(np.flatnonzero(np.bincount(mask.ravel(), minlength=256)).tolist())
        return mask

    return noting


def lines(found: Figures) -> Iterable[str]:
    """The figures as text, line by line."""
    good = found.parts - found.defective
    yield (
        f"part recall{_rate(found.part_recall, found.part_recall_95, found.defective)}: "
        f"{found.escapes} of {found.defective} escape"
    )
    yield (
        f"false rejects{_rate(found.false_reject_rate, found.false_reject_rate_95, good)}: "
        f"{found.false_rejects} of {good}"
    )
    yield f"(95 % intervals over {found.groups} groups. Areas scaled to 2 % false rejects on these very parts, "
    yield f" so they look better than they are: recall {found.recall_at_2_percent:.3f})"
    yield f"for a second look: {found.review_share:.3f} of the parts"
    if found.iou:
        yield f"mean IoU {found.mean_iou:.3f}: {_listed(found.iou)}"
        yield f"mean IoU of flawed (all classes) and sound {found.binary_mean_iou:.3f}"
    yield f"average precision: {_listed(found.average_precision)}"
    yield f"recall by class: {_listed(found.class_recall)}"
    if found.size_recall:
        yield f"recall by size: {_listed(found.size_recall)}"


def _rate(share: float, interval: tuple[float, float], parts: int) -> str:
    """A rate with its interval. Of very few parts there is none: 0 of 1 is not 0.000."""
    return f" {share:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]" if parts >= _RATE_FROM else ""


def _listed(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in values.items())


def _print_cheapest(seen: Evidence, manifest: Manifest, limits: Sequence[Limit], cost: Cost) -> None:
    best, price = cheapest(seen, limits, cost)
    print(f"cheapest limits on these parts, {price:.4f} per part:")
    for name, limit in zip(manifest.classes, best, strict=True):
        print(f"  {name}: min_confidence {limit.min_confidence}, min_area_px {limit.min_area_px:.1f}")


def _conditions(
    given: argparse.Namespace, *, split: str, data: str, ms: float, people: dict[str, float]
) -> dict[str, object]:
    conditions: dict[str, object] = {
        "data": data,
        "split": split,
        "precision": given.precision,
        "runtime": given.driver,
        "ms_per_frame": ms,
        "machine": given.machine,
    }
    return (
        {**conditions, "human_iou": {name: round(value, 3) for name, value in people.items()}} if people else conditions
    )
