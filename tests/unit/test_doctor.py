from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_inspector.commands import doctor
from edge_inspector.commands.doctor import Finding, Machine, run


def machine(
    root: Path,
    packages: tuple[str, ...] = ("onnxruntime", "opencv-python-headless"),
    cores: int = 4,
    free: int = 50 << 30,
    run: Callable[[list[str]], str | None] = lambda _: "yes\n",
) -> Machine:
    return Machine(packages=frozenset(packages), root=root, cores=cores, free_bytes=free, run=run)


def findings(on: Machine) -> list[Finding]:
    return [finding for look in doctor.LOOKS for finding in look(on)]


def bad(on: Machine) -> list[str]:
    return [finding.what for finding in findings(on) if finding.remedy]


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_a_machine_in_order_needs_nothing(tmp_path: Path) -> None:
    write(tmp_path, "proc/sys/net/core/rmem_max", "8388608\n")
    write(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n")
    assert bad(machine(tmp_path)) == []
    assert len(findings(machine(tmp_path))) >= 6


@pytest.mark.parametrize(
    ("packages", "what"),
    [
        (("onnxruntime", "onnxruntime-gpu"), "2 onnxruntime wheels overwrite each other"),
        (("onnxruntime", "onnxruntime-openvino"), "2 onnxruntime wheels overwrite each other"),
        ((), "no onnxruntime is installed"),
        (("onnxruntime", "opencv-python", "opencv-python-headless"), "2 OpenCV wheels overwrite each other"),
        (("onnxruntime-gpu",), "there is no NVIDIA driver"),
    ],
)
def test_wheels_that_do_not_go_together(tmp_path: Path, packages: tuple[str, ...], what: str) -> None:
    assert any(what in each for each in bad(machine(tmp_path, packages)))


def test_openvino_alone_is_enough(tmp_path: Path) -> None:
    assert bad(machine(tmp_path, ("openvino", "opencv-python-headless"))) == []


def test_a_gpu_that_nobody_uses(tmp_path: Path) -> None:
    write(tmp_path, "proc/driver/nvidia/version", "NVRM version: 580")
    assert bad(machine(tmp_path)) == ["an NVIDIA GPU is here but not used"]


@pytest.mark.parametrize(
    ("path", "text", "what"),
    [
        ("proc/sys/net/core/rmem_max", "212992\n", "GigE cameras lose packets"),
        ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave\n", "governor is powersave"),
        ("proc/sys/kernel/sched_rt_runtime_us", "0\n", "real-time threads get no time"),
    ],
)
def test_a_kernel_set_wrong(tmp_path: Path, path: str, text: str, what: str) -> None:
    write(tmp_path, path, text)
    (found,) = bad(machine(tmp_path))
    assert what in found


def test_clock_cores_and_disk(tmp_path: Path) -> None:
    (found,) = bad(machine(tmp_path, run=lambda _: "no\n"))
    assert "not synchronised" in found
    (found,) = bad(machine(tmp_path, cores=1))
    assert "one core" in found
    (found,) = bad(machine(tmp_path, free=1 << 20))
    assert "free on /" in found
    assert bad(machine(tmp_path, run=lambda _: None)) == []


def test_this_machine_is_told_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(Namespace(station=None))
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith(("ok    ", "FIX   ")) for line in lines)
    assert code == int(any(line.startswith("FIX") for line in lines))
    assert any("onnxruntime" in line for line in lines)
