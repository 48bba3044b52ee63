"""Does it help to queue the next picture in the runtime? `python benchmarks/ahead.py`. Prints a table.

The same model on OpenVINO and ONNX Runtime, called as a thread of the station does: it makes room for the mask, calls,
and then works in the interpreter for `--python-ms`. Other threads keep the interpreter busy for a share of the time.
The ways take turns, in short rounds, because other work on the machine changes its speed within seconds:

- wait: one thread for each worker calls and waits. The station does this.
- more: the same with one thread more.
- ahead: each thread starts the next picture before it waits for the last one, so one always waits in the runtime.
- run_async: ONNX Runtime's own queue, which computes in its threads.
"""

from __future__ import annotations

import argparse
import threading
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from statistics import median
from sys import setswitchinterval
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import openvino
from numpy.typing import NDArray

Array = NDArray[np.uint8]
Loop = Callable[[float], int]
MODELS = Path(__file__).parents[1] / "models"


class Model(NamedTuple):
    """An INT8 file, one picture, the shape of its masks, and the work in the interpreter after each call."""

    file: str
    picture: Array
    masks: tuple[int, ...]
    workers: int
    python_s: float

    @classmethod
    def read(cls, name: str, workers: int, python_s: float, side: int | None) -> Model:
        """A shipped model, or its network at another size, which only OpenVINO can run."""
        manifest = tomllib.loads((MODELS / name / "manifest.toml").read_text())
        size, stride = manifest["input"], manifest["output"]["stride"]
        height, width = side or size["height"], side or size["width"]
        picture = np.random.default_rng(1).integers(0, 256, (1, height, width, size["channels"]), np.uint8)
        masks = (1, len(manifest["classes"]), height // stride, width // stride)
        return cls(str(MODELS / name / manifest["files"]["int8"]["path"]), picture, masks, workers, python_s)

    def room(self) -> Array:
        """Memory for the masks, as each frame needs it."""
        return np.empty(self.masks, np.uint8)

    def work(self) -> None:
        """Keep the interpreter, as the stage does after each call."""
        until = time.thread_time() + self.python_s
        while time.thread_time() < until:
            pass


def by_threads(count: int, make: Callable[[], Loop]) -> Loop:
    """That many threads with a loop each."""

    def loop(until: float) -> int:
        done = [0] * count

        def run(number: int) -> None:
            done[number] = make()(until)

        threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(done)

    return loop


def openvino_ways(model: Model) -> dict[str, Loop]:
    """All ways to call OpenVINO."""
    core = openvino.Core()
    graph = core.read_model(model.file)
    graph.reshape(model.picture.shape)
    hint = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": model.workers, "INFERENCE_NUM_THREADS": model.workers}
    compiled = core.compile_model(graph, "CPU", hint)

    def bound(request: Any) -> Array:
        room = model.room()  # a tensor does not keep it alive
        request.set_input_tensor(openvino.Tensor(model.picture, shared_memory=True))
        request.set_output_tensor(openvino.Tensor(room, shared_memory=True))
        return room

    def waiting() -> Loop:
        request = compiled.create_infer_request()

        def loop(until: float) -> int:
            done = 0
            while time.monotonic() < until:
                _room = bound(request)
                request.infer()
                model.work()
                done += 1
            return done

        return loop

    def ahead() -> Loop:
        running, free = compiled.create_infer_request(), compiled.create_infer_request()

        def loop(until: float) -> int:
            nonlocal running, free
            done = 0
            room = bound(running)
            running.start_async()
            while time.monotonic() < until:
                next_room = bound(free)
                free.start_async()
                running.wait()
                model.work()
                running, free, room = free, running, next_room
                done += 1
            running.wait()
            del room
            return done + 1

        return loop

    workers = model.workers
    return {
        "openvino wait": by_threads(workers, waiting),
        "openvino more": by_threads(workers + 1, waiting),
        "openvino ahead": by_threads(workers, ahead),
    }


def onnx_ways(model: Model) -> dict[str, Loop]:
    """All ways to call ONNX Runtime. `run_async` needs one thread of its pool more than it uses."""

    def session(threads: int) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(model.file, options, providers=["CPUExecutionProvider"])

    one, pool = session(1), session(model.workers + 1)
    source, target = one.get_inputs()[0].name, one.get_outputs()[0].name

    def waiting() -> Loop:
        binding = one.io_binding()

        def loop(until: float) -> int:
            done = 0
            while time.monotonic() < until:
                room = model.room()
                binding.bind_input(source, "cpu", 0, np.uint8, model.picture.shape, model.picture.ctypes.data)
                binding.bind_output(target, "cpu", 0, np.uint8, model.masks, room.ctypes.data)
                one.run_with_iobinding(binding)
                model.work()
                done += 1
            return done

        return loop

    workers = model.workers
    return {
        "onnx wait": by_threads(workers, waiting),
        "onnx more": by_threads(workers + 1, waiting),
        "onnx run_async": queued(model, pool, source, target),
    }


def queued(model: Model, pool: Any, source: str, target: str) -> Loop:
    """One thread that keeps one picture more in the runtime's queue than it has workers."""

    def loop(until: float) -> int:
        came: SimpleQueue[str] = SimpleQueue()

        def start() -> None:
            pool.run_async([target], {source: model.picture}, lambda _found, _data, error: came.put(error), None)

        ahead = model.workers + 1
        for _ in range(ahead):
            start()
        done = 0
        while time.monotonic() < until:
            if error := came.get():
                raise RuntimeError(error)
            start()
            model.work()
            done += 1
        for _ in range(ahead):
            came.get()
        return done + ahead

    return loop


def measured(loop: Loop, seconds: float, busy: float, others: int) -> tuple[float, float]:
    """Frames per second, and ms of CPU of a frame without those of the `others`, which are busy for this share."""
    over, spent = threading.Event(), [0.0] * others

    def disturb(number: int) -> None:
        while not over.is_set():
            until = time.thread_time() + 0.002 * busy / others
            while time.thread_time() < until:
                pass
            time.sleep(0.002 * (1 - busy / others))
        spent[number] = time.thread_time()

    threads = [threading.Thread(target=disturb, args=(number,)) for number in range(others if busy else 0)]
    for thread in threads:
        thread.start()
    begun, cpu_s = time.monotonic(), time.process_time()
    done = loop(begun + seconds)
    took_s, used_s = time.monotonic() - begun, time.process_time() - cpu_s
    over.set()
    for thread in threads:
        thread.join()
    return done / took_s, 1000 * (used_s - sum(spent)) / max(done, 1)


def main() -> None:
    """All ways in turns, as ratios to `wait` of the same round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tile-1.1")
    parser.add_argument("--side", type=int, help="another size of the picture, for a model that is faster or slower")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--python-ms", type=float, default=0.25)
    parser.add_argument("--busy", type=float, nargs="*", default=[0.0, 0.5])
    parser.add_argument("--others", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--rounds", type=int, default=25)
    given = parser.parse_args()
    setswitchinterval(0.001)  # as the station sets it
    model = Model.read(given.model, given.workers, given.python_ms / 1000, given.side)
    ways = openvino_ways(model) | ({} if given.side else onnx_ways(model))
    print("| interpreter busy | way | frames/s | to `wait`, median (quartiles) | CPU of a frame, ms |")
    print("|---|---|---|---|---|")
    for busy in given.busy:
        found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for _ in range(given.rounds):
            for way, loop in ways.items():
                found[way].append(measured(loop, given.seconds, busy, given.others))
        for way, rounds in found.items():
            base = found[f"{way.split()[0]} wait"]
            ratios = sorted(mine[0] / theirs[0] for mine, theirs in zip(rounds, base, strict=True))
            low, high = ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]
            rate, cpu_ms = median(each[0] for each in rounds), median(each[1] for each in rounds)
            print(
                f"| {busy:g} | {way} | {rate:.0f} | {median(ratios):.2f} ({low:.2f} to {high:.2f}) | {cpu_ms:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
