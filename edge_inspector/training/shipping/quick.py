"""A model in the minutes that somebody has: steps are measured, and as many are made as fit."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.training.data.tasks import FolderTask, Task
from edge_inspector.training.good.task import GoodTask
from edge_inspector.training.judging.figures import counted
from edge_inspector.training.learning.train import Plan, Training
from edge_inspector.training.shipping.manifest import Card
from edge_inspector.training.shipping.packing import Shipping, pack
from edge_inspector.training.shipping.runs import RUN_FILE, Order, read_json, train_run

_SHIPPED_SHARE: Final = 4.0 / 3.0  # the net to ship continues the first one for a third of its steps
_STEPS_MIN: Final = 20
_CALIBRATION: Final = 60
_PARTS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Quick:
    """What the model is called, where it goes, and how many minutes to train."""

    card: Card
    models: Path
    minutes: float


def quick_model(task: Task, order: Order, out: Path, asked: Quick) -> Path:
    """Train, write the report, make the model folder and return it. The same call continues. Raises ConfigError."""
    torch.set_num_threads(order.threads)
    if not isinstance(task, GoodTask):
        steps = _steps(task, order, out, asked.minutes)
        order = replace(order, plan=replace(order.plan, steps=steps), settings={**order.settings, "steps": steps})
    found = train_run(task, order, out)
    good = found.parts - found.defective
    drawn = " (drawn ones)" if isinstance(task, GoodTask) and not task.has_defects else ""
    print(
        f"on pictures that it had not seen: {counted(found.defective - found.escapes, found.defective)} of the "
        f"defective{drawn} rejected, {counted(found.false_rejects, good)} of the good rejected too"
    )
    shipping = Shipping(
        card=asked.card,
        models=asked.models,
        split=_judging_split(task),
        force=True,
        machine="",
        calibration=_CALIBRATION,
        most_parts=_PARTS,
    )
    return pack(out, task, shipping)


def _steps(task: Task, order: Order, out: Path, minutes: float) -> int:
    """Those of the run if it has begun, otherwise as many as fit into the minutes here and now."""
    if (out / RUN_FILE).exists():
        steps = int(read_json(out / RUN_FILE)["steps"])
        print(f"continuing the run in {out}: {steps} steps")
        return steps
    each = step_seconds(task, order.plan)
    steps = max(_STEPS_MIN, int(minutes * 60 / each / _SHIPPED_SHARE))
    print(f"a step takes {each:.2f} s here: {steps} steps fit into {minutes:g} minutes", flush=True)
    return steps


def step_seconds(task: Task, plan: Plan, count: int = 3) -> float:
    """How long a step takes on this machine, now. The first one is slower and does not count."""
    training = Training(task.source(0), replace(plan, steps=count + 1))
    training.step()
    begun = time.monotonic()
    for _ in range(count):
        training.step()
    return (time.monotonic() - begun) / count


def _judging_split(task: Task) -> str:
    """`val` if it has good and defective parts, otherwise what was learned from: INT8 is only compared with FP32."""
    if isinstance(task, GoodTask):
        return task.learns_from  # few have more. The figures only compare INT8 with FP32
    if not isinstance(task, FolderTask):
        return "val"
    for split in ("val", task.learns_from):
        if {row["label"] for row in task.folder.rows(split)} == {"0", "1"}:
            return split
    raise ConfigError([Fault(str(task.folder.root), "has no split with both good and defective pictures")])
