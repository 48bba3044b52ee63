"""Masks by OpenVINO on the CPU: the same INT8 file as ONNX Runtime's, up to twice as fast."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.records import Image
from edge_inspector.segmenters.engine import Bound
from edge_inspector.segmenters.manifest import FileKind, Manifest
from edge_inspector.segmenters.model_folder import FolderSegmenter, FolderSettings


class OpenVinoSegmenter(FolderSegmenter):
    """A model folder on OpenVINO's CPU plug-in, one stream per worker."""

    class Settings(FolderSettings):
        """As for ONNX Runtime on a CPU."""

    def _start(self, manifest: Manifest) -> OpenVinoEngine:
        runtime = import_module("openvino")
        kind: FileKind = self._settings.precision
        if kind not in manifest.files:
            raise ConfigError([Fault(str(self._model_dir), f"has no files.{kind}")])
        file = self._model_dir / manifest.files[kind].path
        try:
            core = runtime.Core()
            graph = core.read_model(str(file))
            faults = [Fault(f"{file}: {where}", what) for where, what in _differences(graph, manifest)]
            if faults:
                raise ConfigError(faults)
            size = manifest.input
            most = self._settings.max_batch or 1
            single = _sizes(graph.inputs[0])[0] == 1
            if not single:
                # A fixed batch is quicker than one left open.
                batch = runtime.Dimension(1, most) if most > 1 else 1
                graph.reshape([batch, size.height, size.width, size.channels])
            compiled = core.compile_model(graph, "CPU", self._options())
        except RuntimeError as error:
            raise ConfigError([Fault(str(file), f"does not load on openvino: {_first_line(error)}")]) from error
        return OpenVinoEngine(runtime, compiled, kind, single=single)

    def _options(self) -> dict[str, Any]:
        workers, threads = self.workers, self._settings.intra_op_threads
        return {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": workers,
            "INFERENCE_NUM_THREADS": workers * threads,
            # Without it plug-ins may choose half floats, and the masks differ from machine to machine.
            "INFERENCE_PRECISION_HINT": "f32",
        }


class OpenVinoEngine:
    """A compiled model; each thread has a request of its own."""

    provider = "openvino"
    on_cpu = True
    fell_back = False
    errors: tuple[type[Exception], ...] = (RuntimeError, ValueError, TypeError)

    def __init__(self, runtime: Any, compiled: Any, kind: FileKind, *, single: bool) -> None:
        self.kind, self.single = kind, single
        self._runtime, self._compiled = runtime, compiled

    def bind(self, pixels: tuple[int, int, int], masks: tuple[int, int, int]) -> Bound:  # noqa: ARG002
        """Read and write the caller's arrays in place."""
        tensor, request = self._runtime.Tensor, self._compiled.create_infer_request()

        def run(images: Image, results: Image, count: int) -> None:
            batch = images.reshape(-1, *pixels)[:count]
            if not batch.flags.writeable:
                # OpenVINO has no read-only tensors. The copy is named: a tensor does not keep its memory alive.
                batch = batch.copy()
            request.set_input_tensor(tensor(batch, shared_memory=True))
            request.set_output_tensor(tensor(results[:count], shared_memory=True))
            request.infer()

        return run

    def output_shape(self, pixels: Image) -> tuple[int, ...]:
        """By running it."""
        shape: tuple[int, ...] = self._compiled(np.ascontiguousarray(pixels))[0].shape
        return shape


def _differences(graph: Any, manifest: Manifest) -> list[tuple[str, str]]:
    """Where the graph is not what the manifest says; an axis without a fixed size matches, the first run tells."""
    size, stride = manifest.input, manifest.output.stride
    expected = {
        "input": (graph.inputs, (size.height, size.width, size.channels)),
        "output": (graph.outputs, (len(manifest.classes), size.height // stride, size.width // stride)),
    }
    found: list[tuple[str, str]] = []
    for where, (ports, shape) in expected.items():
        if len(ports) != 1:
            found.append((where, f"one tensor expected, the model has {len(ports)}"))
            continue
        port, name = ports[0], f"{where} {ports[0].any_name}"
        if port.element_type.get_type_name() != "u8":
            found.append((name, f"type u8 expected, the model has {port.element_type.get_type_name()}"))
        sizes = _sizes(port)
        if len(sizes) != 4 or any(own not in {None, size} for own, size in zip(sizes[1:], shape, strict=False)):
            numbers = ", ".join(map(str, shape))
            found.append((name, f"shape (any, {numbers}) expected, the model has {port.partial_shape}"))
    return found


def _sizes(port: Any) -> list[int | None]:
    return [axis.get_length() if axis.is_static else None for axis in port.partial_shape]


def _first_line(error: RuntimeError) -> str:
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Exception from")]
    return (lines or ["no reason given"])[0]
