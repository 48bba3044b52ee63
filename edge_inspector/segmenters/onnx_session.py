"""The ONNX Runtime session: it chooses provider and file, and checks that the model is the manifest's."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.records import Image
from edge_inspector.segmenters.ending import Ending
from edge_inspector.segmenters.engine import Bound, Engine
from edge_inspector.segmenters.form import Port, refuse_another_form
from edge_inspector.segmenters.lanes import Lane, Lanes, Memories, OnDevice, batch_sizes, pinned
from edge_inspector.segmenters.manifest import FileKind, Manifest, Precision
from edge_inspector.segmenters.model_file import LoadedFile, load_file
from edge_inspector.store.whole_file import draft_of

log = logging.getLogger(__name__)

Provider = Literal["tensorrt", "cuda", "cpu"]

_FIRST_RUN_S: Final = 60.0
_GPU_LANES: Final = 2

_RUNTIME_NAMES: Final[dict[Provider, str]] = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
# The options with which a batch is recorded as a graph.
_RECORDED: Final[dict[Provider, dict[str, str]]] = {
    "tensorrt": {"trt_cuda_graph_enable": "True"},
    "cuda": {"enable_cuda_graph": "1"},
}
# TensorRT's INT8 is symmetric and saturates on CPUs without VNNI. CUDA has no INT8 kernels for the CPU's file and would
# run it slower than FP32. So each provider has its own file, and none ever gets another's.
_FILES: Final[dict[Provider, dict[Precision, FileKind]]] = {
    "tensorrt": {"int8": "tensorrt", "fp32": "fp32"},
    "cuda": {"int8": "fp32", "fp32": "fp32"},
    "cpu": {"int8": "int8", "fp32": "fp32"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the station wants from the runtime. `named`: the station file lists the providers itself."""

    precision: Precision
    providers: tuple[Provider, ...]
    required: Provider | None
    intra_op_threads: int
    gpu_batch: int
    gpu: int
    engine_cache: Path | None
    named: bool = False


class OnnxEngine(Engine):
    """A running session, with its real provider and file."""

    def __init__(self, runtime: Any, session: Any, *, provider: Provider, kind: FileKind, ending: Ending) -> None:
        self.provider: str = provider
        self.kind, self.ending = kind, ending
        self.runtime = f"onnxruntime {runtime.__version__}"
        self.on_cpu = provider == "cpu"
        self.fell_back = False
        self.single = session.get_inputs()[0].shape[0] == 1
        self.errors = runtime_errors()
        self._runtime, self._session, self._options = runtime, session, runtime.RunOptions
        self._names = session.get_inputs()[0].name, session.get_outputs()[0].name

    def bind(self, pixels: tuple[int, int, int], masks: tuple[int, int, int]) -> Bound:
        """Read and write the caller's arrays in place."""
        session, (source, target), binding = self._session, self._names, self._session.io_binding()

        def run(images: Image, results: Image, count: int) -> None:
            binding.bind_input(source, "cpu", 0, np.uint8, (count, *pixels), images.ctypes.data)
            binding.bind_output(target, "cpu", 0, np.uint8, (count, *masks), results.ctypes.data)
            session.run_with_iobinding(binding)

        return run

    def output_shape(self, pixels: Image) -> tuple[int, ...]:
        """The real output shape, from a run of at most a minute: a graph may contain a loop that hardly ends."""
        options = self._options()
        end = threading.Timer(_FIRST_RUN_S, lambda: setattr(options, "terminate", True))
        end.start()
        try:
            shape: tuple[int, ...] = self._session.run(None, {self._names[0]: pixels}, options)[0].shape
        except self.errors as error:
            if options.terminate:
                raise RuntimeError(f"no mask came within {_FIRST_RUN_S:g} s: it may be in an endless loop") from error
            raise
        finally:
            end.cancel()
        return shape


class Gpu(NamedTuple):
    """Where lanes have their memory, the largest batch, and how `another(recorded=...)` session is started."""

    place: OnDevice
    most: int
    another: Callable[..., Any]


class OnnxGpuEngine(OnnxEngine):
    """Batches of fixed sizes on a GPU, in lanes. The session itself serves to check them."""

    lanes = _GPU_LANES

    def __init__(
        self, runtime: Any, session: Any, *, provider: Provider, kind: FileKind, ending: Ending, gpu: Gpu
    ) -> None:
        super().__init__(runtime, session, provider=provider, kind=kind, ending=ending)
        self._gpu = gpu
        self._sizes = batch_sizes(1 if self.single else gpu.most)
        self._opening = threading.Lock()
        self._shared: Lanes | None = None

    def bind(self, pixels: tuple[int, int, int], masks: tuple[int, int, int]) -> Bound:
        """All threads share the lanes. The first one makes them."""
        with self._opening:
            if self._shared is None:
                self._shared = Lanes(self._proven(pixels, masks))
            return self._shared.run

    def memory(self, shape: tuple[int, ...]) -> Image:
        """Memory that the GPU can fetch by itself."""
        return pinned(shape)

    def _proven(self, pixels: tuple[int, int, int], masks: tuple[int, int, int]) -> list[Lane]:
        """Lanes whose masks are those of a plain call: with recorded graphs, or without if these fail."""
        failures: tuple[type[Exception], ...] = (ConfigError, *self.errors)
        try:
            return self._made(pixels, masks, recorded=True)
        except failures as error:
            log.warning("%s: runs without recorded graphs: %s", self.provider, error)
        return self._made(pixels, masks, recorded=False)

    def _made(self, pixels: tuple[int, int, int], masks: tuple[int, int, int], *, recorded: bool) -> list[Lane]:
        made = []
        for _ in range(self.lanes):
            session = self._gpu.another(recorded=recorded)
            memory = Memories(self._runtime, self._gpu.place, pixels, masks)
            made.append(Lane(session, memory, self._sizes, recorded=recorded))
            made[-1].prove(self._plain)
        return made

    def _plain(self, images: Image) -> Image:
        found: Image = self._session.run(None, {self._names[0]: images})[0]
        return found


def load_runtime() -> Any:
    """The onnxruntime module. Raises ConfigError if it is absent or broken."""
    try:
        runtime = import_module("onnxruntime")
        # Removing one of two onnxruntime wheels leaves a package without content that still imports.
        _ = runtime.InferenceSession
    except (ImportError, AttributeError) as error:
        what = f"cannot be used ({error}): pip install edge-inspector[cpu], or [gpu], never both in one environment"
        raise ConfigError([Fault("onnxruntime", what)]) from error
    return runtime


def runtime_errors() -> tuple[type[Exception], ...]:
    """All exceptions of a session. The runtime's own errors have no common base class."""
    state = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    own = [value for value in vars(state).values() if isinstance(value, type) and issubclass(value, Exception)]
    return (RuntimeError, ValueError, *own)


def create_session(model_dir: Path, manifest: Manifest, wanted: Wanted) -> OnnxEngine:
    """A session on the first wanted provider that really runs. Raises ConfigError with each provider's failure."""
    runtime = load_runtime()
    offered = runtime.get_available_providers()
    failed: list[ConfigError] = []
    absent: list[ConfigError] = []
    for provider in (wanted.required,) if wanted.required else wanted.providers:
        try:
            engine = _start(runtime, model_dir, manifest, provider=provider, wanted=wanted)
        except ConfigError as error:
            # Providers that nobody named are the defaults of every runtime, and one for CPUs offers none of a GPU's.
            (failed if wanted.named or _RUNTIME_NAMES[provider] in offered else absent).append(error)
        else:
            for each in failed:
                log.warning("%s", each)
            engine.fell_back = bool(failed)
            return engine
    raise ConfigError([fault for error in failed or absent for fault in error.faults])


def _start(runtime: Any, model_dir: Path, manifest: Manifest, *, provider: Provider, wanted: Wanted) -> OnnxEngine:
    kind, offered = _FILES[provider][wanted.precision], runtime.get_available_providers()
    if _RUNTIME_NAMES[provider] not in offered:
        what = f"the installed onnxruntime offers only {', '.join(offered)}"
        raise ConfigError([Fault(f"provider {provider}", what)])
    if kind not in manifest.files:
        raise ConfigError([Fault(f"provider {provider}", f"{model_dir} has no files.{kind}")])
    file = load_file(model_dir, manifest, kind, provider)

    def start(*, recorded: bool) -> Any:
        options = _provider_options(runtime, file, provider, wanted=wanted, manifest=manifest)
        if recorded:
            options |= _RECORDED.get(provider, {})
        chosen: list[Any] = [(_RUNTIME_NAMES[provider], options)]
        if provider == "tensorrt":
            chosen.append(_RUNTIME_NAMES["cuda"])  # for the operators that TensorRT does not support
        # TensorRT finds its cached engines by the path. With bytes it may build them again at each start.
        given = str(file.path) if provider == "tensorrt" and not file.mended else file.content
        session = runtime.InferenceSession(given, _session_options(runtime, wanted), providers=chosen)
        if provider == "tensorrt":
            load_file(model_dir, manifest, kind, provider)  # checks that nobody has exchanged it meanwhile
        # The runtime does not raise if a GPU or its libraries are missing: it falls back to the CPU.
        if session.get_providers()[0] != _RUNTIME_NAMES[provider]:
            what = f"did not start, and {session.get_providers()[0]} ran instead"
            raise ConfigError([Fault(f"provider {provider}", what)])
        return session

    try:
        session = start(recorded=False)
    except runtime_errors() as error:
        raise ConfigError([Fault(str(file.path), f"does not load on {provider}: {error}")]) from error
    inputs, outputs = _ports(session.get_inputs()), _ports(session.get_outputs())
    refuse_another_form(file.path, manifest, inputs=inputs, outputs=outputs, byte="tensor(uint8)")
    file.refuse_unguarded()
    # Without a cache TensorRT would build its engine again for each lane, for minutes.
    if provider == "cpu" or (provider == "tensorrt" and wanted.engine_cache is None):
        return OnnxEngine(runtime, session, provider=provider, kind=kind, ending=file.ending)
    gpu = Gpu(OnDevice("cuda", wanted.gpu), wanted.gpu_batch, start)
    return OnnxGpuEngine(runtime, session, provider=provider, kind=kind, ending=file.ending, gpu=gpu)


def _session_options(runtime: Any, wanted: Wanted) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = wanted.intra_op_threads
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    # Spinning workers take the cores from the cameras: 80 % against 28 % of a core at 10 frames a second.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


def _provider_options(
    runtime: Any, file: LoadedFile, provider: Provider, *, wanted: Wanted, manifest: Manifest
) -> dict[str, str]:
    if provider == "tensorrt":
        probe = runtime.InferenceSession(file.content, providers=[_RUNTIME_NAMES["cpu"]])
        sha256 = manifest.files[_FILES["tensorrt"][wanted.precision]].sha256
        return tensorrt_options(
            wanted, manifest, sha256=sha256, input_name=probe.get_inputs()[0].name, runtime_version=runtime.__version__
        )
    if provider == "cuda":
        return {"device_id": str(wanted.gpu), "arena_extend_strategy": "kSameAsRequested"}
    return {}


def tensorrt_options(
    wanted: Wanted, manifest: Manifest, *, sha256: str, input_name: str, runtime_version: str
) -> dict[str, str]:
    """The options for TensorRT: explicit shapes, and the folder of engines from earlier starts."""
    size = manifest.input
    shape = f"{size.height}x{size.width}x{size.channels}"
    low = str(wanted.precision == "int8")
    # A batch outside the profile would rebuild the engine, for seconds, while parts pass.
    options = {
        "device_id": str(wanted.gpu),
        "trt_fp16_enable": low,
        "trt_int8_enable": low,
        "trt_profile_min_shapes": f"{input_name}:1x{shape}",
        "trt_profile_opt_shapes": f"{input_name}:{wanted.gpu_batch}x{shape}",
        "trt_profile_max_shapes": f"{input_name}:{wanted.gpu_batch}x{shape}",
    }
    if wanted.engine_cache is None:
        return options
    # TensorRT does not notice that a cached engine was built for another model, runtime, GPU or other options.
    made_for = {"sha256": sha256, "onnxruntime": runtime_version, "gpus": gpu_description(), "options": options}
    text = json.dumps(made_for, indent=1, sort_keys=True)
    folder = f"{manifest.name}-{manifest.version}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    cache = wanted.engine_cache / folder
    cache.mkdir(parents=True, exist_ok=True)
    _refuse_foreign(cache)
    with draft_of(cache / "made-for.json", synced=False) as draft:
        draft.write_text(text, encoding="utf-8")
    return options | {
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(cache),
    }


def _refuse_foreign(cache: Path) -> None:
    """Raise ConfigError if somebody else could have put an engine there: TensorRT runs it without a check."""
    for path in (cache.parent, cache, *cache.iterdir()):
        found = path.stat()
        if found.st_uid not in {0, os.getuid()} or found.st_mode & stat.S_IWOTH:
            what = f"{path} is another user's, or everybody may write it: remove it, or name another folder"
            raise ConfigError([Fault("segmenter.settings.engine_cache", what)])


def gpu_description(driver: Path = Path("/proc/driver/nvidia")) -> str:
    """The NVIDIA driver's version and the models of its GPUs, from the kernel. Empty without a driver."""
    lines = []
    for path in (driver / "version", *sorted(driver.glob("gpus/*/information"))):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        lines += [line.strip() for line in text.splitlines() if line.startswith(("NVRM version", "Model:"))]
    return "\n".join(lines)


def _ports(found: Any) -> list[Port]:
    return [Port(node.name, node.type, node.shape, str(node.shape)) for node in found]
