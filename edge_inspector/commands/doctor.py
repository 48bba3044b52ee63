"""`edge-inspector doctor`: find settings of this machine that would harm a station, and say what to do."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Final

from edge_inspector.commands.doctor_station import look_at_station
from edge_inspector.errors import ConfigError
from edge_inspector.segmenters.onnx_session import load_runtime

_ROOT: Final = Path("/")
# the value that deploy/60-edge-inspector-cameras.conf sets
_RMEM_BYTES: Final = 4 << 20
_FREE_BYTES: Final = 2 << 30
_PROVIDERS: Final = {"TensorrtExecutionProvider": "TensorRT", "CUDAExecutionProvider": "CUDA"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked. `remedy` is empty if it is in order."""

    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The parts of the machine that the doctor checks. Tests pass a different one."""

    packages: frozenset[str]
    root: Path
    cores: int
    free_bytes: int
    run: Callable[[list[str]], str | None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The station, if there is one."""
    parser.add_argument(
        "station", nargs="?", type=Path, metavar="STATION.toml", help="also check what this station needs"
    )


def run(given: argparse.Namespace) -> int:
    """Print one line per finding, and also check what the station needs. Returns 0 if nothing is to be done, else 1."""
    packages = frozenset((found.name or "").lower().replace("_", "-") for found in distributions())
    cores, free = len(os.sched_getaffinity(0)), shutil.disk_usage("/").free
    machine = Machine(packages=packages, root=_ROOT, cores=cores, free_bytes=free, run=_output)
    findings = [finding for look in LOOKS for finding in look(machine)]
    if given.station is not None:
        findings += [Finding(what, remedy) for what, remedy in look_at_station(given.station, machine.run)]
    for finding in findings:
        print(
            f"{'FIX ' if finding.remedy else 'ok  '}  {finding.what}"
            + (f": {finding.remedy}" if finding.remedy else "")
        )
    return 1 if any(finding.remedy for finding in findings) else 0


def _onnxruntime(machine: Machine) -> Iterator[Finding]:
    wheels = sorted(name for name in machine.packages if name == "onnxruntime" or name.startswith("onnxruntime-"))
    if len(wheels) > 1:
        # These packages share one directory. The last one installed wins, and removing one of them removes it all.
        names = " ".join(wheels)
        yield Finding(
            f"{len(wheels)} onnxruntime wheels overwrite each other ({', '.join(wheels)})",
            f"pip uninstall {names} && pip install edge-inspector[cpu], or [gpu]",
        )
        return
    if not wheels:
        remedy = "" if "openvino" in machine.packages else "pip install edge-inspector[cpu], or [gpu]"
        yield Finding("no onnxruntime is installed", remedy)
        return
    try:
        offered = load_runtime().get_available_providers()
    except ConfigError as error:
        yield Finding(f"{wheels[0]} is broken", "; ".join(fault.what for fault in error.faults))
        return
    yield Finding(f"{wheels[0]} offers {', '.join(offered)}")


def _gpu(machine: Machine) -> Iterator[Finding]:
    has_driver = (machine.root / "proc/driver/nvidia/version").exists()
    has_wheel = "onnxruntime-gpu" in machine.packages
    if has_driver and not has_wheel:
        yield Finding(
            "an NVIDIA GPU is here but not used", "pip uninstall onnxruntime && pip install edge-inspector[gpu]"
        )
    elif has_wheel and not has_driver:
        yield Finding(
            "onnxruntime-gpu lists providers that cannot start: there is no NVIDIA driver",
            "install the driver, or pip uninstall onnxruntime-gpu && pip install edge-inspector[cpu]",
        )


def _openvino(machine: Machine) -> Iterator[Finding]:
    if "openvino" in machine.packages:
        yield Finding('OpenVINO is here: segmenter driver "openvino" is faster on this CPU')


def _opencv(machine: Machine) -> Iterator[Finding]:
    wheels = sorted(name for name in machine.packages if name.startswith("opencv-") and "python" in name)
    if len(wheels) > 1:
        others = " ".join(wheels)
        yield Finding(
            f"{len(wheels)} OpenCV wheels overwrite each other ({', '.join(wheels)})",
            f"pip uninstall {others} && pip install opencv-python-headless",
        )
    else:
        yield Finding(f"OpenCV: {', '.join(wheels) or 'none of the known wheels'}")


def _clock(machine: Machine) -> Iterator[Finding]:
    answer = machine.run(["timedatectl", "show", "--property=NTPSynchronized", "--value"])
    if answer is None:
        yield Finding("cannot see whether the clock is synchronised (no timedatectl)")
    elif answer.strip() == "yes":
        yield Finding("the clock is synchronised")
    else:
        yield Finding("the clock is not synchronised: results will carry wrong times", "timedatectl set-ntp true")


def _governor(machine: Machine) -> Iterator[Finding]:
    files = sorted((machine.root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor"))
    found = {text for path in files if (text := _text(path))}
    if found - {"performance"}:
        names = ", ".join(sorted(found))
        yield Finding(
            f"the CPU governor is {names}: a frame after a pause takes longer",
            "cpupower frequency-set --governor performance",
        )
    elif found:
        yield Finding("the CPU governor is performance")


def _sockets(machine: Machine) -> Iterator[Finding]:
    text = _text(machine.root / "proc/sys/net/core/rmem_max")
    if text is None or not text.isdigit():
        return
    if int(text) < _RMEM_BYTES:
        yield Finding(
            f"net.core.rmem_max is {text}: GigE cameras lose packets",
            f"sysctl -w net.core.rmem_max={_RMEM_BYTES}. To keep it, install deploy/60-edge-inspector-cameras.conf",
        )
    else:
        yield Finding(f"net.core.rmem_max is {text}")


def _real_time(machine: Machine) -> Iterator[Finding]:
    text = _text(machine.root / "proc/sys/kernel/sched_rt_runtime_us")
    if text == "0":
        yield Finding("real-time threads get no time at all", "sysctl -w kernel.sched_rt_runtime_us=950000")
    if machine.cores < 2:
        yield Finding("only one core: frames and model wait for each other", "use a machine with two or more")


def _disk(machine: Machine) -> Iterator[Finding]:
    gigabytes = machine.free_bytes / 1e9
    remedy = "make room: outbox and images stop when it is full" if machine.free_bytes < _FREE_BYTES else ""
    yield Finding(f"{gigabytes:.1f} GB free on /", remedy)


LOOKS: Final[tuple[Callable[[Machine], Iterator[Finding]], ...]] = (
    _onnxruntime,
    _gpu,
    _openvino,
    _opencv,
    _clock,
    _governor,
    _sockets,
    _real_time,
    _disk,
)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _output(command: list[str]) -> str | None:
    """The output of a command. None if it is missing, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)  # noqa: S603 -- our own words
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
