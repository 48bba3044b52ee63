"""Job files that start the same `model train` on several machines, for the schedulers that plants have.

Every process of a job runs the same command. The processes share the run's folder, and each takes the next fold that
nobody else has taken. So a job needs no rank and no address, and a process that is stopped may start again at any time.
"""

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_inspector import __version__
from edge_inspector.store.whole_file import draft_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A command with absolute paths, how many processes of it make sense, and the folder that all machines see."""

    command: Sequence[str]
    processes: int
    threads: int
    run: Path
    shared: Path


def write_job(kind: str, job: Launch) -> tuple[Path, str]:
    """Write the job file into the run's folder. Returns it, and the command that submits it."""
    name, text, submit = LAUNCHERS[kind]
    path = job.run / name
    job.run.mkdir(parents=True, exist_ok=True)
    with draft_of(path) as draft:
        draft.write_text(text(job), encoding="utf-8")
        draft.chmod(0o755 if name.endswith(".sh") else 0o644)
    return path, submit.format(path=shlex.quote(str(path)))


def job_of(arguments: Sequence[str], paths: Sequence[Path], *, run: Path, folds: int, threads: int) -> Launch:
    """The job of a command line. `paths` are those of its arguments that are files or folders."""
    absolute = {str(path): str(path.absolute()) for path in [run, *paths]}
    whole = [str(path.absolute()) for path in [run, *paths]]
    return Launch(
        command=["edge-inspector", *(_with_absolute(argument, absolute) for argument in arguments)],
        processes=folds,
        threads=threads,
        run=run.absolute(),
        shared=Path(os.path.commonpath(whole)),
    )


def _with_absolute(argument: str, absolute: dict[str, str]) -> str:
    """The argument, as `DIR`, `--out=DIR` or a word, with its path made absolute."""
    option, equals, value = argument.partition("=")
    if equals and option.startswith("--"):
        return f"{option}={absolute.get(value, value)}"
    return absolute.get(argument, argument)


def _slurm(job: Launch) -> str:
    return f"""\
#!/bin/sh
#SBATCH --job-name=edge-inspector-train
#SBATCH --array=1-{job.processes}
#SBATCH --cpus-per-task={job.threads}
#SBATCH --requeue
#SBATCH --output={job.run}/slurm-%a.log
exec {shlex.join(job.command)}
"""


def _torchrun(job: Launch) -> str:
    return f"""\
#!/bin/sh
# Start it on each machine, with the name of the first machine and the number of machines: sh launch.sh HOST 2
# torchrun only starts the processes. A machine that joins late or drops out costs no more than its own fold.
exec torchrun --nnodes="1:${{2:-1}}" --nproc-per-node={job.processes} --max-restarts=3 --rdzv-backend=c10d \\
    --rdzv-id=edge-inspector-train --rdzv-endpoint="${{1:-localhost}}:29400" --no-python {shlex.join(job.command)}
"""


def _kubernetes(job: Launch) -> str:
    words = "\n".join(f"            - {_quoted(word)}" for word in job.command)
    return f"""\
# The volume claim `training` must be one that several nodes can write (ReadWriteMany), with file locks.
# It is mounted where the data and the run lie on this machine. For the image: docs/models.md.
apiVersion: batch/v1
kind: Job
metadata:
  name: edge-inspector-train
spec:
  completionMode: Indexed
  completions: {job.processes}
  parallelism: {job.processes}
  backoffLimit: {3 * job.processes}
  template:
    spec:
      restartPolicy: Never
      automountServiceAccountToken: false
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        fsGroup: 10001
      containers:
        - name: train
          image: edge-inspector-training:{__version__}
          command:
{words}
          resources:
            requests:
              cpu: "{job.threads}"
              memory: 4Gi
          volumeMounts:
            - name: training
              mountPath: {_quoted(str(job.shared))}
      volumes:
        - name: training
          persistentVolumeClaim:
            claimName: training
"""


def _quoted(word: str) -> str:
    """A YAML string that is never read as a number, a truth value or a comment."""
    return "'" + word.replace("'", "''") + "'"


LAUNCHERS: Final[dict[str, tuple[str, Callable[[Launch], str], str]]] = {
    "slurm": ("launch.slurm", _slurm, "sbatch {path}"),
    "torchrun": ("launch.sh", _torchrun, "sh {path}"),
    "kubernetes": ("launch.yaml", _kubernetes, "kubectl apply -f {path}"),
}
