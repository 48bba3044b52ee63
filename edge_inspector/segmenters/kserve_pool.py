"""Several servers that run one model: who gets the next call, and who is left out until it is well again."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from edge_inspector.records import Image
from edge_inspector.segmenters.kserve_wire import Greeting, Region, Remote, RemoteError

log = logging.getLogger(__name__)

Call: TypeAlias = Callable[[Image, Image, float], None]
"""Fills masks from images within so many seconds. Raises RemoteError."""

_PROBE_NS: Final = 10_000_000_000  # a server that works is tested as often: its model may be exchanged while it runs
_DOUBT_NS: Final = 1_000_000_000  # one that was tested a moment ago is slow, and not silent
_AGAIN_NS: Final = 100_000_000
_LONGEST_NS: Final = 10_000_000_000
_PROBE_S: Final = 5.0
_UNWRITTEN: Final = 255  # no model says of each pixel that it is of every class, and if it did, that is no good part
_STEP: Final = 32  # of 255. A GPU rounds otherwise than a CPU
_SHARE: Final = 0.25
_LEAST_S: Final = 0.001


def marked(mask: Image) -> int:
    """How many pixels say more than nothing. A mask without any is that of many models."""
    return int(np.count_nonzero(mask > _STEP))


def same_masks(one: Image, other: Image) -> bool:
    """Whether two masks are those of one model on different machines.

    Where either marks something, at most a quarter may differ. Otherwise a model that marks nothing would be like all.
    """
    if one.shape != other.shape:
        return False
    either = max(1, int(np.count_nonzero((one > _STEP) | (other > _STEP))))
    differ = int(np.count_nonzero(np.abs(one.astype(np.int16) - other) > _STEP))
    return differ <= _SHARE * either


class _Server:
    """One server's share of the calls, and its health."""

    def __init__(self, wire: Remote, weight: int, version: str | None) -> None:
        self.wire, self.weight = wire, weight
        self.version = version
        self.healthy = version is not None
        self.why = "it did not answer at the start" if version is None else ""
        self.credit = 0
        self.probe: Any = None
        self.failures = 0
        self.test_ns = time.monotonic_ns() + (_PROBE_NS if self.healthy else 0)

    def trusted(self, answer: tuple[Image, str]) -> Image:
        """The masks of an answer, if the version of the model is the one that was tested. Raises RemoteError."""
        masks, version = answer
        if version != self.version:
            told = f"version {version!r} answers, version {self.version!r} was tested"
            raise RemoteError(f"{self.wire.address}: {told}", elsewhere=True)
        return masks


def _written(wire: Remote, masks: Image) -> Image:
    """The masks, if the server has written them. Raises RemoteError."""
    if any(mask.min() == _UNWRITTEN for mask in masks):
        raise RemoteError(f"{wire.address} answers, and has written no mask", elsewhere=True)
    return masks


class _SharedDesk:
    """One thread's shared memory.

    After a call that failed, the server may still write into it, late. So the next call gets other memory.
    """

    def __init__(self, size: int, regions: weakref.WeakSet[Region]) -> None:
        self._size, self._regions = size, regions  # bytes of one picture and its mask
        self._region: Region | None = None
        self._knows: dict[str, Remote] = {}  # the servers that know the region

    def ask(self, server: _Server, images: Image, left_s: float) -> Image:
        """Masks of images, valid until the next call. Raises RemoteError."""
        wire, region = server.wire, self._with_room(len(images))
        np.copyto(region.array(images.shape), images)
        # A server that writes nothing, or less, must not leave the mask of another picture there.
        region.array((region.size - images.nbytes,), images.nbytes).fill(_UNWRITTEN)
        try:
            if wire.address not in self._knows:
                wire.register(region, left_s)
                self._knows[wire.address] = wire
            response = wire.infer(wire.request(images, region), left_s)
            return _written(wire, server.trusted(wire.masks(response, len(images), region, images.nbytes)))
        except RemoteError:
            self._drop()
            raise

    def _with_room(self, count: int) -> Region:
        if self._region is not None and self._region.size < count * self._size:
            self._drop()
        if self._region is None:
            self._region = Region(count * self._size)
            self._regions.add(self._region)
        return self._region

    def _drop(self) -> None:
        region, self._region = self._region, None
        if region is not None:
            region.close()
            for wire in self._knows.values():
                wire.forget(region)
            self._knows.clear()


class Pool:
    """Gives each call to a server that is ready.

    A server that fails gets no calls. It is tested with a picture whose mask is known, and gets calls again when its
    mask is right. So a server that came back with another model stays out. Tests run beside the calls and delay none.
    """

    def __init__(
        self,
        wires: Sequence[Remote],
        weights: Sequence[int],
        *,
        picture: Image,
        expected: Image,
        versions: Mapping[str, Greeting],
        timeout_s: float,
    ) -> None:
        self._expected, self.timeout_s = expected, timeout_s
        self._picture = picture[np.newaxis]
        self._lock = threading.RLock()
        self._regions: weakref.WeakSet[Region] = weakref.WeakSet()  # one per thread
        self._servers = [
            _Server(wire, weight, versions[wire.address].version if wire.address in versions else None)
            for wire, weight in zip(wires, weights, strict=True)
        ]

    def caller(self, pixels: tuple[int, int, int], masks: tuple[int, int, int]) -> Call:
        """A function for one thread, with its own shared memory if the servers use it."""
        if not self._servers[0].wire.shared:
            return self._copying
        desk = _SharedDesk(int(np.prod(pixels)) + int(np.prod(masks)), self._regions)

        def call(images: Image, results: Image, limit_s: float) -> None:
            np.copyto(results, self._somewhere(lambda server, left_s: desk.ask(server, images, left_s), limit_s))

        return call

    def raw(self, images: Image, limit_s: float | None = None) -> Image:
        """Masks of images, in the shape in which a server gives them. Raises RemoteError."""

        def ask(server: _Server, left_s: float) -> Image:
            response = server.wire.infer(server.wire.request(images), left_s)
            return server.trusted(server.wire.masks(response, len(images)))

        return self._somewhere(ask, self.timeout_s if limit_s is None else limit_s)

    def close(self) -> None:
        """End all connections and remove the shared memory. Safe twice."""
        for region in list(self._regions):
            region.close()
        for server in self._servers:
            server.wire.close()

    def _copying(self, images: Image, results: Image, limit_s: float) -> None:
        np.copyto(results, self.raw(images, limit_s))

    def _somewhere(self, ask: Callable[[_Server, float], Image], limit_s: float) -> Image:
        """The answer of the first server that gives one in time."""
        if limit_s < _LEAST_S:
            raise RemoteError("no server could answer before the part is at the line")
        until_s = time.monotonic() + limit_s
        tried: list[_Server] = []
        while True:
            server = self._next(tried)
            if server is None:
                raise RemoteError("; ".join(f"{each.wire.address}: {each.why}" for each in self._servers))
            try:
                masks = ask(server, max(0.001, until_s - time.monotonic()))
            except RemoteError as error:
                if not error.elsewhere and limit_s < self.timeout_s:
                    self._doubt(server)
                    raise
                self._leave_out(server, error)
                tried.append(server)
                if not error.elsewhere or time.monotonic() >= until_s:
                    raise
            else:
                server.failures = 0
                return masks

    def _next(self, tried: Sequence[_Server]) -> _Server | None:
        """Smooth weighted round robin among the healthy servers that were not tried yet."""
        with self._lock:
            self._test()
            ready = [server for server in self._servers if server.healthy and server not in tried]
            if not ready:
                return None
            for server in ready:
                server.credit += server.weight
            chosen = max(ready, key=lambda server: server.credit)
            chosen.credit -= sum(server.weight for server in ready)
            return chosen

    def _doubt(self, server: _Server) -> None:
        """It gave no mask before a part was at its line. That may be the part's fault, so the server is tested."""
        with self._lock:
            tested_ns = server.test_ns - _PROBE_NS
            if server.healthy and server.probe is None and time.monotonic_ns() - tested_ns > _DOUBT_NS:
                server.probe = server.wire.probe(server.wire.request(self._picture), self.timeout_s)

    def _leave_out(self, server: _Server, error: RemoteError) -> None:
        with self._lock:
            why = str(error)  # whoever keeps the error itself keeps all pictures of the call
            if server.healthy:
                log.warning("inference server left out: %s", why)
            server.healthy, server.why = False, why.removeprefix(f"{server.wire.address}: ")
            server.failures += 1
            server.test_ns = time.monotonic_ns() + min(_AGAIN_NS << min(server.failures, 10), _LONGEST_NS)

    def _test(self) -> None:
        """Look at the tests that are done, and begin those that are due."""
        for server in self._servers:
            if server.probe is not None and server.probe.done():
                self._tested(server)
            elif server.probe is None and time.monotonic_ns() >= server.test_ns:
                server.probe = server.wire.probe(server.wire.request(self._picture), _PROBE_S)

    def _tested(self, server: _Server) -> None:
        probe, server.probe = server.probe, None
        try:
            mask, version = server.wire.mask_of(probe)
        except RemoteError as error:
            self._leave_out(server, error)
            return
        if not same_masks(mask, self._expected):
            self._leave_out(server, RemoteError("its mask of the test picture is wrong: another model runs there"))
            return
        if not server.healthy:
            log.info("inference server %s gets calls again", server.wire.address)
        server.healthy, server.version, server.why = True, version, ""
        server.test_ns = time.monotonic_ns() + _PROBE_NS
