"""What the judge sees while a shift is recorded, and how it sees the same again when the shift is replayed.

While a shift is recorded, the judge has a timeline of its own. At the start of each step it takes the encoder samples
that have come, and looks once at what other threads tell it (`Around`). Until the step ends, nothing of that changes.
So a step depends on its content (`JudgeStep`) and on the steps before it, and on nothing else.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edge_inspector.codes import CommandName, ErrorCode, StationState
from edge_inspector.inspection.timeline import Motion, Timeline
from edge_inspector.records import (
    ArchiveItem,
    Command,
    EncoderSample,
    Frame,
    Image,
    JudgeItem,
    ModelInfo,
    PlcInput,
    Verdict,
    View,
)
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.runtime.worker import Stage
from edge_inspector.store.album import Album

_STEPS_MAX = 16_384  # half a minute of a busy judge
_PICTURES_MAX_BYTES = 64 * 2**20  # cameras wait for the memory of their pictures
_TOLD = frozenset({ErrorCode.CAMERA_LOST, ErrorCode.ENCODER_LOST, ErrorCode.LINE_MISMATCH, ErrorCode.CHALLENGE_DUE})


@dataclass(frozen=True, slots=True)
class Trouble:
    """A condition that another thread has set. It holds, or it was cleared at `cleared_ns`."""

    code: ErrorCode
    subject: str
    cleared_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What other threads tell the judge, as it was when the step began.

    `waiting`: frames wait for the model. `seen` are the lowest and the highest value of the encoder's counter, if they
    differ from the station file.
    """

    model: ModelInfo
    waiting: bool = False
    seen: tuple[int, int] | None = None
    troubles: tuple[Trouble, ...] = ()

    @property
    def held(self) -> dict[tuple[ErrorCode, str], int | None]:
        """The troubles by code and subject: when they were cleared, or None."""
        return {(each.code, each.subject): each.cleared_ns for each in self.troubles}


@dataclass(frozen=True, slots=True)
class AskedCommand:
    """A command to the station, without the way back to whoever gave it."""

    source: str
    id: str
    name: CommandName
    recipe_id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptItem:
    """One item of the judge's mailbox. One of the three is set."""

    view: View | None = None
    plc: PlcInput | None = None
    command: AskedCommand | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeStep:
    """One step of the judge: what it took, the times that it read from the clock, and its verdicts as told.

    `kind` is start, step, stop, or failed. `around` is None if it is as in the step before.
    """

    kind: str = "step"
    samples: tuple[EncoderSample, ...] = ()
    items: tuple[KeptItem, ...] = ()
    readings: tuple[int, ...] = ()
    around: Around | None = None
    verdicts: tuple[Verdict, ...] = ()


def item_of(item: JudgeItem) -> KeptItem:
    """The item as it is kept."""
    if isinstance(item, View):
        return KeptItem(view=item)
    if isinstance(item, PlcInput):
        return KeptItem(plc=item)
    return KeptItem(command=AskedCommand(item.source, item.id, item.name, item.recipe_id))


class FollowedTimeline(Timeline):
    """A timeline whose samples another one gets, too."""

    follow: Callable[[EncoderSample], None] | None = None

    def add(self, raw: EncoderSample) -> bool:
        """As that of Timeline."""
        if self.follow is not None:
            self.follow(raw)
        return super().add(raw)


class JudgesTimeline(Timeline):
    """The judge's own timeline while a shift is recorded. `voided` is called when the judge declares it void."""

    def __init__(self, voided: Callable[[], None], motion: Motion, **timing: Any) -> None:
        super().__init__(motion, **timing)
        self._voided = voided

    def void(self) -> None:
        """As that of Timeline. The links must know it too: they ask the line's timeline when to fire."""
        super().void()
        self._voided()


class StillConditions(Conditions):
    """The conditions as the judge knows them within one step: its own, and those of others when the step began.

    `told` gets what the judge sets and clears. `of_others()` are the conditions of other threads. `now()` is the
    latest time that the judge read from the clock.
    """

    def __init__(
        self,
        told: Conditions | None,
        of_others: Callable[[], Mapping[tuple[ErrorCode, str], int | None]],
        now: Callable[[], int],
    ) -> None:
        super().__init__()
        self._told = told
        self._of_others = of_others
        self._now = now
        self._own: dict[tuple[ErrorCode, str], int | None] = {}
        self._own_resets = 0

    @property
    def resets(self) -> int:
        """As those of the station."""
        return self._told.resets if self._told is not None else self._own_resets

    @resets.setter
    def resets(self, value: int) -> None:
        self._own_resets = value

    @property
    def state(self) -> StationState:
        """The state of the station."""
        return self._told.state if self._told is not None else StationState.READY

    @property
    def error_code(self) -> ErrorCode:
        """The code of the station's most serious condition."""
        return self._told.error_code if self._told is not None else ErrorCode.NONE

    def set(self, code: ErrorCode, subject: str, why: str = "", *, until_reset: bool = False) -> None:
        """The judge sets a condition."""
        self._own[code, subject] = None
        if self._told is not None:
            self._told.set(code, subject, why, until_reset=until_reset)

    def clear(self, code: ErrorCode, subject: str) -> None:
        """The judge clears a condition of its own."""
        if self._own.setdefault((code, subject), -1) is None:
            self._own[code, subject] = self._now()
        if self._told is not None:
            self._told.clear(code, subject)

    def reset(self) -> None:
        """A person has given RESET."""
        if self._told is not None:
            self._told.reset()
        else:
            self._own_resets += 1

    def held(self, code: ErrorCode, subject: str, within_s: float = 0.0) -> bool:
        """Whether the condition holds, or held until at most `within_s` ago."""
        key = (code, subject)
        known = self._own if key in self._own else self._of_others()
        if key not in known:
            return False
        cleared_ns = known[key]
        return cleared_ns is None or (cleared_ns >= 0 and self._now() - cleared_ns < within_s * 1e9)

    def holds(self, code: ErrorCode) -> bool:
        """Whether the condition holds for any subject, in the whole station."""
        return self._told is not None and self._told.holds(code)


class Tape:
    """Takes down every step of the judge, and every picture.

    `timeline` is the judge's own. `waiting`, `seen` and `model` are asked when a step begins. The judge's thread never
    waits here. If whoever writes is too slow, the record ends (`why`), or lacks pictures (`left_out`).
    """

    def __init__(
        self,
        timeline: Timeline,
        *,
        inbox: Mailbox[JudgeItem],
        archive: Mailbox[ArchiveItem],
        conditions: Conditions,
        waiting: Callable[[], bool],
        seen: Callable[[], tuple[int, int] | None],
        model: Callable[[], ModelInfo],
    ) -> None:
        self.timeline = timeline
        self.inbox: Mailbox[JudgeItem] = _TapedInbox(inbox, self._taken)
        self.archive: Mailbox[ArchiveItem] = _TapedArchive(archive, self._pronounced)
        self.conditions = StillConditions(conditions, lambda: self._held, lambda: self._now_ns)
        self.why = ""
        self.left_out = 0
        self.steps: deque[JudgeStep] = deque()
        self.pictures: deque[Frame] = deque()
        self._of_others = conditions
        self._ask_waiting, self._ask_seen, self._ask_model = waiting, seen, model
        self._samples: deque[EncoderSample] = deque()
        self._around = Around(model=model())
        self._held: Mapping[tuple[ErrorCode, str], int | None] = {}
        self._told_around: Around | None = None
        self._changes = -1
        self._now_ns = 0
        self._parts: tuple[list[EncoderSample], list[JudgeItem], list[int], list[Verdict]] = ([], [], [], [])

    def follow(self, sample: EncoderSample) -> None:
        """The encoder's thread has read a sample."""
        self._samples.append(sample)

    def picture(self, frame: Frame) -> None:
        """A camera gave a picture. Any thread may call it."""
        if self.why:
            return
        if frame.image.nbytes * (len(self.pictures) + 1) > _PICTURES_MAX_BYTES:
            self.left_out += 1
        else:
            self.pictures.append(frame)

    def clock(self) -> int:
        """The judge reads the clock."""
        self._now_ns = now = time.monotonic_ns()
        self._parts[2].append(now)
        return now

    def waiting(self) -> int:
        """Whether frames waited for the model when the step began."""
        return int(self._around.waiting)

    def seen(self) -> tuple[int, int] | None:
        """The extremes of the encoder's counter when the step began."""
        return self._around.seen

    def model(self) -> ModelInfo:
        """The model when the step began."""
        return self._around.model

    def end(self, kind: str) -> None:
        """The step is over: hand it to whoever writes."""
        samples, items, readings, verdicts = self._parts
        self._parts = ([], [], [], [])
        if self.why:
            return
        if len(self.steps) >= _STEPS_MAX:
            self.why = "the disk is too slow for it"
            return
        around = self._around if self._around != self._told_around else None
        self._told_around = self._around
        self.steps.append(
            JudgeStep(
                kind=kind,
                samples=tuple(samples),
                items=tuple(item_of(each) for each in items),
                readings=tuple(readings),
                around=around,
                verdicts=tuple(verdicts),
            )
        )

    def _taken(self, items: list[JudgeItem]) -> None:
        samples, taken, _, _ = self._parts
        taken += items
        while self._samples:
            samples.append(self._samples.popleft())
            self.timeline.add(samples[-1])
        self._look_around()

    def _look_around(self) -> None:
        troubles, changes = self._around.troubles, self._of_others.version
        if changes != self._changes:
            self._changes = changes
            found = self._of_others.traces(_TOLD)
            troubles = tuple(Trouble(code, subject, cleared_ns) for (code, subject), cleared_ns in found.items())
        around = Around(model=self._ask_model(), waiting=self._ask_waiting(), seen=self._ask_seen(), troubles=troubles)
        if around != self._around:
            self._around, self._held = around, around.held

    def _pronounced(self, verdict: Verdict) -> None:
        self._parts[3].append(verdict)


class TapedJudge:
    """The judge's stage, with its steps taken down."""

    def __init__(self, judge: Stage, tape: Tape) -> None:
        self.name = judge.name
        self.beat_within_s = judge.beat_within_s
        self._judge = judge
        self._tape = tape

    def start(self) -> None:
        """As that of the judge."""
        self._judge.start()
        self._tape.end("start")

    def step(self) -> None:
        """As that of the judge."""
        self._judge.step()
        self._tape.end("step")

    def stop(self, *, failed: bool) -> None:
        """As that of the judge. A step that failed is part of the record."""
        if failed:
            self._tape.end("failed")
        self._judge.stop(failed=failed)
        if not failed:
            self._tape.end("stop")


class TapedAlbum(Album):
    """An album that shows each picture to the tape."""

    tape: Tape | None = None

    def put(self, frame: Frame, mask: Image | None, by_model: Mapping[str, Image] | None = None) -> None:
        """As that of Album."""
        super().put(frame, mask, by_model)
        if self.tape is not None:
            self.tape.picture(frame)


class _TapedInbox(Mailbox[JudgeItem]):
    """The judge's mailbox. `taken` gets what the judge takes."""

    def __init__(self, inner: Mailbox[JudgeItem], taken: Callable[[list[JudgeItem]], None]) -> None:
        super().__init__(inner.name, inner.capacity)
        self._inner = inner
        self._taken = taken

    def __len__(self) -> int:
        return len(self._inner)

    def put(self, item: JudgeItem, *, wake: bool = True) -> JudgeItem | None:
        return self._inner.put(item, wake=wake)

    def take(self, limit: int, timeout_s: float) -> list[JudgeItem]:
        items = self._inner.take(limit, timeout_s)
        self._taken(items)
        return items

    def nudge(self) -> None:
        self._inner.nudge()


class _TapedArchive(Mailbox[ArchiveItem]):
    """The archive's mailbox. `pronounced` gets the verdicts."""

    def __init__(self, inner: Mailbox[ArchiveItem], pronounced: Callable[[Verdict], None]) -> None:
        super().__init__(inner.name, inner.capacity)
        self._inner = inner
        self._pronounced = pronounced

    def put(self, item: ArchiveItem, *, wake: bool = True) -> ArchiveItem | None:
        if isinstance(item, Verdict):
            self._pronounced(item)
        return self._inner.put(item, wake=wake)


def command_of(asked: AskedCommand) -> Command:
    """The command again. Nobody waits for its answer."""
    return Command(asked.source, asked.id, asked.name, lambda _: None, recipe_id=asked.recipe_id)
