"""Masks from inference servers that speak KServe v2 over gRPC: Triton, OpenVINO Model Server, KServe.

The model folder stays on the station. It says what the model must be, and the servers are checked against it.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import numpy as np
from pydantic import Field, model_validator

from edge_inspector.drivers import Due
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.host_name import is_loopback
from edge_inspector.records import Image
from edge_inspector.segmenters.ending import Ending
from edge_inspector.segmenters.engine import Bound, Engine, Running
from edge_inspector.segmenters.kserve_pool import Pool, marked, same_masks
from edge_inspector.segmenters.kserve_wire import Credentials, Greeting, Remote, RemoteError
from edge_inspector.segmenters.manifest import FileKind, Manifest
from edge_inspector.segmenters.model_file import load_file
from edge_inspector.segmenters.model_folder import FolderSegmenter, FolderSettings
from edge_inspector.segmenters.onnx_session import Wanted, create_session
from edge_inspector.segmenters.probing import probe_pictures

_ADDRESS: Final = r"^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$"
_UNPROVEN: Final = "no server tells the hash of its model, so its masks must be compared with those of the local file"
_DOUBT: Final = (
    "no server tells the hash of its model, and the model marks nothing in the test pictures, so another one may run. "
    "Give the model on the server a parameter `sha256`"
)


class KserveSegmenter(FolderSegmenter):
    """A model folder that one or more servers run. A server that fails is left out until it answers rightly again."""

    class Settings(FolderSettings):
        """The servers, and how they are reached."""

        servers: Annotated[tuple[Annotated[str, Field(pattern=_ADDRESS)], ...], Field(min_length=1, max_length=16)]
        """Addresses of the servers' gRPC ports, as `gpu1:8001`."""
        weights: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = ()
        """How much each server gets in proportion to the others, in the order of `servers`. Not set: all the same."""
        model: Annotated[str, Field(max_length=200)] = ""
        """Name of the model on the servers. Not set: NAME-VERSION-PRECISION of the model folder."""
        timeout_ms: Annotated[float, Field(ge=1, le=5000)] = 500.0
        """Longest time for one call, with the way there and back. A frame that takes longer is not inspected."""
        workers: Annotated[int, Field(ge=1, le=64)] | None = 4
        """Calls that are on their way at the same time."""
        max_batch: Annotated[int, Field(ge=1, le=64)] | None = 1
        """Images per call. With 1, the server gathers calls into batches by itself (dynamic batching)."""
        shared_memory: bool = False
        """Hand pictures and masks over in shared memory. Only for a server on this machine that has the extension."""
        tls_ca_file: Path | None = None
        """Certificate of the authority that signed the servers' certificates. Set it to use TLS."""
        tls_cert_file: Path | None = None
        """This station's own certificate, for servers that require one. Needs `tls_key_file` and `tls_ca_file`."""
        tls_key_file: Path | None = None
        """Key of `tls_cert_file`."""
        token_file: Path | None = None
        """File with a token. It is sent with each call, as `authorization: Bearer TOKEN`. Needs `tls_ca_file`."""

        @model_validator(mode="after")
        def _fits(self) -> KserveSegmenter.Settings:
            if self.weights and len(self.weights) != len(self.servers):
                raise ValueError(f"weights has {len(self.weights)} values, servers has {len(self.servers)}")
            if len(set(self.servers)) < len(self.servers):
                raise ValueError("servers has an address twice")
            remote = [each for each in self.servers if not is_loopback(each.rpartition(":")[0].strip("[]"))]
            if self.shared_memory and remote:
                raise ValueError(f"shared_memory needs a server on this machine, and {remote[0]} is another one")
            if self.token_file is not None and self.tls_ca_file is None and remote:
                raise ValueError("token_file needs tls_ca_file: without TLS others on the network can read the token")
            if (self.tls_cert_file is None) != (self.tls_key_file is None):
                raise ValueError("tls_cert_file and tls_key_file need each other")
            if self.tls_cert_file is not None and self.tls_ca_file is None:
                raise ValueError("tls_cert_file needs tls_ca_file")
            return self

    _settings: Settings

    def _start(self, manifest: Manifest) -> KserveEngine:
        chosen = self._settings
        if chosen.precision not in manifest.files:
            raise ConfigError([Fault(str(self._model_dir), f"has no files.{chosen.precision}")])
        name = chosen.model or f"{manifest.name}-{manifest.version}-{chosen.precision}"
        access = Credentials(
            ca=_content(chosen.tls_ca_file),
            cert=_content(chosen.tls_cert_file),
            key=_content(chosen.tls_key_file),
            token=(_content(chosen.token_file) or b"").decode(errors="replace").strip(),
        )
        shared = chosen.shared_memory
        wires = [Remote(address, name, access, manifest, shared=shared) for address in chosen.servers]
        weights = chosen.weights or (1,) * len(wires)
        engine = _checked(wires, weights, manifest, chosen=chosen, folder=self._model_dir)
        if (chosen.max_batch or 1) > engine.batch_max:
            engine.close()
            raise ConfigError([Fault("max_batch", f"the servers take {engine.batch_max} images per call at most")])
        return engine

    def _warm(self, running: Running, file: Path) -> None:
        """A server that is too slow at this moment is no wrong setting: the station waits for it."""
        try:
            super()._warm(running, file)
        except ConfigError as error:
            if isinstance(running.engine, KserveEngine):
                running.engine.close()
            raise ConfigError([replace(fault, may_come=True) for fault in error.faults]) from error

    def close(self) -> None:
        """Release the session and all connections."""
        running = self._running
        super().close()
        if running is not None and isinstance(running.engine, KserveEngine):
            running.engine.close()


class KserveEngine(Engine):
    """The servers that run one model."""

    provider = "remote"
    on_cpu = False
    single = False
    fell_back = False
    errors: tuple[type[Exception], ...] = (RemoteError,)

    def __init__(self, pool: Pool, ending: Ending, kind: FileKind, *, runtime: str, batch_max: int) -> None:
        self.kind, self.ending, self.runtime, self.batch_max = kind, ending, runtime, batch_max
        self._pool = pool
        self._own = threading.local()

    def hurry(self, due: Due) -> None:
        """The next call of this thread ends when its part is at the line: nobody waits for it any more."""
        self._own.due = due

    def bind(self, pixels: tuple[int, int, int], masks: tuple[int, int, int]) -> Bound:
        """Send the images to a server that is ready, and copy its masks."""
        call = self._pool.caller(pixels, masks)

        def run(images: Image, results: Image, count: int) -> None:
            due: Due | None = self._own.__dict__.pop("due", None)  # it holds the frames, so it is not kept
            limit_s = self._pool.timeout_s if due is None else due.left_s(self._pool.timeout_s)
            call(images.reshape(-1, *pixels)[:count], results[:count], limit_s)

        return run

    def output_shape(self, pixels: Image) -> tuple[int, ...]:
        """The real output shape, from a call."""
        return self._pool.raw(pixels).shape

    def close(self) -> None:
        """End all connections. Safe twice."""
        self._pool.close()


def _checked(
    wires: list[Remote],
    weights: tuple[int, ...],
    manifest: Manifest,
    *,
    chosen: KserveSegmenter.Settings,
    folder: Path,
) -> KserveEngine:
    """An engine of the servers that run this model. Those that do not answer now may join later. Raises ConfigError."""
    pictures = np.stack(probe_pictures((manifest.input.height, manifest.input.width, manifest.input.channels)))
    answers = _greeted(wires, pictures, chosen.timeout_ms / 1000)
    first = _first_proven(answers)
    kinds = {address: _kind_of(answer.sha256, manifest, chosen.precision) for address, answer in answers.items()}
    for address, kind in kinds.items():
        if kind is None:
            sha256 = answers[address].sha256
            what = f"runs another model: its SHA-256 is {sha256}, which is none of the files in {folder}"
            raise ConfigError([Fault(f"segmenter.settings.servers {address}", what)])
        if kind != kinds[first]:
            what = f"runs files.{kind}, and {first} runs files.{kinds[first]}: all must run the same"
            raise ConfigError([Fault(f"segmenter.settings.servers {address}", what)])
    kind = kinds[first] or chosen.precision
    loaded = load_file(folder, manifest, kind, "kserve", runs_here=False)
    proven = bool(answers[first].sha256)
    expected = answers[first].masks if proven else _local_masks(folder, manifest, chosen, pictures)
    for address, answer in answers.items():
        if not same_masks(answer.masks, expected):
            what = f"its masks are not those of {loaded.path}: another model, or other pictures, run there"
            raise ConfigError([Fault(f"segmenter.settings.servers {address}", what)])
    telling = max(range(len(pictures)), key=lambda at: marked(expected[at]))
    pool = Pool(
        wires,
        weights,
        picture=pictures[telling],
        expected=expected[telling],
        versions=answers,
        timeout_s=chosen.timeout_ms / 1000,
    )
    ending = loaded.ending if proven or marked(expected) else loaded.ending._replace(doubt=_DOUBT)
    batch_max = min(answer.batch_max for answer in answers.values())
    return KserveEngine(pool, ending, kind, runtime=answers[first].runtime, batch_max=batch_max)


def _greeted(wires: list[Remote], pictures: Image, timeout_s: float) -> dict[str, Greeting]:
    """What the servers that answer say, by address. Raises ConfigError if none does."""
    answers: dict[str, Greeting] = {}
    faults: list[Fault] = []
    for wire in wires:
        try:
            answers[wire.address] = wire.greet(pictures, timeout_s)
        except RemoteError as error:
            faults.append(Fault(f"segmenter.settings.servers {wire.address}", str(error), may_come=True))
    if not answers:
        for wire in wires:
            wire.close()
        raise ConfigError(faults)
    known = next(wire for wire in wires if wire.address in answers)
    for wire in wires:
        if wire.address not in answers:
            wire.resembles(known)
    return answers


def _first_proven(answers: dict[str, Greeting]) -> str:
    return next((address for address, answer in answers.items() if answer.sha256), next(iter(answers)))


def _kind_of(sha256: str, manifest: Manifest, precision: FileKind) -> FileKind | None:
    """The file of the folder that the server runs. A server that tells no hash is taken to run the one asked for."""
    if not sha256:
        return precision
    return next((kind for kind, file in manifest.files.items() if file.sha256 == sha256), None)


def _local_masks(folder: Path, manifest: Manifest, chosen: KserveSegmenter.Settings, pictures: Image) -> Image:
    """The masks that the local file gives. Raises ConfigError if it cannot be had."""
    wanted = Wanted(
        precision=chosen.precision,
        providers=("cpu",),
        required="cpu",
        intra_op_threads=1,
        gpu_batch=1,
        gpu=0,
        engine_cache=None,
    )
    try:
        local = create_session(folder, manifest, wanted)
    except ConfigError as error:
        remedy = "Give the model on the server a parameter `sha256`, or install edge-inspector[cpu] to compare masks"
        raise ConfigError([*error.faults, Fault("segmenter.settings.servers", f"{_UNPROVEN}. {remedy}")]) from error
    size, stride = manifest.input, manifest.output.stride
    masks = (len(manifest.classes), size.height // stride, size.width // stride)
    results = np.zeros((len(pictures), *masks), np.uint8)
    run = local.bind((size.height, size.width, size.channels), masks)
    for picture, result in zip(pictures, results, strict=True):
        run(picture[np.newaxis], result[np.newaxis], 1)
    return results


def _content(path: Path | None) -> bytes | None:
    if path is None:
        return None
    with suppress(OSError):
        return path.read_bytes()
    raise ConfigError([Fault(str(path), "cannot be read")])
