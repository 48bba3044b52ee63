"""`model evaluate MODEL_DIR DATA --first-stage FIRST_DIR`: what a first stage clears, costs and saves on a split."""

from __future__ import annotations

import argparse
import math

from edge_inspector.commands.progress import Progress
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.segmenters.manifest import FirstStage, Manifest, read_manifest
from edge_inspector.segmenters.two_stage import suspicion_of
from edge_inspector.training.judging.clearing import Cleared, cleared, look_at
from edge_inspector.training.judging.runtimes import blank, interleaved_ms, model_predictor
from edge_inspector.training.judging.splits import limits_of, open_judged
from edge_inspector.training.shipping.manifest import add_scores, named


def run(given: argparse.Namespace, second: Manifest) -> int:
    """Measure both stages, print, write into the manifest of the first one."""
    first = read_manifest(given.first_stage)
    promised = _promised(given, first)
    level = math.ceil(suspicion_of(first, second) * 255.0)
    judged = open_judged(given.data, given.split, second)
    split = named(given.split, judged.name, first.training)
    if split != given.split:
        print(f"the first stage was trained on {given.split}: the following figures are not a score")
    looks, _ = model_predictor(given.first_stage, given.precision, given.driver)
    predict, info = model_predictor(given.model, given.precision, given.driver)
    with Progress() as progress:
        progress.begin(f"judging {judged.count} parts of {judged.name}", judged.count)
        parts = progress.counted(judged.parts())
        seen = look_at(parts, predict, [looks], limits=limits_of(second), stride=info.stride)
    first_ms, second_ms = interleaved_ms([looks, predict], blank(second))
    found = cleared(seen, level, 0, (first_ms, second_ms))
    print(f"{info.label} behind {first.label}, which clears frames below {promised.suspicion:g}")
    print("\n".join(found.lines()))
    _warn(found, promised)
    if not given.dry_run:
        conditions = {"data": judged.name, "split": split, "precision": given.precision, "runtime": given.driver}
        machine = {"machine": given.machine} if given.machine else {}
        add_scores(given.first_stage, [conditions | machine | found.row()])
    return 0


def _promised(given: argparse.Namespace, first: Manifest) -> FirstStage:
    """What the first stage promises. Raises ConfigError for a model that is none, and for options without a meaning."""
    for name in ("cost", "report"):
        if getattr(given, name) is not None:
            raise ConfigError([Fault(f"--{name}", "has no meaning with --first-stage: no limit is changed by it")])
    if first.first_stage is None:
        what = f"{first.label} is no first stage: `model train DATA --first-stage {given.model}` makes one"
        raise ConfigError([Fault("--first-stage", what)])
    return first.first_stage


def _warn(found: Cleared, promised: FirstStage) -> None:
    if found.rejected and found.escapes_added / found.rejected > promised.clears:
        share = found.escapes_added / found.rejected
        print(f"WARN: {share:.3f} of the rejected defective parts are lost, and {promised.clears:g} was promised")
    if found.ms_saved <= 0:
        print("WARN: the first stage costs more time on these parts than it saves")
