"""Batches for a GPU: their sizes never change, their memory stays in place, and two lanes take turns.

While one lane computes, the other one's pictures are copied. Each lane has a session, and so a stream, of its own.
Memory that stays in place lets the runtime record a batch as a graph and start all of its kernels with one call.
"""

from __future__ import annotations

import ctypes
import logging
import weakref
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Final, NamedTuple

import numpy as np

from edge_inspector.records import Image

log = logging.getLogger(__name__)

_RUNS: Final = 4  # the runtime runs a batch twice before it records it. After that, two runs are replays
_UNLIKE: Final = 3  # of 255: other kernels round otherwise
_CUDA_VERSIONS: Final = (13, 12)


class OnDevice(NamedTuple):
    """A device as the runtime names it."""

    kind: str
    number: int


class Memories(NamedTuple):
    """Makes memory on a device. `pixels` and `masks` are the shapes of one picture and its masks."""

    runtime: Any
    place: OnDevice
    pixels: tuple[int, int, int]
    masks: tuple[int, int, int]

    def make(self, size: int, shape: tuple[int, int, int]) -> Any:
        """Memory for that many of them, in bytes."""
        return self.runtime.OrtValue.ortvalue_from_shape_and_type((size, *shape), np.uint8, *self.place)


class _Batch(NamedTuple):
    """One size, with its memory on the device."""

    size: int
    binding: Any
    pixels: Any
    masks: Any
    options: Any


class Lane:
    """A session and its memory. One thread uses it at a time. With `recorded` each size is replayed as a graph."""

    def __init__(self, session: Any, memories: Memories, sizes: Sequence[int], *, recorded: bool) -> None:
        self._session, self._pixels, self._masks = session, memories.pixels, memories.masks
        self._batches: list[_Batch] = []
        for number, size in enumerate(sizes, start=1):
            binding, options = session.io_binding(), memories.runtime.RunOptions()
            given, made = memories.make(size, self._pixels), memories.make(size, self._masks)
            binding.bind_ortvalue_input(session.get_inputs()[0].name, given)
            binding.bind_ortvalue_output(session.get_outputs()[0].name, made)
            options.add_run_config_entry("gpu_graph_id", str(number if recorded else -1))
            self._batches.append(_Batch(size, binding, given, made, options))

    def run(self, images: Image, results: Image, count: int) -> None:
        """The masks of the first `count` images, see `Bound`. What fills the batch up is computed for nothing."""
        batch = next(batch for batch in self._batches if batch.size >= count)
        batch.pixels.update_inplace(np.ascontiguousarray(images.reshape(-1, *self._pixels)[: batch.size]))
        self._session.run_with_iobinding(batch.binding, batch.options)
        np.copyto(results[:count], batch.masks.numpy()[:count])

    def prove(self, masks_of: Callable[[Image], Image]) -> None:
        """Compare each size with the masks of a plain call. Raises RuntimeError if they differ.

        A recorded graph that reads old memory gives good-looking masks of another picture.
        """
        rng = np.random.default_rng(1)
        for size in (batch.size for batch in self._batches):
            for _ in range(_RUNS):
                images = rng.integers(0, 256, (size, *self._pixels), np.uint8)
                found = np.zeros((size, *self._masks), np.uint8)
                self.run(images, found, size)
                away = np.abs(found.astype(np.int16) - masks_of(images)).max(initial=0)
                if away > _UNLIKE:
                    raise RuntimeError(f"the masks of a batch of {size} differ by {away} of 255 from a plain call")


class Lanes:
    """Gives each call to a lane that is free. Any thread may call `run`."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._free: SimpleQueue[Lane] = SimpleQueue()
        for lane in lanes:
            self._free.put(lane)

    def run(self, images: Image, results: Image, count: int) -> None:
        """See `Bound`."""
        lane = self._free.get()
        try:
            lane.run(images, results, count)
        finally:
            self._free.put(lane)


def batch_sizes(most: int) -> tuple[int, ...]:
    """1, 2, 4 and so on, and `most`. Every other number is filled up to the next of them."""
    return (*(size for size in (1, 2, 4, 8, 16, 32) if size < most), most)


def pinned(shape: tuple[int, ...]) -> Image:
    """Zeros that the GPU can fetch by itself. Without CUDA, or if it refuses, ordinary memory."""
    memory: Image = np.zeros(shape, np.uint8)
    cuda = _cuda_runtime()
    if cuda is None:
        return memory
    address = ctypes.c_void_p(memory.ctypes.data)
    if code := cuda.cudaHostRegister(address, ctypes.c_size_t(memory.nbytes), 0):
        log.warning("%d bytes of memory cannot be pinned for the GPU: CUDA error %d", memory.nbytes, code)
        return memory
    weakref.finalize(memory, cuda.cudaHostUnregister, address)
    return memory


def _cuda_runtime() -> Any:
    """The CUDA runtime that the provider has loaded. None if there is none."""
    for version in _CUDA_VERSIONS:
        try:
            return ctypes.CDLL(f"libcudart.so.{version}")
        except OSError:
            continue
    return None
