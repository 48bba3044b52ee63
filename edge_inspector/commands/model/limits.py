"""`model limits MODEL_DIR DATA`: a new version of a model whose limits come from good parts, with a promise."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from edge_inspector.commands.arguments import between
from edge_inspector.commands.model.arguments import DATA, add_driver
from edge_inspector.commands.progress import Progress
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.inspection.promise import RejectPromise, promised_by
from edge_inspector.segmenters.manifest import MANIFEST_NAME, Manifest, read_manifest
from edge_inspector.store.whole_file import draft_folder_of
from edge_inspector.toml_file import read_toml
from edge_inspector.training.judging.evidence import Evidence, gather
from edge_inspector.training.judging.limits import Limit, confidences_with, limits_of_good, rejected
from edge_inspector.training.judging.runtimes import model_predictor
from edge_inspector.training.judging.splits import limits_of, open_judged
from edge_inspector.training.shipping.manifest import has_seen, write_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, by which parts, and what to promise."""
    parser.add_argument("model", type=Path, metavar="MODEL_DIR", help="a model folder. It stays as it is")
    parser.add_argument("data", metavar="DATA", help=DATA)
    parser.add_argument("--version", required=True, help="version of the new model folder, which lies beside the other")
    parser.add_argument("--split", default="val", help="split whose good parts count (default: val)")
    parser.add_argument(
        "--false-rejects",
        type=between,
        default=0.02,
        metavar="SHARE",
        help="largest share of good parts that may be rejected (default: 0.02)",
    )
    parser.add_argument(
        "--confidence", type=between, default=0.95, metavar="SHARE", help="how sure this must be (default: 0.95)"
    )
    parser.add_argument(
        "--min-confidence", type=between, metavar="P", help="of all classes (default: as the model has them)"
    )
    add_driver(parser, "the model")


def run(given: argparse.Namespace) -> int:
    """Judge the parts, choose, and write the new folder."""
    promise = RejectPromise(given.false_rejects, given.confidence)
    manifest = read_manifest(given.model)
    target = given.model.resolve().parent / f"{manifest.name}-{given.version}"
    if "/" in given.version or "\\" in given.version or not target.name.isprintable():
        raise ConfigError([Fault("--version", f"{target.name!r} cannot be the name of a folder")])
    if target.exists():
        raise ConfigError([Fault("--version", f"{target} exists already: give another one")])
    before = [Limit(given.min_confidence or each.min_confidence, each.min_area_px) for each in limits_of(manifest)]
    seen, stride = _judged(given, manifest, before)
    good = int((~seen.defective).sum())
    found = limits_of_good(seen, before, promise, stride)
    if found is None:
        raise ConfigError([_too_few(promise, good)])
    _tell(seen, manifest, before=limits_of(manifest), after=found)
    origin = {
        "data": Path(given.data).resolve().name,
        "split": given.split,
        "good": good,
        "false_rejects": promise.false_rejects,
        "confidence": promise.confidence,
    }
    _write(given.model, target, version=given.version, limits=found, classes=manifest.classes, origin=origin)
    print(f"written: {target}\nIt has no scores yet: edge-inspector model evaluate {target} {given.data}")
    return 0


def _judged(given: argparse.Namespace, manifest: Manifest, limits: Sequence[Limit]) -> tuple[Evidence, int]:
    judged = open_judged(given.data, given.split, manifest)
    if has_seen(given.split, judged.name, manifest.training):
        what = f"the model learned from {given.split}, and finds too little there: take parts that it has not seen"
        raise ConfigError([Fault("--split", what)])
    predict, info = model_predictor(given.model, "int8" if "int8" in manifest.files else "fp32", given.driver)
    with Progress() as progress:
        progress.begin(f"judging {judged.count} parts of {judged.name}", judged.count)
        seen = gather(
            predict,
            classes=len(manifest.classes),
            stride=info.stride,
            parts=progress.counted(judged.parts()),
            confidences=confidences_with([*limits, *limits_of(manifest)]),
        )
    return seen, info.stride


def _too_few(promise: RejectPromise, good: int) -> Fault:
    what = (
        f"{100 * promise.false_rejects:g} % with {100 * promise.confidence:g} % confidence needs {promise.fewest} good "
        f"parts, and there are {good}"
    )
    can = f", which can promise {100 * promised_by(good, promise.confidence):.1f} %" if good else ""
    return Fault("--false-rejects", what + can)


def _tell(seen: Evidence, manifest: Manifest, *, before: Sequence[Limit], after: Sequence[Limit]) -> None:
    for name, then, now in zip(manifest.classes, before, after, strict=True):
        print(
            f"{name}: min_confidence was {then.min_confidence:g}, now {now.min_confidence:g}. "
            f"min_area_px was {then.min_area_px:.1f}, now {now.min_area_px:.1f}"
        )
    old, new, bad = rejected(seen, before), rejected(seen, after), seen.defective
    print(f"good parts rejected: {old[~bad].sum()} before, {new[~bad].sum()} now, of {(~bad).sum()}")
    print(f"bad parts rejected: {old[bad].sum()} before, {new[bad].sum()} now, of {bad.sum()}. They chose nothing")


def _write(
    source: Path,
    target: Path,
    *,
    version: str,
    limits: Sequence[Limit],
    classes: Sequence[str],
    origin: dict[str, object],
) -> None:
    """The same files with other limits. The scores were those of the limits before, so they are left out."""
    table = read_toml(source / MANIFEST_NAME)
    table["version"] = version
    table["limits"] = {
        name: {"min_confidence": each.min_confidence, "min_area_px": round(each.min_area_px, 1)}
        for name, each in zip(classes, limits, strict=True)
    }
    table["scores"] = []
    table["training"] = {**table.get("training", {}), "limits_from": origin}
    table["training"].pop("limits", None)  # a person's words on where the limits before came from
    with draft_folder_of(target) as draft:
        for file in table["files"].values():
            (draft / file["path"]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / file["path"], draft / file["path"])
        write_table(draft, table)
