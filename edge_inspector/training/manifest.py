"""The manifest beside a model's files: what it is, how to judge with it, how good it is and where it comes from."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_inspector.training.evaluate import Limit, Score
from edge_inspector.training.nets import STRIDE


@dataclass(frozen=True, slots=True)
class Card:
    """What a person must say about a model."""

    name: str
    version: str
    licence: str
    description: str


@dataclass(frozen=True, slots=True)
class Scored:
    """One score with the conditions that it was measured under."""

    data: str
    split: str
    precision: str
    score: Score
    ms_per_frame: float
    machine: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that manifest.toml says."""

    card: Card
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    limits: Sequence[Limit]
    scores: Sequence[Scored]
    calibration: Mapping[str, object]
    training: Mapping[str, object]
    files: Mapping[str, str] = field(default_factory=lambda: {"int8": "model.int8.onnx", "fp32": "model.fp32.onnx"})

    def write(self, folder: Path) -> None:
        """Write manifest.toml with the hashes of the model files that lie beside it."""
        card = self.card
        height, width, channels = self.shape
        head = {"format": 1, "name": card.name, "version": card.version, "licence": card.licence}
        lines = _pairs({**head, "description": card.description, "classes": list(self.classes)})
        lines += _table("input", {"height": height, "width": width, "channels": channels})
        lines += _table("output", {"stride": STRIDE})
        for precision, name in self.files.items():
            if (folder / name).exists():
                digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
                lines += _table(f"files.{precision}", {"path": name, "sha256": digest})
        for name, limit in zip(self.classes, self.limits, strict=True):
            values = {"min_confidence": limit.min_confidence, "min_area_px": limit.min_area_px}
            lines += _table(f"limits.{name}", values)
        lines += _table("calibration", self.calibration)
        for scored in self.scores:
            lines += ["", "[[scores]]", *_pairs(_figures(scored))]
        lines += _table("training", self.training)
        (folder / "manifest.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _figures(scored: Scored) -> dict[str, object]:
    figures = scored.score
    return {
        "data": scored.data,
        "split": scored.split,
        "precision": scored.precision,
        "part_recall": round(figures.part_recall, 4),
        "false_reject_rate": round(figures.false_reject_rate, 4),
        "mean_iou": round(figures.mean_iou, 3),
        "iou": {name: round(value, 3) for name, value in figures.iou.items()},
        "ms_per_frame": round(scored.ms_per_frame, 1),
        "machine": scored.machine,
    }


def _table(name: str, values: Mapping[str, object]) -> list[str]:
    return ["", f"[{name}]", *_pairs(values)]


def _pairs(values: Mapping[str, object]) -> list[str]:
    return [f"{key} = {_value(value)}" for key, value in values.items()]


def _value(value: object) -> str:
    # JSON's strings, numbers and lists are valid TOML; tables differ.
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
