"""Writes the manifest of a model folder: name, files, limits, scores and origin."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import date, time
from pathlib import Path
from typing import Any, Final

from edge_inspector.segmenters.manifest import MANIFEST_NAME, Fill
from edge_inspector.store.whole_file import draft_of
from edge_inspector.toml_file import read_toml
from edge_inspector.training.judging.figures import Figures
from edge_inspector.training.judging.limits import Limit

FILES: Final = {"int8": "model.int8.onnx", "fp32": "model.fp32.onnx", "tensorrt": "model.trt.onnx"}


_BY_PIXELS: Final = {"mean_iou", "binary_mean_iou", "iou", "size_recall"}


@dataclass(frozen=True, slots=True)
class Card:
    """The details of a model that only a person can give."""

    name: str
    version: str
    licence: str
    description: str


@dataclass(frozen=True, slots=True)
class Draft:
    """The content of manifest.toml. `write` adds the hashes of those FILES that lie in the folder."""

    card: Card
    classes: Sequence[str]
    shape: tuple[int, int, int]
    stride: int
    _: KW_ONLY
    fill: Fill = "mirror"
    limits: Sequence[Limit] = ()
    first_stage: Mapping[str, object] = field(default_factory=dict)
    calibration: Mapping[str, object] = field(default_factory=dict)
    scores: Sequence[Mapping[str, object]] = ()
    training: Mapping[str, object] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write manifest.toml."""
        card = self.card
        height, width, channels = self.shape
        table: dict[str, Any] = {
            "format": 1,
            "name": card.name,
            "version": card.version,
            "licence": card.licence,
            "description": card.description,
            "classes": list(self.classes),
            "input": {"height": height, "width": width, "channels": channels, "fill": self.fill},
            "output": {"stride": self.stride},
            "files": _hashed(folder),
            "limits": {
                name: {"min_confidence": limit.min_confidence, "min_area_px": round(limit.min_area_px, 1)}
                for name, limit in zip(self.classes, self.limits, strict=False)
            },
            **({"first_stage": dict(self.first_stage)} if self.first_stage else {}),
            "calibration": dict(self.calibration),
            "scores": [dict(score) for score in self.scores],
            "training": dict(self.training),
        }
        write_table(folder, table)


def _hashed(folder: Path) -> dict[str, dict[str, str]]:
    found = {}
    for kind, name in FILES.items():
        if (folder / name).exists():
            found[kind] = {"path": name, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}
    return found


def has_seen(split: str, data: str, training: Mapping[str, Any]) -> bool:
    """Whether the model learned from parts of this split, such as `val` or `train+val`."""
    learned = {*str(training.get("learn_from", "train")).split("+")} if training.get("data", data) == data else set()
    return bool(learned & {*split.split("+")})


def named(split: str, data: str, training: Mapping[str, Any]) -> str:
    """The name of a split in scores. It marks training data, so that nobody takes such a figure for a score.

    It also marks a split whose good parts chose the limits. Only recall is a score there.
    """
    if has_seen(split, data, training):
        return f"{split}, learned from"
    chosen = training.get("limits_from", {})
    return (
        f"{split}, limits from its good parts" if (data, split) == (chosen.get("data"), chosen.get("split")) else split
    )


def score_row(figures: Figures, **conditions: object) -> dict[str, object]:
    """Figures as a [[scores]] table: rounded, with the conditions of the measurement.

    If no mask is known, what is counted in pixels is left out.
    """
    row: dict[str, object] = dict(conditions)
    left_out = set() if figures.iou else _BY_PIXELS
    for name in Figures.__slots__:
        if name not in left_out:
            row[name] = _rounded(getattr(figures, name))
    return row


def add_scores(folder: Path, scores: Sequence[Mapping[str, object]]) -> None:
    """Replace the scores of a manifest that have the same data, split, precision and runtime. Keep the others."""
    path = folder / MANIFEST_NAME
    table = read_toml(path)
    fresh = {_key(score) for score in scores}
    kept = [score for score in table.get("scores", []) if _key(score) not in fresh]
    table["scores"] = [*kept, *scores]
    write_table(folder, table)


def _key(score: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(score.get(name) for name in ("data", "split", "precision", "runtime"))


def write_table(folder: Path, table: Mapping[str, Any]) -> None:
    """Write a manifest's table as TOML in one step: a reader sees the old or the new file."""
    with draft_of(folder / MANIFEST_NAME) as draft:
        draft.write_text("\n".join(_toml(table)).lstrip("\n") + "\n", encoding="utf-8")


def _toml(table: Mapping[str, Any]) -> list[str]:
    lines = [f"{key} = {_value(value)}" for key, value in table.items() if not _is_section(key, value)]
    for key, value in table.items():
        if key == "scores":
            for score in value:
                lines += ["", "[[scores]]", *(f"{name} = {_value(item)}" for name, item in score.items())]
        elif key in {"files", "limits"}:
            for name, part in value.items():
                lines += ["", f"[{key}.{_name(name)}]", *(f"{_name(k)} = {_value(v)}" for k, v in part.items())]
        elif isinstance(value, Mapping):
            lines += ["", f"[{key}]", *(f"{_name(name)} = {_value(item)}" for name, item in value.items())]
    return lines


def _is_section(key: str, value: object) -> bool:
    return key == "scores" or isinstance(value, Mapping)


def _value(value: object) -> str:
    # JSON's strings and whole numbers are valid TOML. Tables, infinity and nan differ. JSON has no dates.
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_name(key)} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, float):
        return float.__repr__(value)
    if isinstance(value, date | time):  # date and time of day included
        return value.isoformat()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _name(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else json.dumps(key, ensure_ascii=False)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, tuple | list):
        return [_rounded(item) for item in value]
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return value
