"""One connection to a KServe v2 server over gRPC. What it answers is checked before it is used."""

from __future__ import annotations

import mmap
import os
import secrets
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from edge_inspector.errors import ConfigError, Fault, InferenceError
from edge_inspector.records import Image
from edge_inspector.segmenters.manifest import Manifest

_GREETING_S: Final = 5.0  # the first call of a server that has just begun is slower
_TEXT_MAX: Final = 300
_SHARED: Final = Path("/dev/shm")  # noqa: S108 -- where POSIX shared memory has its names
_PREFIX: Final = "edge-inspector-kserve"
_OPTIONS: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", 256 * 2**20),
    # A server that came back is found within a second, not after gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),
)


class RemoteError(InferenceError):
    """A server did not give masks. `elsewhere`: another server may still do it in time."""

    def __init__(self, message: str, *, elsewhere: bool = False) -> None:
        super().__init__(message)
        self.elsewhere = elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Certificates in PEM, and a token. None or "": without."""

    ca: bytes | None = None
    cert: bytes | None = None
    key: bytes | None = None
    token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """What a server says of its model, and its masks of the test pictures. `sha256` is "" if it does not tell."""

    runtime: str
    version: str
    sha256: str
    batch_max: int
    masks: Image


class Region:
    """Shared memory for the pictures and masks of one thread. A file of this process that the server may open, too."""

    def __init__(self, size: int) -> None:
        _remove_orphans()
        self.name = f"{_PREFIX}-{os.getpid()}-{secrets.token_hex(8)}"
        file = os.open(_SHARED / self.name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o660)
        try:
            os.ftruncate(file, size)
            self.memory = mmap.mmap(file, size)
        finally:
            os.close(file)
        self.size = size
        self._remove = weakref.finalize(self, _unlink, _SHARED / self.name)

    def array(self, shape: tuple[int, ...], at: int = 0) -> Image:
        """The bytes from `at` on, as an array of this shape."""
        return np.frombuffer(self.memory, np.uint8, int(np.prod(shape)), at).reshape(shape)

    def close(self) -> None:
        """Remove the name. The memory goes with its last user. Safe twice."""
        self._remove()


def _unlink(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _remove_orphans() -> None:
    """Remove what processes left that were killed."""
    for path in _SHARED.glob(f"{_PREFIX}-*"):
        pid = path.name.removeprefix(f"{_PREFIX}-").partition("-")[0]
        if pid.isdecimal() and not Path("/proc", pid).exists():
            _unlink(path)


class Remote:
    """One server. Any thread may call it."""

    def __init__(self, address: str, model: str, access: Credentials, manifest: Manifest, *, shared: bool) -> None:
        self.address, self.shared = address, shared
        self._model, self._manifest = model, manifest
        self._grpc, self._pb = _library()
        self._metadata = (("authorization", f"Bearer {access.token}"),) if access.token else ()
        if access.ca is None:
            self._channel = self._grpc.insecure_channel(address, options=_OPTIONS)
        else:
            secure = self._grpc.ssl_channel_credentials(access.ca, access.key, access.cert)
            self._channel = self._grpc.secure_channel(address, secure, options=_OPTIONS)
        self._stub = import_module("tritonclient.grpc.service_pb2_grpc").GRPCInferenceServiceStub(self._channel)
        self._names = ("", "")

    def greet(self, pictures: Image, timeout_s: float) -> Greeting:
        """Check the form of the model on the server against the manifest, and let it judge the test pictures.

        Raises ConfigError for another model, RemoteError for a server that does not answer.
        """
        server = self._ask("ServerMetadata", self._pb.ServerMetadataRequest(), timeout_s)
        told = self._ask("ModelMetadata", self._pb.ModelMetadataRequest(name=self._model), _GREETING_S)
        self._names = self._checked(told)
        sha256, batch_max = self._configured(timeout_s)
        answers = [self._ask("ModelInfer", self.request(each[np.newaxis]), _GREETING_S) for each in pictures]
        told_masks, versions = zip(*(self.masks(answer, 1) for answer in answers), strict=True)
        runtime = f"{_text(server.name)} {_text(server.version)}".strip()
        masks: Image = np.concatenate(told_masks)
        return Greeting(runtime=runtime, version=versions[-1], sha256=sha256, batch_max=batch_max, masks=masks)

    def resembles(self, other: Remote) -> None:
        """Take the names of input and output from another server, until this one answers."""
        self._names = other._names

    def infer(self, request: Any, timeout_s: float) -> Any:
        """The server's answer to a request. Raises RemoteError."""
        return self._ask("ModelInfer", request, timeout_s)

    def probe(self, request: Any, timeout_s: float) -> Any:
        """Send a request without waiting for the answer. Returns a gRPC future."""
        return self._stub.ModelInfer.future(request, timeout=timeout_s, metadata=self._metadata)

    def request(self, images: Image, region: Region | None = None) -> Any:
        """The request for masks of `images` [N, H, W, channels]. With a region, they lie at its start."""
        pb, (source, target) = self._pb, self._names
        request = pb.ModelInferRequest(model_name=self._model)
        tensor = request.inputs.add(name=source, datatype="UINT8", shape=images.shape)
        wanted = request.outputs.add(name=target)
        if region is None:
            request.raw_input_contents.append(images.tobytes())
        else:
            _lies_in(tensor, region, 0, images.nbytes)
            _lies_in(wanted, region, images.nbytes, len(images) * self._mask_bytes)
        return request

    def register(self, region: Region, timeout_s: float) -> None:
        """Tell the server of a region. Raises RemoteError."""
        request = self._pb.SystemSharedMemoryRegisterRequest(
            name=region.name, key=f"/{region.name}", offset=0, byte_size=region.size
        )
        self._ask("SystemSharedMemoryRegister", request, timeout_s)

    def forget(self, region: Region) -> None:
        """Let the server know that a region is not used any more. Nobody waits for its answer."""
        request = self._pb.SystemSharedMemoryUnregisterRequest(name=region.name)
        with suppress(ValueError):  # the channel was closed meanwhile
            self._stub.SystemSharedMemoryUnregister.future(request, timeout=1.0, metadata=self._metadata)

    def masks(self, response: Any, count: int, region: Region | None = None, at: int = 0) -> tuple[Image, str]:
        """The masks [N, classes, H/stride, W/stride] in an answer, and the model's version. Raises RemoteError."""
        shape = (count, *self._mask_shape)
        outputs = response.outputs
        if len(outputs) != 1 or outputs[0].name != self._names[1] or outputs[0].datatype != "UINT8":
            raise RemoteError(f"{self.address} answers with something else than uint8 masks", elsewhere=True)
        if tuple(outputs[0].shape) != shape:
            told = tuple(outputs[0].shape)
            raise RemoteError(f"{self.address} answers with masks {told}, expected {shape}", elsewhere=True)
        size = count * self._mask_bytes
        if region is not None:
            return region.array(shape, at), response.model_version
        contents = response.raw_output_contents
        if len(contents) != 1 or len(contents[0]) != size:
            raise RemoteError(f"{self.address} answers with a mask of another size", elsewhere=True)
        return np.frombuffer(contents[0], np.uint8).reshape(shape), response.model_version

    def mask_of(self, future: Any) -> tuple[Image, str]:
        """The mask in the answer to a probe that is done. Raises RemoteError."""
        try:
            response = future.result(timeout=0)
        except (self._grpc.RpcError, self._grpc.FutureTimeoutError, self._grpc.FutureCancelledError) as error:
            raise self._failure("ModelInfer", error) from error
        masks, version = self.masks(response, 1)
        return masks[0], version

    def close(self) -> None:
        """End the connection. Safe twice."""
        self._channel.close()

    @property
    def _mask_shape(self) -> tuple[int, int, int]:
        size, stride = self._manifest.input, self._manifest.output.stride
        return len(self._manifest.classes), size.height // stride, size.width // stride

    @property
    def _mask_bytes(self) -> int:
        classes, height, width = self._mask_shape
        return classes * height * width

    def _checked(self, told: Any) -> tuple[str, str]:
        """The names of input and output. Raises ConfigError if they are not those of the manifest's model."""
        size = self._manifest.input
        expected = {
            "input": (told.inputs, (size.height, size.width, size.channels)),
            "output": (told.outputs, self._mask_shape),
        }
        names = []
        for where, (tensors, shape) in expected.items():
            found = [f"{each.datatype} {tuple(each.shape)}" for each in tensors]
            if len(tensors) != 1 or tensors[0].datatype != "UINT8" or tuple(tensors[0].shape[-3:]) != shape:
                wanted = f"UINT8 (any, {', '.join(map(str, shape))})"
                what = f"model {self._model} must have one {where}, {wanted}. It has {', '.join(found) or 'none'}"
                raise ConfigError([Fault(f"segmenter.settings.servers {self.address}", what)])
            names.append(_text(tensors[0].name))
        return names[0], names[1]

    def _configured(self, timeout_s: float) -> tuple[str, int]:
        """The hash and the largest batch that the server tells. Only Triton has this call."""
        try:
            config = self._ask("ModelConfig", self._pb.ModelConfigRequest(name=self._model), timeout_s).config
        except RemoteError:
            return "", 64
        return _text(config.parameters["sha256"].string_value), config.max_batch_size or 1

    def _ask(self, call: str, request: Any, timeout_s: float) -> Any:
        ask: Callable[..., Any] = getattr(self._stub, call)
        try:
            return ask(request, timeout=timeout_s, metadata=self._metadata)
        except (self._grpc.RpcError, ValueError) as error:  # ValueError: the channel was closed meanwhile
            raise self._failure(call, error) from error

    def _failure(self, call: str, error: Exception) -> RemoteError:
        code = getattr(error, "code", lambda: None)()
        details = getattr(error, "details", lambda: str(error))()
        name = code.name if code is not None else type(error).__name__
        late = code is self._grpc.StatusCode.DEADLINE_EXCEEDED
        return RemoteError(f"{self.address}: {call}: {name}: {_text(details or '')}", elsewhere=not late)


def _library() -> tuple[ModuleType, ModuleType]:
    try:
        return import_module("grpc"), import_module("tritonclient.grpc.service_pb2")
    except ImportError as error:
        raise ConfigError([Fault("kserve", f"{error}: pip install edge-inspector[kserve]")]) from error


def _lies_in(tensor: Any, region: Region, offset: int, size: int) -> None:
    tensor.parameters["shared_memory_region"].string_param = region.name
    tensor.parameters["shared_memory_offset"].int64_param = offset
    tensor.parameters["shared_memory_byte_size"].int64_param = size


def _text(told: str) -> str:
    """A server's text on one line, without what a terminal would obey."""
    return "".join(sign if sign.isprintable() else " " for sign in told[:_TEXT_MAX])
