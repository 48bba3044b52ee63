"""Masks from OpenVINO on the CPU: the same INT8 file as for ONNX Runtime, up to twice as fast."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import numpy as np

from edge_inspector.driver_table import DEFAULT_RUNTIME
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.records import Image
from edge_inspector.segmenters.ending import Ending
from edge_inspector.segmenters.engine import Bound, Engine
from edge_inspector.segmenters.form import Port, refuse_another_form
from edge_inspector.segmenters.manifest import FileKind, Manifest
from edge_inspector.segmenters.model_file import load_file
from edge_inspector.segmenters.model_folder import FolderSegmenter, FolderSettings

_ENDLESS: Final = frozenset({"Loop", "Scan", "SequenceMap"})


class OpenVinoSegmenter(FolderSegmenter):
    """A model folder on OpenVINO's CPU plug-in, one stream per worker."""

    class Settings(FolderSettings):
        """The settings of every model. OpenVINO runs on the CPU only."""

    def _start(self, manifest: Manifest) -> OpenVinoEngine:
        runtime = import_module("openvino")
        kind: FileKind = self._settings.precision
        if kind not in manifest.files:
            raise ConfigError([Fault(str(self._model_dir), f"has no files.{kind}")])
        loaded = load_file(self._model_dir, manifest, kind, "openvino")
        if endless := sorted(loaded.operations & _ENDLESS):
            # It unrolls loops while it compiles. For long ones this takes hours, and nothing can interrupt it.
            what = f"has a {endless[0]}, which openvino may never be done with: export it traced, or use driver "
            raise ConfigError([Fault(str(loaded.path), f'{what}"{DEFAULT_RUNTIME}"')])
        try:
            core = runtime.Core()
            graph = core.read_model(loaded.content)
            refuse_another_form(
                loaded.path, manifest, inputs=_ports(graph.inputs), outputs=_ports(graph.outputs), byte="u8"
            )
            loaded.refuse_unguarded()
            size = manifest.input
            most = self._settings.max_batch or 1
            single = _sizes(graph.inputs[0])[0] == 1
            if not single:
                # A fixed batch is quicker than one left open.
                batch = runtime.Dimension(1, most) if most > 1 else 1
                graph.reshape([batch, size.height, size.width, size.channels])
            compiled = core.compile_model(graph, "CPU", self._options())
        except RuntimeError as error:
            what = f"does not load on openvino: {_first_line(error)}"
            raise ConfigError([Fault(str(loaded.path), what)]) from error
        return OpenVinoEngine(runtime, compiled, kind, loaded.ending, single=single)

    def _options(self) -> dict[str, Any]:
        workers, threads = self.workers, self._settings.intra_op_threads
        return {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": workers,
            "INFERENCE_NUM_THREADS": workers * threads,
            # Without it plug-ins may choose half floats, and then the masks differ from machine to machine.
            "INFERENCE_PRECISION_HINT": "f32",
        }


class OpenVinoEngine(Engine):
    """A compiled model. Each thread has its own request."""

    provider = "openvino"
    on_cpu = True
    fell_back = False
    errors: tuple[type[Exception], ...] = (RuntimeError, ValueError, TypeError)

    def __init__(self, runtime: Any, compiled: Any, kind: FileKind, ending: Ending, *, single: bool) -> None:
        self.kind, self.ending, self.single = kind, ending, single
        self.runtime = f"openvino {runtime.get_version().partition('-')[0]}"
        self._runtime, self._compiled = runtime, compiled

    def bind(self, pixels: tuple[int, int, int], masks: tuple[int, int, int]) -> Bound:  # noqa: ARG002
        """Read and write the caller's arrays in place."""
        tensor, request = self._runtime.Tensor, self._compiled.create_infer_request()

        def run(images: Image, results: Image, count: int) -> None:
            batch = images.reshape(-1, *pixels)[:count]
            if not batch.flags.writeable:
                # OpenVINO has no read-only tensors. The copy has a name, because a tensor does not keep its memory
                # alive.
                batch = batch.copy()
            request.set_input_tensor(tensor(batch, shared_memory=True))
            request.set_output_tensor(0, tensor(results[:count], shared_memory=True))
            request.infer()

        return run

    def output_shape(self, pixels: Image) -> tuple[int, ...]:
        """The real output shape, from a run."""
        shape: tuple[int, ...] = self._compiled(np.ascontiguousarray(pixels))[0].shape
        return shape


def _ports(found: Any) -> list[Port]:
    return [
        Port(port.any_name, port.element_type.get_type_name(), _sizes(port), str(port.partial_shape)) for port in found
    ]


def _sizes(port: Any) -> list[int | None]:
    return [axis.get_length() if axis.is_static else None for axis in port.partial_shape]


def _first_line(error: RuntimeError) -> str:
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Exception from")]
    return (lines or ["no reason given"])[0]
