"""A training run: a folder with every finished step, so that the same command continues after a stop.

- `run.json`: what was asked.
- `shown.png`: samples of the training data.
- `*.masks-*.npz`: the masks that were found, of a run that learns from labels only.
- `fold-N.npz`: the results on fold N of a net that was trained without it.
- `opinions-N.npz`, `people-N.npz`, `suspects.csv`: what that net says about the labels (`labels.py`).
- `figures.json`: limits and scores from all folds together. Also the results of limits on folds that they were not
  chosen on.
- `model.fp32.onnx`: the net trained on everything.
- `report.html`: a report on all of it.
"""

import ctypes
import hashlib
import json
import multiprocessing
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from edge_inspector.driver_table import DEFAULT_RUNTIME
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.store.whole_file import draft_of
from edge_inspector.training.data.augment import Source
from edge_inspector.training.data.tasks import FolderTask, Task
from edge_inspector.training.good.learn import GoodPlan, learn_good
from edge_inspector.training.good.limits import LEVELS, elsewhere_good, promised_limits, without_drawn
from edge_inspector.training.good.source import GoodSource
from edge_inspector.training.good.task import GoodTask
from edge_inspector.training.judging.evidence import CONFIDENCES, Evidence, TruePart, gather
from edge_inspector.training.judging.figures import Figures, counted, figures
from edge_inspector.training.judging.limits import Cost, Limit, cheapest, choose_limits, elsewhere
from edge_inspector.training.judging.report import SHOWN_FILE, write_run_report, write_shown
from edge_inspector.training.judging.runtimes import model_predictor
from edge_inspector.training.judging.suspects import SUSPECTS, Suspect, said_of
from edge_inspector.training.learning.ensemble import OneClass
from edge_inspector.training.learning.export import export_onnx
from edge_inspector.training.learning.train import Plan, fit
from edge_inspector.training.learning.unet import STRIDE, Deployed
from edge_inspector.training.shipping.claims import claimed, holder, waited
from edge_inspector.training.shipping.labels import FoldWatch, find_suspects, judge_labels
from edge_inspector.training.shipping.manifest import FILES, Card, Draft, score_row
from edge_inspector.training.shipping.rounds import source_from_labels

RUN_FILE: Final = "run.json"
FIGURES_FILE: Final = "figures.json"
_PR_SET_PDEATHSIG: Final = 1
_LOOK_S: Final = 2.0


def silent(_: float) -> None:
    """Tell nobody how far the work is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was asked of a run. `settings` are all that change the net. A run never mixes two settings.

    `good` is the plan of a model from good parts, for a `GoodTask`. Of `plan` only the seed then counts. `told` then
    gets the share that is done.
    """

    plan: Plan
    window: tuple[int, int]
    per_class: bool
    tta: bool
    false_rejects: float
    cost: Cost | None
    settings: dict[str, Any]
    held_out: int
    by_labels: bool = False
    jobs: int = 1
    threads: int = 1
    good: GoodPlan | None = None
    told: Callable[[float], None] = silent

    def folds(self, task: Task) -> range:
        """The folds to train and judge on: all, or only the first ones to save time."""
        return range(min(task.folds, self.held_out or task.folds))


def use_threads(order: Order) -> None:
    """Compute with as many threads as asked. Another number sums up in another order, and gives other bytes."""
    torch.set_num_threads(order.threads)


def train_run(task: Task, order: Order, run: Path) -> Figures:
    """Cross-validate, choose limits on held-out parts, train on everything, report. Returns the held-out figures.

    Processes and machines that are given the same run share its work: each fold is trained by one of them.
    """
    use_threads(order)
    run.mkdir(parents=True, exist_ok=True)
    with waited(run / "begin.lock"):
        begin(run, order.settings)
        if not order.by_labels:  # the masks of these patches have to be found first
            _show(task, order, run)
    _learn(task, order, run)
    with waited(run / "figures.lock"):
        return _judge(task, order, run)


def _judge(task: Task, order: Order, run: Path) -> Figures:
    folds = [Evidence.load(_kept(run, fold)) for fold in order.folds(task)]
    if isinstance(task, GoodTask):
        return _judge_good(task, folds, order, run)
    seen = Evidence.joined(folds)
    seen.save(run / "held-out.npz")
    stride = STRIDE * task.shrink
    limits = choose_limits(folds, order.false_rejects, stride)
    if order.cost is not None:
        limits, price = cheapest(seen, limits, order.cost)
        print(f"cost per part {price:.4f} at the cheapest limits")
    achieved = figures(seen, task.classes, limits, order.plan.seed)
    table = {"limits": [asdict(limit) for limit in limits], "held_out": asdict(achieved), "elsewhere": {}}
    if order.cost is None and len(folds) > 1:
        caught, refused = elsewhere(folds, lambda others: choose_limits(others, order.false_rejects, stride))
        bad, good = int(seen.defective.sum()), int((~seen.defective).sum())
        print(
            f"with limits chosen on the other folds: {counted(round(caught * bad), bad)} of the defective caught, "
            f"{counted(round(refused * good), good)} of the good rejected"
        )
        table["elsewhere"] = {"part_recall": caught, "false_reject_rate": refused}
    _write_json(run / FIGURES_FILE, table)
    about = judge_labels(
        run, order.folds(task), held_out(task, order), seen=seen, limits=limits, classes=task.classes, stride=stride
    )
    for line in (*said_of(about.suspects, run / SUSPECTS), *(about.people.lines() if about.people else ())):
        print(line)
    write_run_report(run, task.classes, limits, held_out(task, order), about_labels=about.sections)
    return achieved


def _judge_good(task: GoodTask, folds: Sequence[Evidence], order: Order, run: Path) -> Figures:
    """Limits come from good parts. Figures come from real defects, or from drawn ones if there are none."""
    stride = STRIDE * task.shrink
    promised = promised_limits(folds, order.false_rejects, stride)
    print(promised.said(), flush=True)
    seen = without_drawn(Evidence.joined(folds))
    seen.save(run / "held-out.npz")
    achieved = figures(seen, task.classes, promised.limits, order.plan.seed)
    promise = {name: getattr(promised, name) for name in ("parts", "false_rejects", "confidence")}
    table: dict[str, Any] = {
        "limits": [asdict(limit) for limit in promised.limits],
        "held_out": asdict(achieved),
        "elsewhere": {},
        "promise": promise,
    }
    if len(folds) > 1:
        caught, refused = elsewhere_good([without_drawn(fold) for fold in folds], order.false_rejects, stride)
        table["elsewhere"] = {"part_recall": caught, "false_reject_rate": refused}
    _write_json(run / FIGURES_FILE, table)
    write_run_report(run, task.classes, promised.limits, held_out(task, order))
    return achieved


def held_out(task: Task, order: Order) -> Iterable[TruePart]:
    """The parts of the folds that the run judges, one at a time."""
    return chain.from_iterable(task.judged(fold) for fold in order.folds(task))


def listen(task: Task, order: Order, run: Path) -> tuple[tuple[Suspect, ...], str]:
    """Train the folds alone, and return the suspects with their section of a report. `train_run` continues the run."""
    use_threads(order)
    run.mkdir(parents=True, exist_ok=True)
    with waited(run / "begin.lock"):
        begin(run, order.settings)
        if not order.by_labels:
            _show(task, order, run)
    _learn(task, order, run, ship=False)
    with waited(run / "figures.lock"):
        stride = STRIDE * task.shrink
        return find_suspects(run, order.folds(task), held_out(task, order), classes=task.classes, stride=stride)


def _learn(task: Task, order: Order, run: Path, *, ship: bool = True) -> None:
    """Train the folds and the net to ship, with as many processes as asked. The result is the same as with one."""
    if order.jobs == 1:
        _work(task, order, run, ship=ship)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(order.jobs, context, _begin_worker, (order.threads,)) as pool:
        for worker in [pool.submit(_work, task, order, run, ship=ship) for _ in range(order.jobs)]:
            worker.result()


def _work(task: Task, order: Order, run: Path, *, ship: bool = True) -> None:
    """Take one step after the other that nobody else has taken, until all are done."""
    told: set[Path] = set()
    while left := [step for step in _steps(task, order, run, ship=ship) if not step.done.exists()]:
        if not any(_take(step) for step in left if step.needs.exists()):
            for lock in {step.lock for step in left} - told:
                told.add(lock)
                print(f"waiting for {lock.stem} ({holder(lock) or 'not begun'})", flush=True)
            time.sleep(_LOOK_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One piece of a run's work. `needs` and `done` are the files before and after it."""

    needs: Path
    done: Path
    work: Callable[[], object]

    @property
    def lock(self) -> Path:
        return self.done.with_suffix(".lock")


def _steps(task: Task, order: Order, run: Path, *, ship: bool) -> list[_Step]:
    folds = [
        _Step(needs=run / RUN_FILE, done=_kept(run, fold), work=partial(_judge_fold, task, order, run, fold))
        for fold in order.folds(task)
    ]
    if not ship:
        return folds
    # The net to ship continues from the first fold.
    shipped = _Step(needs=_kept(run, 0), done=run / FILES["fp32"], work=partial(_net_to_ship, task, order, run))
    return [folds[0], shipped, *folds[1:]]


def _take(step: _Step) -> bool:
    """Do a step, unless another process is at it."""
    with claimed(step.lock) as mine:
        if mine and not step.done.exists():
            step.work()
        return mine


def _begin_worker(threads: int) -> None:
    """Prepare a worker process. It ends with its parent, because a restarted command writes the same files."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    torch.set_num_threads(threads)


def _net_to_ship(task: Task, order: Order, run: Path) -> None:
    # With one fold, its net has seen all training data already.
    deployed = _deployed(task, order, run, 0 if task.folds == 1 else None)
    export_onnx(deployed, run / FILES["fp32"], _shape(task, order))


def learned_from(task: Task) -> str:
    """SHA-256 of all training data. A changed label makes another net, so it needs another run."""
    if isinstance(task, GoodTask):
        return task.digest()
    if not isinstance(task, FolderTask):
        return ""
    rows = task.folder.rows(task.learns_from)
    found = hashlib.sha256(json.dumps(rows, sort_keys=True).encode())
    for name in dict.fromkeys(row[column] for row in rows for column in ("image", "mask", "mask2") if row.get(column)):
        found.update(hashlib.sha256((task.folder.root / name).read_bytes()).digest())
    return found.hexdigest()


def read_limits(run: Path) -> list[Limit]:
    """The limits that a finished run chose. Raises ConfigError."""
    return [Limit(**limit) for limit in read_json(run / FIGURES_FILE)["limits"]]


def held_out_row(run: Path, task: Task) -> dict[str, object]:
    """The scores of a run's nets on the folds that they were trained without. Raises ConfigError."""
    table = read_json(run / FIGURES_FILE)
    learned = task.learns_from if isinstance(task, FolderTask | GoodTask) else "train"
    conditions = {
        "data": task.name,
        "split": f"{learned}, held out by fold",
        "precision": "fp32",
        "runtime": DEFAULT_RUNTIME,
    }
    row = score_row(Figures(**table["held_out"]), **conditions)
    # The results of limits on parts that they were not chosen on. Trust these figures.
    return {**row, "elsewhere": {name: round(share, 4) for name, share in table.get("elsewhere", {}).items()}}


def read_json(path: Path) -> dict[str, Any]:
    """A file of a run. Raises ConfigError if the run has not come that far."""
    try:
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        what = f"cannot be read ({error}): finish `edge-inspector model train` first"
        raise ConfigError([Fault(str(path), what)]) from error
    return table


def begin(run: Path, settings: Mapping[str, Any]) -> None:
    """Write down what was asked. Raises ConfigError if the folder has a run with other settings."""
    path = run / RUN_FILE
    asked = json.loads(json.dumps(settings))
    if path.exists():
        before = read_json(path)
        changed = sorted(key for key in asked.keys() | before.keys() if asked.get(key) != before.get(key))
        if changed:
            what = f"holds a run with other settings ({', '.join(changed)}): give another --out, or remove it"
            raise ConfigError([Fault(str(run), what)])
        return
    _write_json(path, asked)


def _show(task: Task, order: Order, run: Path) -> None:
    """Show the training samples before an hour of training: no figure shows a fault in them."""
    if not (run / SHOWN_FILE).exists():
        write_shown(run, partial(task.source(None).draw, np.random.default_rng(order.plan.seed)))
        print(f"training patches: {run / SHOWN_FILE}", flush=True)


def _kept(run: Path, fold: int) -> Path:
    return run / f"fold-{fold}.npz"


def _judge_fold(task: Task, order: Order, run: Path, fold: int) -> None:
    print(f"fold {fold + 1} of {task.folds}", flush=True)
    deployed = _deployed(task, order, run, fold)
    with tempfile.TemporaryDirectory() as scratch:
        folder, shape = Path(scratch), _shape(task, order)
        export_onnx(deployed, folder / FILES["fp32"], shape)
        Draft(Card("fold", str(fold), "none", ""), task.classes, shape, STRIDE * task.shrink, fill=task.fill).write(
            folder
        )
        predict, _ = model_predictor(folder, "fp32")
        classes, stride = len(task.classes), STRIDE * task.shrink
        told = isinstance(task, FolderTask) and not order.by_labels
        watch = FoldWatch(classes, stride) if told else None
        seen = gather(
            predict,
            classes=classes,
            stride=stride,
            parts=task.judged(fold),
            confidences=LEVELS if isinstance(task, GoodTask) else CONFIDENCES,
            watch=watch,
        )
    if watch is not None:
        watch.save(run, fold)
    seen.save(_kept(run, fold))


def _deployed(task: Task, order: Order, run: Path, fold: int | None) -> Deployed:
    name = "net" if fold is None else f"fold-{fold}"
    source = _source(task, order, run, fold)
    sources: Sequence[tuple[str, Source]] = [(name, source)]
    if order.per_class:
        sources = [(f"{name}-{index}", OneClass(source, index)) for index in range(len(source.classes))]
    return Deployed([_net(each, order, run, own) for own, each in sources], task.shrink, tta=order.tta)


def _source(task: Task, order: Order, run: Path, fold: int | None) -> Source:
    if order.by_labels and isinstance(task, FolderTask):
        return source_from_labels(task, order.plan, run, window=order.window, fold=fold)
    return task.source(fold)


def _net(source: Source, order: Order, run: Path, name: str) -> nn.Module:
    if isinstance(source, GoodSource):
        begun = time.monotonic()
        done, nets = len([*run.glob("*.losses.json")]), 1 + (order.held_out or int(order.settings["folds"]))
        plan = order.good or GoodPlan(seed=order.plan.seed)
        good, losses = learn_good(source, plan, lambda share: order.told(min(1.0, (done + share) / nets)))
        print(f"{name}: learned from {len(source.good)} good pictures in {time.monotonic() - begun:.0f} s", flush=True)
        _write_json(run / f"{name}.losses.json", {"loss": losses})
        return good
    net, losses = fit(source, _plan(order.plan, run, name), run / f"{name}.checkpoint")
    _write_json(run / f"{name}.losses.json", {"loss": losses})
    return net


def _plan(plan: Plan, run: Path, name: str) -> Plan:
    """The plan for the net to ship. It continues the net of the first fold, for which only that fold is new."""
    if not name.startswith("net"):
        return plan
    first = run / f"fold-0{name.removeprefix('net')}.checkpoint"
    return replace(
        plan, start=first, keep_head=True, encoder_weights=None, steps=max(1, plan.steps // 3), rate=plan.rate / 3
    )


def _shape(task: Task, order: Order) -> tuple[int, int, int]:
    return (*order.window, task.channels)


def _write_json(path: Path, table: dict[str, Any]) -> None:
    with draft_of(path) as draft:
        draft.write_text(json.dumps(table, indent=1), encoding="utf-8")
