"""Makes the first stage of a model: trains it, chooses what it may clear on held-out parts, and writes its folder.

The folder is written only if the first stage saves time and its promise can be kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.segmenters.manifest import Manifest, Precision, read_manifest
from edge_inspector.store.whole_file import draft_folder_of
from edge_inspector.training.data.augment import Source, TrainingSample
from edge_inspector.training.data.folder import Image, LabelledImage
from edge_inspector.training.data.tasks import FolderTask, Task
from edge_inspector.training.judging.clearing import SURE, Cleared, ClearingLimit, Sight, choose_level, cleared, look_at
from edge_inspector.training.judging.evidence import Predict
from edge_inspector.training.judging.limits import Limit
from edge_inspector.training.judging.report import SHOWN_FILE, write_shown
from edge_inspector.training.judging.runtimes import blank, cpu_drivers, interleaved_ms, model_predictor
from edge_inspector.training.judging.splits import limits_of
from edge_inspector.training.learning.export import export_onnx
from edge_inspector.training.learning.first_net import CELL, FIRST
from edge_inspector.training.learning.losses import Loss
from edge_inspector.training.learning.train import Plan, fit
from edge_inspector.training.learning.unet import Deployed
from edge_inspector.training.shipping import gate, quantize
from edge_inspector.training.shipping.manifest import FILES, Card, Draft
from edge_inspector.training.shipping.runs import begin

SUSPICIOUS: Final = "suspicious"
"""The one class of a first stage."""
LOSS: Final = Loss(picture_weight=1.0)
_SAID_ABOVE: Final = ("first_stage_of", "second_sha256")
_CALIBRATION_IMAGES: Final = 200
_REPEATS: Final = 200
_KINDS: Final[tuple[Precision, ...]] = ("fp32", "int8")


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstOrder:
    """What was asked: the second stage's folder, how to train, the largest share to clear, and what else matters."""

    second: Path
    plan: Plan
    clears: float
    settings: dict[str, Any]
    threads: int = 1


@dataclass(frozen=True, slots=True)
class _Way:
    """One file on one runtime, opened."""

    precision: Precision
    driver: str
    predict: Predict


class AnyDefect:
    """A source with one class, whatever the defect is."""

    classes: tuple[str, ...] = (SUSPICIOUS,)

    def __init__(self, source: Source) -> None:
        self.channels = source.channels
        self._source = source

    def draw(self, rng: np.random.Generator) -> TrainingSample:
        """One sample."""
        sample = self._source.draw(rng)
        return sample._replace(classes=(sample.classes > 0).astype(np.uint8))

    def calibration(self, count: int, rng: np.random.Generator) -> list[Image]:
        """Frames as from the camera, half of them as in training, so that defects are among them."""
        plain = self._source.calibration(count - count // 2, rng)
        return [*plain, *(self._source.draw(rng).image for _ in range(count // 2))]


def train_first(task: Task, order: FirstOrder, run: Path) -> Path:
    """Train, choose, measure, and write RUN/NAME-first-VERSION. The same command goes on. Raises ConfigError."""
    torch.set_num_threads(order.threads)
    manifest = read_manifest(order.second)
    _refuse_blind(task)
    run.mkdir(parents=True, exist_ok=True)
    begin(run, order.settings)
    second, _ = model_predictor(order.second, precision_of(manifest))
    source = AnyDefect(_source(task, second, limits_of(manifest), manifest.output.stride))
    if not (run / SHOWN_FILE).exists():
        rng = np.random.default_rng(order.plan.seed)
        write_shown(run, lambda: source.draw(rng))
        print(f"training patches: {run / SHOWN_FILE}", flush=True)
    net, _ = fit(source, order.plan, run / f"{FIRST}.checkpoint")
    card = Card(
        f"{manifest.name}-first",
        manifest.version,
        manifest.licence,
        f"First stage of {manifest.label}: it clears frames in which that model would find nothing.",
    )
    target = run / f"{card.name}-{card.version}"
    with draft_folder_of(target) as folder:
        size = manifest.input
        shape = (size.height, size.width, size.channels)
        draft = Draft(card, [SUSPICIOUS], shape, CELL, fill=size.fill)
        images = _windows(source, shape, order.plan.seed)
        export_onnx(Deployed([net]), folder / FILES["fp32"], shape)
        quantize.quantize_for_cpu(folder / FILES["fp32"], folder / FILES["int8"], images)
        if wrong := gate.saturates(folder / FILES["int8"], images[:20]):
            raise ConfigError([Fault(FILES["int8"], wrong)])
        draft.write(folder)
        limit, rows = _judged(task, order, folder, manifest)
        replace(
            draft,
            first_stage={
                "of": manifest.label,
                "sha256": manifest.files[precision_of(manifest)].sha256,
                "suspicion": limit.suspicion,
                "clears": limit.clears,
                "confidence": SURE,
                "parts": limit.parts,
            },
            calibration={"images": len(images), "method": quantize.CPU_METHOD},
            scores=rows,
            training={key: value for key, value in order.settings.items() if value and key not in _SAID_ABOVE},
        ).write(folder)
    return target


def _refuse_blind(task: Task) -> None:
    """Raise ConfigError unless `val` has both good and defective parts."""
    missing = {True: "defective", False: "good"}
    for part in task.split("val"):
        missing.pop(part.defective, None)
        if not missing:
            return
    what = f"val has no {' and no '.join(missing.values())} part: nothing shows there what is cleared and what is lost"
    raise ConfigError([Fault(task.name, what)])


def precision_of(second: Manifest) -> Precision:
    """The file of the second stage whose answers count."""
    return "int8" if "int8" in second.files else "fp32"


def _judged(
    task: Task, order: FirstOrder, folder: Path, second: Manifest
) -> tuple[ClearingLimit, list[dict[str, object]]]:
    """The limit, by parts that the net did not learn from, and figures of each way on `val`. Raises ConfigError."""
    ways = [_Way(kind, driver, model_predictor(folder, kind, driver)[0]) for driver in cpu_drivers() for kind in _KINDS]
    print("choosing the limit on parts that were held out", flush=True)
    limit = choose_level(_seen(task.judged(0), order, ways, second), order.clears, second.label)
    print(
        f"limit: frames below {limit.suspicion:g} are cleared. By {limit.parts} defective parts at most "
        f"{100 * limit.clears:g} % of those that {second.label} rejects are lost, {100 * SURE:g} % sure",
        flush=True,
    )
    print("judging both stages on the parts of val", flush=True)
    seen = _seen(task.split("val"), order, ways, second)
    found = []
    for number, (way, ms) in enumerate(zip(ways, _times(order.second, second, ways), strict=True)):
        found.append(cleared(seen, limit.level, number, ms))
        print(f"{way.precision} on {way.driver}, parts of val:\n  " + "\n  ".join(found[-1].lines()), flush=True)
    _refuse_useless(found, ways, second.label)
    return limit, [_row(each, way, task.name) for each, way in zip(found, ways, strict=True)]


def _seen(parts: Any, order: FirstOrder, ways: Sequence[_Way], second: Manifest) -> Sight:
    predict, _ = model_predictor(order.second, precision_of(second))
    firsts = [way.predict for way in ways]
    return look_at(parts, predict, firsts, limits=limits_of(second), stride=second.output.stride)


def _times(folder: Path, second: Manifest, ways: Sequence[_Way]) -> list[tuple[float, float]]:
    """For each way the times of both stages, which run on the same runtime and with the same kind of file."""
    kinds = [way.precision if way.precision in second.files else precision_of(second) for way in ways]
    whole = [model_predictor(folder, kind, way.driver)[0] for kind, way in zip(kinds, ways, strict=True)]
    times = interleaved_ms([*(way.predict for way in ways), *whole], blank(second), _REPEATS)
    return list(zip(times[: len(ways)], times[len(ways) :], strict=True))


def _refuse_useless(found: Sequence[Cleared], ways: Sequence[_Way], second: str) -> None:
    best = max((each for each, way in zip(found, ways, strict=True) if way.precision == "int8"), key=_saved)
    if best.ms_saved <= 0:
        what = (
            f"clears {best.cleared:.3f} of the frames and takes {best.ms_first:.2f} ms: with it {second} would take "
            f"{-best.ms_saved:.2f} ms more per frame. Nothing was written. Train longer (--steps), or leave it"
        )
        raise ConfigError([Fault("--first-stage", what)])


def _saved(found: Cleared) -> float:
    return found.ms_saved


def _row(found: Cleared, way: _Way, data: str) -> dict[str, object]:
    conditions: dict[str, object] = {"data": data, "split": "val", "precision": way.precision, "runtime": way.driver}
    return conditions | found.row()


def _windows(source: AnyDefect, shape: tuple[int, int, int], seed: int) -> list[Image]:
    """Pictures of the graph's size for the ranges of INT8."""
    images = source.calibration(_CALIBRATION_IMAGES, np.random.default_rng(seed))
    height, width, _ = shape
    return [np.pad(each, _missing(each, height, width), mode="symmetric")[:height, :width] for each in images]


def _missing(image: Image, height: int, width: int) -> tuple[tuple[int, int], ...]:
    return (0, max(0, height - image.shape[0])), (0, max(0, width - image.shape[1])), (0, 0)


def _source(task: Task, second: Predict, limits: Sequence[Limit], stride: int) -> Source:
    """What is learned from: true masks, or what the second stage finds if only labels are known."""
    if not isinstance(task, FolderTask) or not task.by_labels:
        return task.source(0)
    entries = [_marked(entry, second, limits, stride) for entry in task.entries(0)]
    kept = [entry for entry in entries if entry.marks or not entry.defective]
    if not any(entry.marks for entry in kept):
        what = "the second stage finds nothing in any defective picture of it: there is nothing to learn"
        raise ConfigError([Fault(task.name, what)])
    return task.patches(kept)


def _marked(entry: LabelledImage, second: Predict, limits: Sequence[Limit], stride: int) -> LabelledImage:
    """A defective picture with what the second stage finds in it, whatever the class. Others stay as they are."""
    if not entry.defective:
        return entry
    mask = second(entry.image)
    least = np.array([limit.min_confidence * 255.0 for limit in limits]).reshape(-1, 1, 1)
    found = (mask >= least).any(axis=0).astype(np.uint8) * np.uint8(255)
    height, width = entry.image.shape[:2]
    whole = found.repeat(stride, 0).repeat(stride, 1)[:height, :width]
    return replace(entry, marks=((entry.labelled[0], whole),) if whole.any() else ())
