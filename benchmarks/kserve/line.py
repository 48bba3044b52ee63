"""The simulated line with inference servers, one of which is killed, stopped or slowed again and again."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.kserve.servers import InferenceServer
from edge_inspector.driver_table import DEFAULT_RUNTIME
from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.station_files import models_dir

MODEL: Final = "tile-1.1"
PRECISION: Final = "int8"
FAULTS: Final = ("killed", "stopped", "slowed")
_FAULT_S: Final = 2.0
_BETWEEN_S: Final = (1.5, 4.0)
_TIMEOUT_MS: Final = 250


class ServedLine(Demo):
    """The demo line whose station asks these servers."""

    def __init__(self, options: DemoOptions, folder: Path, servers: Sequence[InferenceServer]) -> None:
        super().__init__(options, folder)
        self._servers = servers

    def _write_files(self, line_file: Path) -> None:
        super()._write_files(line_file)
        path = self.folder / "station.toml"
        addresses = ", ".join(f'"{each.address}"' for each in self._servers)
        settings = f"settings = {{ servers = [{addresses}], timeout_ms = {_TIMEOUT_MS}, workers = 2 }}"
        before, local, after = path.read_text().partition(f'[segmenter]\ndriver = "{DEFAULT_RUNTIME}"\n')
        if not local:
            raise RuntimeError("the station file of the demo has another form")
        path.write_text(f'{before}[segmenter]\ndriver = "kserve"\n{settings}\n{after}')


@contextmanager
def serving(kinds: Sequence[str], folder: Path) -> Iterator[list[InferenceServer]]:
    """One server of each kind, ready, with the shipped model. All end with this."""
    model = models_dir() / MODEL / f"model.{PRECISION}.onnx"
    with ExitStack() as stack:
        servers = [InferenceServer(kind, model, f"{MODEL}-{PRECISION}", folder) for kind in kinds]
        for server in servers:
            stack.callback(server.kill)
            server.start()
        for server in servers:
            server.wait()
        yield servers


def chaos(kinds: Sequence[str], folder: Path, *, parts: int, seed: int) -> dict[str, Any]:
    """The line's report, with the faults that there were. All promises must be kept whatever happens to the servers."""
    options = DemoOptions(parts=parts, cameras=2, speed_mm_s=800.0, lead_s=1.0)
    done: list[str] = []
    ended = threading.Event()
    with serving(kinds, folder) as servers:
        line = ServedLine(options, folder, servers)
        trouble = threading.Thread(target=_trouble, args=(servers, random.Random(seed), done, ended), name="trouble")
        with line.running():
            trouble.start()
            try:
                line.play()
            finally:
                ended.set()
                trouble.join()
            report = line.finish()
    return {"faults": done} | report


def _trouble(
    servers: Sequence[InferenceServer], chance: random.Random, done: list[str], ended: threading.Event
) -> None:
    while not ended.wait(chance.uniform(*_BETWEEN_S)):
        server, fault = chance.choice(servers), FAULTS[len(done) % len(FAULTS)]
        done.append(f"{server.kind} {fault}")
        if fault == "killed":
            server.kill()
            ended.wait(_FAULT_S)
            server.start()
        elif fault == "stopped":
            server.freeze()
            ended.wait(_FAULT_S)
            server.thaw()
        else:
            server.slow(2 * _TIMEOUT_MS / 1000)
            ended.wait(_FAULT_S)
            server.slow(0)
