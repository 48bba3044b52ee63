"""Real inference servers as processes, in the environments that the variables name, and what can be done to them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Final

from edge_inspector.simulation.demo import free_port

ENVIRONMENTS: Final = {"triton": "EDGE_TRITON_PYTHON", "mlserver": "EDGE_MLSERVER_PYTHON"}
"""The variable with the Python of the environment in which each server is installed."""
_HERE: Final = Path(__file__).parent
_READY_S: Final = 300.0


def why_not(kind: str) -> str:
    """Why this server cannot run here. Empty if it can."""
    found = os.environ.get(ENVIRONMENTS[kind], "")
    if not found:
        return f"no {kind}: {ENVIRONMENTS[kind]} does not name the Python of an environment with it"
    return "" if Path(found).exists() else f"{ENVIRONMENTS[kind]}: {found} is not there"


class InferenceServer:
    """One server with one model. After `kill` it can be started again, on the same ports."""

    def __init__(self, kind: str, model: Path, name: str, folder: Path) -> None:
        self.kind = kind
        self.port, self._http = free_port(), free_port()
        self._slow = folder / f"slow-{self.port}"
        self._log = folder / f"{kind}-{self.port}.log"
        self._name = name
        python, script = os.environ[ENVIRONMENTS[kind]], _HERE / f"{kind}_server.py"
        self._command = [python, script, model, name, self._slow, str(self.port), str(self._http)]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """The address of its gRPC port."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it. It is ready later."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)

    def wait(self) -> None:
        """Until its model answers."""
        grpc, pb = import_module("grpc"), import_module("tritonclient.grpc.service_pb2")
        stub_of = import_module("tritonclient.grpc.service_pb2_grpc").GRPCInferenceServiceStub
        end = time.monotonic() + _READY_S
        while True:
            if self._process is None or self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self.kind} is not ready:\n{self._log.read_text()[-3000:]}")
            with grpc.insecure_channel(self.address) as channel, suppress(grpc.RpcError):
                if stub_of(channel).ModelReady(pb.ModelReadyRequest(name=self._name), timeout=5).ready:
                    return
            time.sleep(0.2)

    def kill(self) -> None:
        """End it at once, with all its processes."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop all its processes, as a machine that swaps would."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def slow(self, seconds: float) -> None:
        """Let each call take so much longer. 0: as fast as it can."""
        if seconds:
            self._slow.write_text(str(seconds))
        else:
            self._slow.unlink(missing_ok=True)

    def _signal(self, number: int) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
