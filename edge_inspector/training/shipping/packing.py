"""Makes a model folder from a finished run: both INT8 files, the gate, the manifest."""

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.segmenters.manifest import MANIFEST_NAME
from edge_inspector.training.data.patches import padded
from edge_inspector.training.data.tasks import Task
from edge_inspector.training.judging.evidence import TruePart
from edge_inspector.training.learning.unet import STRIDE
from edge_inspector.training.shipping import gate, quantize
from edge_inspector.training.shipping.manifest import FILES, Card, Draft, named, score_row
from edge_inspector.training.shipping.runs import FIGURES_FILE, RUN_FILE, held_out_row, read_json, read_limits

CALIBRATION_IMAGES: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipping:
    """How to ship a run: the card, the folders, the split that judges, and whether to ship despite objections.

    `calibration` is the number of pictures for INT8. `most_parts` limits the parts that judge it (0: all).
    """

    card: Card
    models: Path
    split: str
    force: bool
    machine: str
    calibration: int = CALIBRATION_IMAGES
    most_parts: int = 0

    def judged(self, task: Task) -> Iterable[TruePart]:
        """The parts of the split. With `most_parts`, about as many of them, evenly from all."""
        parts = list(task.split(self.split)) if self.most_parts else []
        return parts[:: max(1, len(parts) // self.most_parts)] if parts else task.split(self.split)


def pack(run: Path, task: Task, shipping: Shipping) -> Path:
    """Write models/NAME-VERSION and return it. Raises ConfigError if INT8 is not worth shipping."""
    asked, limits = read_json(run / RUN_FILE), read_limits(run)
    shape = (*asked["window"], task.channels)
    gate.refuse_blind(shipping.split, task.split(shipping.split))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        folder.mkdir()
        images = _calibration(task, shape, asked["seed"], shipping.calibration)
        _write_files(run, folder, images)
        draft = Draft(shipping.card, task.classes, shape, STRIDE * task.shrink, fill=task.fill, limits=limits)
        draft.write(folder)
        by_labels = asked.get("labels") == "image"
        outcome = gate.measure_gate(folder, limits, task.classes, shipping.judged(task), by_labels=by_labels)
        split = named(shipping.split, task.name, asked)
        if split != shipping.split:
            print(
                f"the net was trained on {shipping.split}: the following figures compare its files and are not a score"
            )
        _report(outcome)
        if outcome.objections and not shipping.force:
            raise ConfigError([Fault("INT8", f"{what}. --force ships it anyway") for what in outcome.objections])
        replace(
            draft,
            calibration=_calibration_table(outcome, len(images)),
            scores=[held_out_row(run, task), *_scores(outcome, task, split, shipping.machine)],
            training={
                "data": task.name,
                **_promised(run),
                **{key: value for key, value in asked.items() if value is not None},
            },
        ).write(folder)
        return _installed(folder, shipping)


def _write_files(run: Path, folder: Path, images: list[Any]) -> None:
    fp32 = run / FILES["fp32"]
    if not fp32.exists():
        raise ConfigError([Fault(str(fp32), "is missing: finish `edge-inspector model train` first")])
    shutil.copy(fp32, folder / FILES["fp32"])
    wide = quantize.quantize_for_cpu(fp32, folder / FILES["int8"], images)
    if wide:
        print(f"{wide} layers are so wide that their weights are only rounded to the nearest step")
    quantize.quantize_for_tensorrt(fp32, folder / FILES["tensorrt"], images)
    wrong = gate.saturates(folder / FILES["int8"], images[:20])
    if wrong:
        # Never shipped, even with force: its masks are wrong and nothing shows it.
        raise ConfigError([Fault(FILES["int8"], wrong)])


def _calibration(task: Task, shape: tuple[int, int, int], seed: int, count: int) -> list[Any]:
    """Windows as from the camera, in the graph's native size."""
    images = task.source(None).calibration(count, np.random.default_rng(seed))
    grown = [np.repeat(np.repeat(image, task.shrink, 0), task.shrink, 1) for image in images]
    return [padded(image, shape[:2], task.fill)[: shape[0], : shape[1]] for image in grown]


def _calibration_table(outcome: gate.GateOutcome, images: int) -> dict[str, object]:
    table: dict[str, object] = {
        "images": images,
        "method": quantize.CPU_METHOD,
        "tensorrt_method": quantize.TENSORRT_METHOD,
        "tensorrt_measured": False,
    }
    return {**table, "forced_against": list(outcome.objections)} if outcome.objections else table


def _scores(outcome: gate.GateOutcome, task: Task, split: str, machine: str) -> list[dict[str, object]]:
    return [
        score_row(
            found,
            data=task.name,
            split=split,
            precision=precision,
            runtime=runtime,
            ms_per_frame=round(outcome.ms[precision, runtime], 2),
            machine=machine,
        )
        for (precision, runtime), found in outcome.figures.items()
    ]


def _promised(run: Path) -> dict[str, object]:
    """What the limits promise, if they come from good parts."""
    promise = read_json(run / FIGURES_FILE).get("promise")
    return {"limits_promise": promise} if promise else {}


def _installed(folder: Path, shipping: Shipping) -> Path:
    target = shipping.models / f"{shipping.card.name}-{shipping.card.version}"
    target.mkdir(parents=True, exist_ok=True)
    # The manifest last: a reader of it finds the files with its hashes.
    for path in sorted(folder.iterdir(), key=lambda path: path.name == MANIFEST_NAME):
        shutil.copy(path, target / path.name)
    return target


def _report(outcome: gate.GateOutcome) -> None:
    for (precision, runtime), found in outcome.figures.items():
        overlap = f"mean IoU {found.mean_iou:.3f}, " if found.iou else ""
        bad, good = found.defective, found.parts - found.defective
        print(
            f"{precision} on {runtime}: {bad - found.escapes} of {bad} of the defective rejected, "
            f"{found.false_rejects} of {good} of the good rejected too, "
            f"{overlap}AP {found.average_precision['any']:.3f}, {outcome.ms[precision, runtime]:.1f} ms"
        )
