"""A model's description of itself, `models/<name>-<version>/manifest.toml`, checked with the hash of each file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.segmenters.onnx_file import keeps_weights_elsewhere, metadata_of
from edge_inspector.settings import Table, checked
from edge_inspector.toml_file import read_toml
from edge_inspector.wording import did_you_mean

MANIFEST_NAME = "manifest.toml"

Name = Annotated[str, Field(min_length=1)]
Stem = Annotated[str, Field(pattern=r"^[^/\\\x00-\x1f]+$")]
"""Part of a folder's name. Models, and the engines built from them, lie in such folders."""
Pixels = Annotated[int, Field(ge=1, le=65536)]
FileKind = Literal["int8", "fp32", "tensorrt"]
Precision = Literal["int8", "fp32"]
Fill = Literal["mirror", "black"]


class ModelInput(Table):
    """One input image of the graph: uint8, height x width x channels, BGR if it has three channels.

    If a frame is smaller, it is filled to the right and below with its mirror image or with black, as in training.
    """

    height: Pixels
    width: Pixels
    channels: Literal[1, 3]
    fill: Fill = "mirror"


class ModelOutput(Table):
    """One mask value covers stride x stride pixels of the input."""

    stride: Annotated[int, Field(ge=1, le=64)]


class ModelFile(Table):
    """One model file beside the manifest. With a context `folder`, validation opens and hashes it."""

    path: Name
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, value: str, info: ValidationInfo) -> str:
        folder: Path | None = (info.context or {}).get("folder")
        if folder is None:
            return value
        if not (folder / value).resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{value} is outside the model's folder")
        if not (folder / value).is_file():
            raise ValueError(f"{value} is missing")
        return value

    @field_validator("sha256")
    @classmethod
    def _is_the_hash(cls, value: str, info: ValidationInfo) -> str:
        folder: Path | None = (info.context or {}).get("folder")
        if folder is None or "path" not in info.data:
            return value
        found = hashlib.sha256(_content(folder / info.data["path"])).hexdigest()
        if found != value:
            raise ValueError(f"{info.data['path']} is damaged or another file: its SHA-256 is {found}, not {value}")
        return value

    @model_validator(mode="after")
    def _is_whole(self, info: ValidationInfo) -> Self:
        folder: Path | None = (info.context or {}).get("folder")
        if folder is not None and keeps_weights_elsewhere(_content(folder / self.path)):
            raise ValueError(f"{self.path} keeps weights in another file, which no hash covers: save it as one file")
        return self


class ManifestLimits(Table):
    """The limits from which a region counts as a defect, unless the recipe has others."""

    min_confidence: Annotated[float, Field(ge=0, le=1)]
    min_area_px: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class FirstStage(Table):
    """What a light model may clear before another one looks. `model train --first-stage` writes it.

    Of the defective parts that the other model rejects at most the share `clears` is cleared, with this `confidence`.
    It follows from so many such `parts`.
    """

    of: Name
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    suspicion: Annotated[float, Field(gt=0, le=1)]
    clears: Annotated[float, Field(gt=0, lt=1)]
    confidence: Annotated[float, Field(gt=0, lt=1)]
    parts: Annotated[int, Field(ge=1)]


class Manifest(Table):
    """The whole of manifest.toml. `calibration`, `scores` and `training` are evidence and are kept as written."""

    format: Literal[1]
    name: Stem
    version: Stem
    licence: Name
    description: str
    classes: Annotated[tuple[Name, ...], Field(min_length=1)]
    input: ModelInput
    output: ModelOutput
    files: Annotated[dict[FileKind, ModelFile], Field(min_length=1)]
    limits: dict[str, ManifestLimits] = {}
    first_stage: FirstStage | None = None
    calibration: dict[str, Any] = {}
    scores: tuple[dict[str, Any], ...] = ()
    training: dict[str, Any] = {}

    @property
    def label(self) -> str:
        """Name and version, as the model's folder is called."""
        return f"{self.name}-{self.version}"

    @field_validator("classes")
    @classmethod
    def _are_distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("the same class is named twice")
        return value

    @field_validator("output")
    @classmethod
    def _divides_the_input(cls, value: ModelOutput, info: ValidationInfo) -> ModelOutput:
        size: ModelInput | None = info.data.get("input")
        if size is not None and (size.height % value.stride or size.width % value.stride):
            raise ValueError(f"stride {value.stride} does not divide the input's {size.height} x {size.width}")
        return value

    @field_validator("limits")
    @classmethod
    def _are_of_known_classes(cls, value: dict[str, ManifestLimits], info: ValidationInfo) -> dict[str, ManifestLimits]:
        unknown = sorted(value.keys() - set(info.data.get("classes", value)))
        if unknown:
            raise ValueError(f"not among the classes: {', '.join(unknown)}")
        return value


def read_manifest(model_dir: Path) -> Manifest:
    """The checked manifest of the model in `model_dir`. Raises ConfigError with every fault."""
    path = model_dir / MANIFEST_NAME
    try:
        table = read_toml(path)
    except ConfigError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise ConfigError([Fault(str(path), f"there is no such file. {_others(model_dir)}")]) from None
        raise
    return checked(Manifest, table, str(path), {"folder": model_dir})


def licences(model_dir: Path, manifest: Manifest) -> tuple[str, ...]:
    """The licences that the manifest and its files state, each once."""
    said = {manifest.licence: None}
    for file in manifest.files.values():
        found = metadata_of(_content(model_dir / file.path))
        said |= dict.fromkeys(filter(None, (found.get("license"), found.get("licence"))))
    return tuple(said)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror}") from error


def _others(model_dir: Path) -> str:
    """The models that the user may have meant."""
    names = sorted(each.parent.name for each in model_dir.parent.glob(f"*/{MANIFEST_NAME}"))
    if not names:
        return f"There is no model in {model_dir.parent}: is station.models_dir right, and its disk mounted?"
    return f"Models there: {', '.join(names)}{did_you_mean(model_dir.name, names)}"
