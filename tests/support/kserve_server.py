"""A KServe v2 server for tests, with everything that may go wrong with one. The masks come from ONNX Runtime."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceServicer, add_GRPCInferenceServiceServicer_to_server

SHARED = "/dev/shm"  # noqa: S108 -- where POSIX shared memory has its names


@dataclass
class Ways:
    """What the server does. Change it while the server runs."""

    delay_s: float = 0.0
    silent: bool = False
    version: str = "1"
    sha256: str | None = None  # None: it has no such call, as servers other than Triton
    inverted: bool = False  # another model
    blank: bool = False  # one that never finds anything
    shape: tuple[int, ...] | None = None
    datatype: str = "UINT8"
    short: bool = False
    unwritten: bool = False  # it answers, and leaves the shared memory as it is
    nan: bool = False  # masks in floats, and not one of them a number
    error: grpc.StatusCode | None = None
    token: str = ""
    calls: int = 0
    ended: threading.Event = field(default_factory=threading.Event)


class FakeServer(GRPCInferenceServiceServicer):
    """Serves one model on 127.0.0.1. `stop` and `start` keep the port."""

    def __init__(
        self, model: Path, name: str, port: int = 0, credentials: grpc.ServerCredentials | None = None
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self.name, self.port, self.ways = name, port, Ways()
        self.credentials = credentials
        self._regions: dict[str, str] = {}
        self.start()

    def start(self) -> None:
        self.ways.ended.clear()
        self._regions.clear()
        self._threads = ThreadPoolExecutor(8)
        self._server = grpc.server(self._threads, options=(("grpc.so_reuseport", 0),))
        add_GRPCInferenceServiceServicer_to_server(self, self._server)
        address = f"127.0.0.1:{self.port}"
        if self.credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, self.credentials)
        self._server.start()

    def stop(self) -> None:
        self.ways.ended.set()
        self._server.stop(0).wait(10)
        self._threads.shutdown()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 -- gRPC's names
        self._admit(context)
        return pb.ServerMetadataResponse(name="fake\x1b[31m", version="1.0")

    def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._admit(context)
        if request.name != self.name:
            context.abort(grpc.StatusCode.NOT_FOUND, f"unknown model {request.name}")
        answer = pb.ModelMetadataResponse(name=self.name, versions=[self.ways.version])
        for ports, found in ((answer.inputs, self.session.get_inputs()), (answer.outputs, self.session.get_outputs())):
            for port in found:
                ports.add(name=port.name, datatype=self.ways.datatype, shape=[-1, *port.shape[1:]])
        return answer

    def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        if self.ways.sha256 is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such call")
        answer = pb.ModelConfigResponse()
        answer.config.max_batch_size = 8
        if self.ways.sha256:
            answer.config.parameters["sha256"].string_value = self.ways.sha256
        return answer

    def SystemSharedMemoryRegister(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        self._regions[request.name] = request.key
        return pb.SystemSharedMemoryRegisterResponse()

    def SystemSharedMemoryUnregister(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        self._regions.pop(request.name, None)
        return pb.SystemSharedMemoryUnregisterResponse()

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._admit(context)
        ways = self.ways
        ways.calls += 1
        if ways.silent:
            ways.ended.wait(30)
        time.sleep(ways.delay_s)
        if ways.error is not None:
            context.abort(ways.error, "as told\x1b[31m\nsecond line")
        tensor = request.inputs[0]
        masks = self.session.run(None, {tensor.name: self._pixels(request, context)})[0]
        if ways.inverted:
            masks = 255 - masks
        if ways.blank:
            masks = np.zeros_like(masks)
        if ways.nan:
            masks = np.full(masks.shape, np.nan, np.float32)
        answer = pb.ModelInferResponse(model_name=self.name, model_version=ways.version)
        wanted = request.outputs[0]
        answer.outputs.add(name=wanted.name, datatype=ways.datatype, shape=ways.shape or masks.shape)
        where = wanted.parameters["shared_memory_region"].string_param if wanted.parameters else ""
        if where and not ways.unwritten:
            with Path(SHARED, self._regions[where].strip("/")).open("r+b") as file:
                file.seek(wanted.parameters["shared_memory_offset"].int64_param)
                file.write(masks.tobytes())
        elif not where:
            answer.raw_output_contents.append(masks.tobytes()[: -1 if ways.short else None])
        return answer

    def _pixels(self, request: Any, context: Any) -> Any:
        tensor = request.inputs[0]
        if not tensor.parameters:
            return np.frombuffer(request.raw_input_contents[0], np.uint8).reshape(tensor.shape)
        name = tensor.parameters["shared_memory_region"].string_param
        if name not in self._regions:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"unable to find shared memory region {name}")
        content = Path(SHARED, self._regions[name].strip("/")).read_bytes()
        return np.frombuffer(content, np.uint8, int(np.prod(tensor.shape))).reshape(tensor.shape)

    def _admit(self, context: Any) -> None:
        if self.ways.token and dict(context.invocation_metadata()).get("authorization") != f"Bearer {self.ways.token}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")
