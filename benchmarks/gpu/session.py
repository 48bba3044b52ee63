"""One network on one provider, called with and without IOBinding, from pageable and from pinned memory."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from reshaped import Shaped

Array = NDArray[np.uint8]
Call = Callable[[], None]

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


def open_session(shaped: Shaped, provider: str, most: int, cache: Path) -> Any:
    """A session that runs on `provider`. Raises RuntimeError instead of the runtime's silent fallback."""
    chain: list[Any] = [(PROVIDERS[provider], _options(shaped, provider, most, cache))]
    if provider == "tensorrt":
        chain.append(PROVIDERS["cuda"])
    session = onnxruntime.InferenceSession(str(shaped.file), providers=chain)
    if session.get_providers()[0] != PROVIDERS[provider]:
        raise RuntimeError(f"{provider} did not start: {session.get_providers()[0]} ran instead")
    return session


def _options(shaped: Shaped, provider: str, most: int, cache: Path) -> dict[str, str]:
    if provider != "tensorrt":
        return {}
    size = "x".join(map(str, shaped.shape))
    profile = {"min": 1, "opt": most, "max": most}
    return {
        "trt_fp16_enable": "True",
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(cache),
        **{f"trt_profile_{which}_shapes": f"image:{count}x{size}" for which, count in profile.items()},
    }


class Buffers:
    """A batch of pictures and memory for their masks, both in the host's memory."""

    def __init__(self, shaped: Shaped, batch: int) -> None:
        self.pixels: Array = np.random.default_rng(7).integers(0, 256, (batch, *shaped.shape), dtype=np.uint8)
        self.masks: Array = np.zeros((batch, *shaped.masks), np.uint8)


def calls(session: Any, buffers: Buffers) -> dict[str, Call]:
    """The same work by `run` and by a prepared binding. Both leave the masks in the host's buffer."""
    source, result = session.get_inputs()[0].name, session.get_outputs()[0].name
    binding = session.io_binding()
    pixels, masks = buffers.pixels, buffers.masks
    binding.bind_input(source, "cpu", 0, np.uint8, pixels.shape, pixels.ctypes.data)
    binding.bind_output(result, "cpu", 0, np.uint8, masks.shape, masks.ctypes.data)

    def plain() -> None:
        np.copyto(masks, session.run([result], {source: pixels})[0])

    return {"run": plain, "binding": lambda: session.run_with_iobinding(binding)}


@contextmanager
def pinned(buffers: list[Buffers]) -> Iterator[None]:
    """Lock the buffers in memory, so that the GPU can copy them itself. Raises RuntimeError if CUDA refuses."""
    runtime = _cuda_runtime()
    arrays = [array for each in buffers for array in (each.pixels, each.masks)]
    locked: list[ctypes.c_void_p] = []
    try:
        for array in arrays:
            address = ctypes.c_void_p(array.ctypes.data)
            if code := runtime.cudaHostRegister(address, ctypes.c_size_t(array.nbytes), 0):
                raise RuntimeError(f"cudaHostRegister: error {code}")
            locked.append(address)
        yield
    finally:
        for address in locked:
            runtime.cudaHostUnregister(address)


def _cuda_runtime() -> ctypes.CDLL:
    """The CUDA runtime that the provider has loaded."""
    for version in (13, 12):
        try:
            return ctypes.CDLL(f"libcudart.so.{version}")
        except OSError:
            continue
    raise RuntimeError("libcudart is not loaded")
