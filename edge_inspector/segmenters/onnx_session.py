"""The ONNX Runtime session: which provider with which file, and the proof that it is what the manifest says."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.segmenters.manifest import FileKind, Manifest

log = logging.getLogger(__name__)

Provider = Literal["tensorrt", "cuda", "cpu"]
Precision = Literal["int8", "fp32"]

_RUNTIME_NAMES: Final[dict[Provider, str]] = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
# TensorRT's INT8 is symmetric and saturates on CPUs without VNNI; CUDA has no INT8 kernels for the CPU's file and
# would run it slower than FP32. So each provider has its own file, and none ever gets another's.
_FILES: Final[dict[Provider, dict[Precision, FileKind]]] = {
    "tensorrt": {"int8": "tensorrt", "fp32": "fp32"},
    "cuda": {"int8": "fp32", "fp32": "fp32"},
    "cpu": {"int8": "int8", "fp32": "fp32"},
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the station asks of the runtime."""

    precision: Precision
    providers: tuple[Provider, ...]
    required: Provider | None
    intra_op_threads: int
    gpu_batch: int
    engine_cache: Path | None


@dataclass(frozen=True, slots=True)
class Session:
    """A running session and what it really is."""

    run: Any
    provider: Provider
    kind: FileKind
    input_name: str
    output_name: str
    single: bool
    fell_back: bool = False

    @property
    def precision(self) -> Precision:
        """What is computed: TensorRT's file is INT8 too."""
        return "fp32" if self.kind == "fp32" else "int8"


def load_runtime() -> Any:
    """The onnxruntime module. Raises ConfigError when it is absent or broken."""
    try:
        runtime = import_module("onnxruntime")
        # Removing one of two onnxruntime wheels leaves a package without content that still imports.
        _ = runtime.InferenceSession
    except (ImportError, AttributeError) as error:
        what = f"cannot be used ({error}): pip install edge-inspector[cpu], or [gpu], never both in one environment"
        raise ConfigError([Fault("onnxruntime", what)]) from error
    return runtime


def runtime_errors() -> tuple[type[Exception], ...]:
    """Everything a session raises; the runtime's own errors have no common root."""
    state = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    own = [value for value in vars(state).values() if isinstance(value, type) and issubclass(value, Exception)]
    return (RuntimeError, ValueError, *own)


def create_session(model_dir: Path, manifest: Manifest, wanted: Wanted) -> Session:
    """The first of the wanted providers that really runs. Raises ConfigError, saying why for each that does not."""
    runtime = load_runtime()
    offered = runtime.get_available_providers()
    faults: list[Fault] = []
    fell_back = False
    for provider in (wanted.required,) if wanted.required else wanted.providers:
        kind = _FILES[provider][wanted.precision]
        if _RUNTIME_NAMES[provider] not in offered:
            faults.append(Fault(f"provider {provider}", f"the installed onnxruntime offers only {', '.join(offered)}"))
        elif kind not in manifest.files:
            faults.append(Fault(f"provider {provider}", f"{model_dir} has no files.{kind}"))
        else:
            try:
                return replace(_start(runtime, model_dir, manifest, provider, wanted), fell_back=fell_back)
            except ConfigError as error:
                fell_back = True
                log.warning("%s", error)
                faults.extend(error.faults)
    raise ConfigError(faults)


def _start(runtime: Any, model_dir: Path, manifest: Manifest, provider: Provider, wanted: Wanted) -> Session:
    kind = _FILES[provider][wanted.precision]
    file = model_dir / manifest.files[kind].path
    try:
        chosen: list[Any] = [(_RUNTIME_NAMES[provider], _provider_options(runtime, file, provider, wanted, manifest))]
        if provider == "tensorrt":
            chosen.append(_RUNTIME_NAMES["cuda"])  # for the operators that TensorRT does not take
        session = runtime.InferenceSession(str(file), _session_options(runtime, wanted), providers=chosen)
    except runtime_errors() as error:
        raise ConfigError([Fault(str(file), f"does not load on {provider}: {error}")]) from error
    # The runtime does not raise when a GPU or its libraries are missing: it falls back to the CPU.
    if session.get_providers()[0] != _RUNTIME_NAMES[provider]:
        raise ConfigError([Fault(f"provider {provider}", f"did not start; {session.get_providers()[0]} ran instead")])
    faults = [Fault(f"{file}: {where}", what) for where, what in _differences(session, manifest)]
    if faults:
        raise ConfigError(faults)
    return Session(
        run=session,
        provider=provider,
        kind=kind,
        input_name=session.get_inputs()[0].name,
        output_name=session.get_outputs()[0].name,
        single=session.get_inputs()[0].shape[0] == 1,
    )


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
    runtime: Any, file: Path, provider: Provider, wanted: Wanted, manifest: Manifest
) -> dict[str, str]:
    if provider == "tensorrt":
        return _tensorrt_options(runtime, file, wanted, manifest)
    return {"arena_extend_strategy": "kSameAsRequested"} if provider == "cuda" else {}


def _tensorrt_options(runtime: Any, file: Path, wanted: Wanted, manifest: Manifest) -> dict[str, str]:
    probe = runtime.InferenceSession(str(file), providers=[_RUNTIME_NAMES["cpu"]])
    name, size = probe.get_inputs()[0].name, manifest.input
    shape = f"{size.height}x{size.width}x{size.channels}"
    low = str(wanted.precision == "int8")
    # A batch outside the profile would rebuild the engine, for seconds, while parts pass.
    options = {
        "trt_fp16_enable": low,
        "trt_int8_enable": low,
        "trt_profile_min_shapes": f"{name}:1x{shape}",
        "trt_profile_opt_shapes": f"{name}:{wanted.gpu_batch}x{shape}",
        "trt_profile_max_shapes": f"{name}:{wanted.gpu_batch}x{shape}",
    }
    if wanted.engine_cache is not None:
        # TensorRT does not notice that a cached engine is another model's or runtime's: the folder's name tells.
        used = manifest.files[_FILES["tensorrt"][wanted.precision]].sha256[:16]
        cache = wanted.engine_cache / f"{manifest.name}-{used}-{runtime.__version__}-batch{wanted.gpu_batch}"
        cache.mkdir(parents=True, exist_ok=True)
        options |= {"trt_engine_cache_enable": "True", "trt_engine_cache_path": str(cache)}
    return options


def _differences(session: Any, manifest: Manifest) -> list[tuple[str, str]]:
    """Where the graph is not what the manifest says; an axis without a fixed size matches, the first run tells."""
    size, stride = manifest.input, manifest.output.stride
    expected = {
        "input": (session.get_inputs(), (size.height, size.width, size.channels)),
        "output": (session.get_outputs(), (len(manifest.classes), size.height // stride, size.width // stride)),
    }
    found: list[tuple[str, str]] = []
    for where, (nodes, shape) in expected.items():
        if len(nodes) != 1:
            found.append((where, f"one tensor expected, the model has {len(nodes)}"))
            continue
        if nodes[0].type != "tensor(uint8)":
            found.append((f"{where} {nodes[0].name}", f"type tensor(uint8) expected, the model has {nodes[0].type}"))
        if not _fits(nodes[0].shape, shape):
            numbers = ", ".join(map(str, shape))
            found.append(
                (f"{where} {nodes[0].name}", f"shape (any, {numbers}) expected, the model has {nodes[0].shape}")
            )
    return found


def _fits(found: list[int | str | None], shape: tuple[int, int, int]) -> bool:
    if len(found) != len(shape) + 1:
        return False
    return all(not isinstance(axis, int) or axis == size for axis, size in zip(found, (1, *shape), strict=True))
