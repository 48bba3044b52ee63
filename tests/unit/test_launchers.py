"""Job files for schedulers, and the locks by which their processes share a run."""

import errno
import fcntl
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from edge_inspector.errors import ConfigError
from edge_inspector.training.shipping.claims import claimed, holder, waited
from edge_inspector.training.shipping.launchers import LAUNCHERS, Launch, job_of, write_job

HOLDS = """
import sys
from pathlib import Path
from edge_inspector.training.shipping.claims import claimed
with claimed(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launch:
    """Of a folder whose name has what a shell and YAML would take for their own."""
    monkeypatch.chdir(tmp_path)
    data, run = Path("it's #1: data"), Path("runs") / "one"
    data.mkdir()
    words = ["model", "train", str(data), f"--out={run}", "--seed", "0x10", "--draw", "crack=line"]
    return job_of(words, [data], run=run, folds=3, threads=2)


def test_paths_hold_wherever_the_job_runs(job: Launch, tmp_path: Path) -> None:
    assert job.command == [
        *["edge-inspector", "model", "train", str(tmp_path / "it's #1: data"), f"--out={tmp_path}/runs/one"],
        *["--seed", "0x10", "--draw", "crack=line"],
    ]
    assert job.shared == tmp_path


@pytest.mark.parametrize("kind", ["slurm", "torchrun"])
def test_a_shell_runs_the_command_as_it_was_typed(job: Launch, kind: str, tmp_path: Path) -> None:
    path, submit = write_job(kind, job)
    says = tmp_path / "bin" / "says"
    says.parent.mkdir()
    says.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    says.chmod(0o755)
    for name in ("edge-inspector", "torchrun"):
        (says.parent / name).symlink_to(says)
    found = subprocess.run(
        ["sh", str(path)],
        env={**os.environ, "PATH": f"{says.parent}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    assert found.stdout.splitlines()[-(len(job.command) - 1) :] == job.command[1:]
    assert shlex.split(submit)[-1] == str(path)


def test_kubernetes_runs_the_command_as_it_was_typed(job: Launch, tmp_path: Path) -> None:
    path, _ = write_job("kubernetes", job)
    made = yaml.safe_load(path.read_text(encoding="utf-8"))
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == job.command
    assert container["volumeMounts"][0]["mountPath"] == str(tmp_path)
    assert made["spec"]["parallelism"] == made["spec"]["completions"] == 3


def test_slurm_starts_one_process_for_each_fold(job: Launch) -> None:
    path, _ = write_job("slurm", job)
    assert "#SBATCH --array=1-3\n" in path.read_text(encoding="utf-8")
    assert set(LAUNCHERS) == {"slurm", "torchrun", "kubernetes"}


def test_a_lock_is_held_until_its_process_is_killed(tmp_path: Path) -> None:
    lock = tmp_path / "fold-0.lock"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        with claimed(lock) as mine:
            assert not mine
        assert holder(lock).endswith(f", process {process.pid}")
        process.kill()
        process.wait(60)
        with claimed(lock) as mine:
            assert mine
        with waited(lock):
            assert holder(lock).endswith(f", process {os.getpid()}")


def test_a_folder_without_locks_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with pytest.raises(ConfigError, match="its file system has no locks"), claimed(tmp_path / "fold-0.lock"):
        pass
