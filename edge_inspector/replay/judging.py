"""The real judge, driven by the record of a shift instead of a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from edge_inspector.codes import ErrorCode
from edge_inspector.inspection.basis import Basis
from edge_inspector.inspection.control import Control
from edge_inspector.inspection.recipe import Criteria
from edge_inspector.records import ArchiveItem, JudgeItem, ModelInfo, Verdict
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.shifts.head import ShiftHead
from edge_inspector.shifts.tape import Around, JudgeStep, KeptItem, StillConditions, command_of
from edge_inspector.stages.judge import Judge

_CAPACITY = 1 << 20  # of the mailboxes of a replay, which are emptied after each step


class _FilledMailbox(Mailbox[JudgeItem]):
    """A mailbox whose items are all there, so that nobody needs to wait for more."""

    def take(self, limit: int, timeout_s: float) -> list[JudgeItem]:
        del timeout_s
        return super().take(limit, 0.0)


@dataclass(frozen=True, slots=True)
class Judgements:
    """The verdicts of one step: those that were recorded, and those of now."""

    then: tuple[Verdict, ...]
    now: tuple[Verdict, ...]


class Rejudging:
    """Judges the steps of a shift again. `recipes` and `model` are those of now. Without a model it is the recorded."""

    def __init__(
        self, head: ShiftHead, recipes: Mapping[int, Criteria] | None = None, model: ModelInfo | None = None
    ) -> None:
        criteria = head.recipes if recipes is None else recipes
        self.failed = False
        self._model = model
        self._around = Around(model=head.model)
        self._held: Mapping[tuple[ErrorCode, str], int | None] = {}
        self._timeline = head.timing.timeline()
        self._step = JudgeStep()
        self._read = self._now_ns = 0
        self._inbox = _FilledMailbox("judge", _CAPACITY)
        self._link = Mailbox[Verdict]("replay", _CAPACITY)
        self._archive = Mailbox[ArchiveItem]("archive", _CAPACITY)
        conditions = StillConditions(None, lambda: self._held, lambda: self._now_ns)
        self._judge = Judge(
            boot_id=head.boot_id,
            geometry=head.geometry,
            recipes=criteria,
            control=Control(criteria, head.first_recipe, conditions.reset, challenge=head.challenge),
            basis=Basis(criteria, lambda: self._model or self._around.model, head.scales),
            timeline=self._timeline,
            inbox=self._inbox,
            links=[self._link],
            archive=self._archive,
            conditions=conditions,
            backlog=lambda: int(self._around.waiting),
            arrived=lambda _: None,
            seen=lambda: self._around.seen,
            clock=self._clock,
        )

    def run(self, steps: Iterable[JudgeStep]) -> Iterator[Judgements]:
        """Judge step by step. It ends at a step that failed, because what follows depends on more than the record."""
        for step, now in self._run(steps):
            if now or step.verdicts:
                yield Judgements(step.verdicts, now)

    def rejudged(self, steps: Iterable[JudgeStep]) -> Iterator[JudgeStep]:
        """The same steps, with the verdicts of now."""
        for step, now in self._run(steps):
            yield replace(step, verdicts=now)

    def _run(self, steps: Iterable[JudgeStep]) -> Iterator[tuple[JudgeStep, tuple[Verdict, ...]]]:
        for step in steps:
            if step.kind == "failed":
                self.failed = True
                return
            self._begin(step)
            if step.kind == "start":
                self._judge.start()
            elif step.kind == "stop":
                self._judge.stop(failed=False)
            else:
                self._judge.step()
            self._archive.take(_CAPACITY, 0.0)
            yield step, tuple(self._link.take(_CAPACITY, 0.0))

    def _begin(self, step: JudgeStep) -> None:
        self._step, self._read = step, 0
        if step.around is not None:
            self._around, self._held = step.around, step.around.held
        for sample in step.samples:
            self._timeline.add(sample)
        for item in step.items:
            self._inbox.put(_again(item))

    def _clock(self) -> int:
        """The next time that was read in this step. Other criteria may read it more often: then the last one."""
        readings = self._step.readings
        if readings:
            self._now_ns = readings[min(self._read, len(readings) - 1)]
            self._read += 1
        return self._now_ns


def _again(item: KeptItem) -> JudgeItem:
    if item.view is not None:
        return item.view
    if item.plc is not None:
        return item.plc
    if item.command is not None:
        return command_of(item.command)
    raise ValueError("an item without content")
