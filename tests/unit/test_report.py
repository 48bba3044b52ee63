"""One link's thread: what is urgent goes first, nothing is left behind, and only the PLC's promise is a fault."""

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from verdicts import verdict

from edge_inspector.errors import StateError
from edge_inspector.records import (
    ArchiveItem,
    Command,
    ErrorCode,
    JudgeItem,
    PlcInput,
    Reason,
    StationState,
    StationStatus,
    Verdict,
)
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.stages.report import Report

READY = StationStatus(StationState.READY, ErrorCode.NONE, 4)
HEARD = PlcInput(7, 1, True, False, True, 0, 1, 0, 0, ())  # noqa: FBT003


class Link:
    """Takes `room` verdicts at a time; hears a PLC where it is one."""

    def __init__(self, heard: PlcInput | None, room: int = 1000) -> None:
        self.connected, self.backlog = True, 0
        self.events: dict[str, int] = {}
        self.troubles: dict[ErrorCode, str] = {}
        self.taken: list[int] = []
        self._heard = heard
        self._room = room

    def open(self) -> None: ...

    def close(self) -> None: ...

    def probe(self) -> str:
        return ""

    def commands(self) -> Sequence[Command]:
        return ()

    def exchange(self, status: StationStatus) -> PlcInput | None:  # noqa: ARG002 -- the seam
        return self._heard

    def deliver(self, verdicts: Sequence[Verdict]) -> int:
        taken = verdicts[: self._room]
        self.taken += [each.seq for each in taken]
        return len(taken)


class Rig:
    def __init__(self, link: Link, full: ErrorCode = ErrorCode.PLC_RING_FULL) -> None:
        self.conditions = Conditions()
        self.conditions.phase(StationState.READY)
        self.verdicts: Mailbox[Verdict] = Mailbox("plc", 4096)
        judge: Mailbox[JudgeItem] = Mailbox("judge", 4096)
        archive: Mailbox[ArchiveItem] = Mailbox("archive", 8192)
        self.report = Report(
            "plc",
            link,
            ErrorCode.PLC_LOST,
            full,
            self.verdicts,
            judge,
            lambda: READY,
            lambda _: None,
            self.conditions,
            0.001,
            archive,
        )
        self.report.start()
        self.report.step()

    def codes(self) -> list[ErrorCode]:
        return [code for code, _ in self.conditions.snapshot()]


def due(seq: int, left_s: float, handicap: Reason = Reason.NONE) -> Verdict:
    plain = verdict(seq)
    return replace(plain, due_ns=time.monotonic_ns() + int(left_s * 1e9), part=replace(plain.part, handicap=handicap))


def test_parts_missed_in_an_outage_do_not_hold_up_a_fresh_one() -> None:
    link = Link(HEARD)
    rig = Rig(link)
    for seq in range(1, 301):
        rig.verdicts.put(due(seq, -5, Reason.TRIGGER_LOST))
    rig.report.step()
    rig.verdicts.put(due(301, 0.5))
    rig.report.step()
    assert link.taken.index(301) < 20
    for _ in range(60):
        rig.report.step()
    assert sorted(link.taken) == list(range(1, 302))
    assert rig.codes() == []


def test_at_the_end_everything_is_delivered_however_much_there_is() -> None:
    link = Link(HEARD, room=31)
    rig = Rig(link)
    for seq in range(1, 501):
        rig.verdicts.put(due(seq, 1.0))
    rig.report.stop(failed=False)
    assert link.taken == list(range(1, 501))


def test_a_verdict_that_the_plc_gets_too_late_is_a_fault() -> None:
    rig = Rig(Link(HEARD))
    rig.verdicts.put(due(1, -0.01))
    rig.report.step()
    assert rig.codes() == [ErrorCode.VERDICT_LATE]


def test_a_full_outbox_is_no_fault_of_a_station_whose_plc_has_its_verdicts() -> None:
    rig = Rig(Link(None, room=0), full=ErrorCode.OUTBOX_FULL)
    rig.verdicts.put(due(1, -0.01))
    rig.report.step()
    assert rig.codes() == [ErrorCode.OUTBOX_FULL]
    assert rig.conditions.state is StationState.DEGRADED


class Unusable(Link):
    """Its own files refuse it while it says so."""

    refuses = True

    def open(self) -> None:
        if self.refuses:
            raise StateError("outbox /state/outbox.sqlite has schema 2, this version knows 1: update it")


def test_a_link_whose_own_files_refuse_it_does_not_say_that_its_peer_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_inspector.stages.report._USABLE_NS", 50_000_000)
    link = Unusable(None)
    rig = Rig(link, ErrorCode.OUTBOX_FULL)
    assert [(each.code, each.why) for each in rig.conditions.reasons()] == [
        (ErrorCode.STATE_LOST, "outbox /state/outbox.sqlite has schema 2, this version knows 1: update it")
    ]
    link.refuses = False
    until = time.monotonic() + 5
    while rig.conditions.snapshot() and time.monotonic() < until:
        rig.report.step()
    assert rig.conditions.snapshot() == []
