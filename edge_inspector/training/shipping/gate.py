"""Decides whether the INT8 file may be shipped. It is compared with FP32 on the same parts and machine."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.segmenters.manifest import read_manifest
from edge_inspector.training.data.folder import Image
from edge_inspector.training.judging.evidence import TruePart, gather_each
from edge_inspector.training.judging.figures import Figures, figures
from edge_inspector.training.judging.limits import Limit, confidences_with
from edge_inspector.training.judging.runtimes import (
    MAX_DISAGREEMENT,
    blank,
    cpu_drivers,
    disagreement,
    interleaved_ms,
    model_predictor,
)

MAX_LOSS: Final = 0.005
"""Half a percentage point, for any of the three scores and for false rejects."""


@dataclass(frozen=True, slots=True)
class GateOutcome:
    """Figures and time per frame of each (precision, runtime), and the objections to the INT8 file."""

    figures: Mapping[tuple[str, str], Figures]
    ms: Mapping[tuple[str, str], float]
    objections: Sequence[str]

    @property
    def quickest(self) -> str:
        """The runtime on which INT8 is fastest."""
        return min((runtime for precision, runtime in self.ms if precision == "int8"), key=lambda r: self.ms["int8", r])


def measure_gate(
    model_dir: Path,
    limits: Sequence[Limit],
    classes: Sequence[str],
    parts: Iterable[TruePart],
    *,
    by_labels: bool = False,
) -> GateOutcome:
    """Run both files on every CPU runtime here over the same parts.

    `by_labels`: no mask of these parts is known, so there is no IoU to lose.
    """
    kinds = [(precision, driver) for driver in cpu_drivers() for precision in ("fp32", "int8")]
    opened = {kind: model_predictor(model_dir, *kind) for kind in kinds}
    predicts, info = [opened[kind][0] for kind in kinds], opened[kinds[0]][1]
    times = interleaved_ms(predicts, blank(read_manifest(model_dir)))
    seen = gather_each(
        predicts, classes=len(classes), stride=info.stride, parts=parts, confidences=confidences_with(limits)
    )
    scored = {kind: figures(each, classes, limits) for kind, each in zip(kinds, seen, strict=True)}
    outcome = GateOutcome(scored, dict(zip(kinds, times, strict=True)), ())
    return replace(outcome, objections=tuple(objections(outcome, by_labels=by_labels)))


def refuse_blind(split: str, parts: Iterable[TruePart]) -> None:
    """Raise ConfigError unless the split has both good and defective parts."""
    missing = {True: "defective", False: "good"}
    for part in parts:
        missing.pop(part.defective, None)
        if not missing:
            return
    what = f"{split} has no {' and no '.join(missing.values())} part: INT8 cannot be judged by it"
    raise ConfigError([Fault("--split", what)])


def objections(outcome: GateOutcome, *, by_labels: bool = False) -> Iterable[str]:
    """Every reason not to ship the INT8 file."""
    for runtime in dict.fromkeys(runtime for _, runtime in outcome.figures):
        full, small = outcome.figures["fp32", runtime], outcome.figures["int8", runtime]
        overlaps = () if by_labels else (("mean IoU", full.mean_iou, small.mean_iou),)
        for what, before, after in (
            *overlaps,
            ("average precision", full.average_precision["any"], small.average_precision["any"]),
            ("part recall", full.part_recall, small.part_recall),
        ):
            # If there is nothing to score, the score is nan, and a loss cannot be ruled out.
            if not before - after <= MAX_LOSS:
                points = 100 * (before - after)
                yield f"{runtime}: INT8 loses {points:.1f} points of {what} ({before:.3f} to {after:.3f})"
        good = full.parts - full.defective
        if small.false_rejects - full.false_rejects > max(1, MAX_LOSS * good):
            yield f"{runtime}: INT8 rejects {small.false_rejects} of {good} good parts, FP32 {full.false_rejects}"
    best = outcome.quickest
    if outcome.ms["int8", best] >= outcome.ms["fp32", best]:
        yield f"{best}: INT8 takes {outcome.ms['int8', best]:.1f} ms, FP32 {outcome.ms['fp32', best]:.1f} ms"


def saturates(int8: Path, images: Sequence[Image]) -> str | None:
    """The fault if the file's sums overflow on this CPU, or None."""
    far = disagreement(int8, images)
    if far > MAX_DISAGREEMENT:
        return f"saturates on this CPU: {far:.2%} of mask values are far from those of the unoptimised graph"
    return None
