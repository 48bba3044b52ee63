"""`model export MODEL_DIR --to triton`: write a model repository that an inference server serves as it is."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Final

from edge_inspector.commands.arguments import whole
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.segmenters.manifest import FileKind, Manifest, read_manifest
from edge_inspector.segmenters.onnx_file import read_onnx
from edge_inspector.store.whole_file import replace_file

_BATCH: Final = 8
_WAIT_US: Final = 500  # longest wait of the server for a batch to fill
_GPU_FILE: Final[dict[str, FileKind]] = {"int8": "tensorrt", "fp32": "fp32"}
_CPU_FILE: Final[dict[str, FileKind]] = {"int8": "int8", "fp32": "fp32"}

_CONFIG: Final = """\
name: "{name}"
platform: "onnxruntime_onnx"
max_batch_size: {batch}
input [{{ name: "{source}" data_type: TYPE_UINT8 dims: [ {pixels} ] }}]
output [{{ name: "{target}" data_type: TYPE_UINT8 dims: [ {masks} ] }}]
instance_group [{{ kind: {kind} count: {instances} }}]
dynamic_batching {{ max_queue_delay_microseconds: {wait_us} }}
{accelerator}parameters: {{ key: "sha256" value: {{ string_value: "{sha256}" }} }}
"""
_ACCELERATOR: Final = """\
optimization {{ execution_accelerators {{ gpu_execution_accelerator : [{{
  name : "tensorrt" parameters {{ key: "precision_mode" value: "{mode}" }}
}}] }} }}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, for which server, and where to."""
    parser.add_argument("model", type=Path, metavar="MODEL_DIR", help="a model folder")
    parser.add_argument("--to", choices=["triton"], required=True, help="the server: triton")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the model repository to write into")
    parser.add_argument("--gpu", action="store_true", help="for a server with an NVIDIA GPU (default: on CPUs)")
    parser.add_argument("--instances", type=whole, default=1, help="models that run side by side (default: 1)")


def run(given: argparse.Namespace) -> int:
    """Write one model for each precision, with the name by which a station asks for it."""
    manifest = read_manifest(given.model)
    for precision, kind in (_GPU_FILE if given.gpu else _CPU_FILE).items():
        if kind not in manifest.files:
            print(f"{precision}: left out, {given.model} has no files.{kind}")
            continue
        name = f"{manifest.name}-{manifest.version}-{precision}"
        source = given.model / manifest.files[kind].path
        config = _config(name, manifest, kind, source=source, gpu=given.gpu, instances=given.instances)
        try:
            (given.out / name / "1").mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, given.out / name / "1" / "model.onnx")
            replace_file(given.out / name / "config.pbtxt", config)
        except OSError as error:
            raise ConfigError([Fault(str(given.out), f"cannot be written: {error.strerror}")]) from error
        print(f"{precision}: {given.out / name}")
    print(f"serve it with: tritonserver --model-repository {given.out.resolve()}")
    return 0


def _config(name: str, manifest: Manifest, kind: FileKind, *, source: Path, gpu: bool, instances: int) -> str:
    size, stride = manifest.input, manifest.output.stride
    ports = read_onnx(source.read_bytes())
    mode = "INT8" if kind == "tensorrt" else "FP16"
    return _CONFIG.format(
        name=name,
        batch=_BATCH,
        source=ports.inputs[0],
        target=ports.outputs[0],
        pixels=f"{size.height}, {size.width}, {size.channels}",
        masks=f"{len(manifest.classes)}, {size.height // stride}, {size.width // stride}",
        kind="KIND_GPU" if gpu else "KIND_CPU",
        instances=instances,
        wait_us=_WAIT_US,
        accelerator=_ACCELERATOR.format(mode=mode) if gpu and kind == "tensorrt" else "",
        sha256=manifest.files[kind].sha256,
    )
