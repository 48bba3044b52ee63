"""One link's thread: what is urgent goes first, nothing is left behind, and only the PLC's promise is a fault."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from support.verdicts import verdict

from edge_inspector.codes import ErrorCode, Reason, StationState
from edge_inspector.errors import StateError
from edge_inspector.records import ArchiveItem, Command, JudgeItem, PlcInput, StationStatus, Trigger, Verdict
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.stages import report as stage
from edge_inspector.stages.report import Report

READY = StationStatus(StationState.READY, ErrorCode.NONE, 4)
HEARD = PlcInput(
    7, 1, enable=True, reset=False, line_running=True, recipe_id=0, ack_session=1, ack_seq=0, trigger_seq=0, triggers=()
)


class Link:
    """Takes `room` verdicts at a time; hears a PLC where it is one."""

    def __init__(self, heard: PlcInput | None, room: int = 1000) -> None:
        self.connected, self.backlog = True, 0
        self.events: dict[str, int] = {}
        self.troubles: dict[ErrorCode, str] = {}
        self.happened: list[tuple[ErrorCode, str]] = []
        self.taken: list[int] = []
        self._heard = heard
        self._room = room

    def hears(self, heard: PlcInput | None) -> None:
        self._heard = heard

    def open(self) -> None: ...

    def close(self) -> None: ...

    def says(self, heard: PlcInput) -> None:
        self._heard = heard

    def probe(self) -> str:
        return ""

    def look(self) -> PlcInput | None:
        return self._heard

    def commands(self) -> Sequence[Command]:
        return ()

    def incidents(self) -> Sequence[tuple[ErrorCode, str]]:
        told, self.happened = self.happened, []
        return told

    def exchange(self, status: StationStatus) -> PlcInput | None:  # noqa: ARG002 -- the seam
        return self._heard

    def deliver(self, verdicts: Sequence[Verdict]) -> int:
        taken = verdicts[: self._room]
        self.taken += [each.seq for each in taken]
        return len(taken)


class Rig:
    def __init__(
        self,
        link: Link,
        full: ErrorCode = ErrorCode.PLC_RING_FULL,
        judge: Mailbox[JudgeItem] | None = None,
        rest_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.status = READY
        self.conditions = Conditions()
        self.conditions.phase(StationState.READY)
        self.verdicts: Mailbox[Verdict] = Mailbox("plc", 4096)
        archive: Mailbox[ArchiveItem] = Mailbox("archive", 8192)
        self.report = Report(
            "plc",
            link,
            lost=ErrorCode.PLC_LOST,
            full=full,
            verdicts=self.verdicts,
            heard=Mailbox("judge", 4096) if judge is None else judge,
            status=lambda: self.status,
            submit=lambda _: None,
            conditions=self.conditions,
            interval_s=0.001,
            archive=archive,
            rest_s=rest_s,
        )
        self.report.start()
        self.report.step()

    def exchange(self) -> None:
        """Until the link has been asked once more."""
        time.sleep(0.002)
        self.report.step()

    def reasons(self) -> dict[ErrorCode, str]:
        return {each.code: each.why for each in self.conditions.reasons()}

    def codes(self) -> list[ErrorCode]:
        return [code for code, _ in self.conditions.snapshot()]


def exchanged(rig: Rig) -> None:
    """A step that is not before its time."""
    time.sleep(0.002)
    rig.report.step()


def due(seq: int, left_s: float, handicap: Reason = Reason.NONE) -> Verdict:
    plain = verdict(seq)
    return replace(plain, due_ns=time.monotonic_ns() + int(left_s * 1e9), part=replace(plain.part, handicap=handicap))


def test_parts_missed_in_an_outage_do_not_hold_up_a_fresh_one() -> None:
    link = Link(HEARD)
    rig = Rig(link)
    for seq in range(1, 301):
        rig.verdicts.put(due(seq, -5, Reason.TRIGGER_LOST))
    rig.report.step()
    rig.verdicts.put(due(301, 60))
    rig.report.step()
    assert link.taken.index(301) < 20
    for _ in range(60):
        rig.report.step()
    assert sorted(link.taken) == list(range(1, 302))
    assert ErrorCode.VERDICT_LATE not in rig.codes()


def test_a_backlog_that_is_too_late_in_any_case_does_not_make_the_others_late() -> None:
    link = Link(HEARD, room=4)
    rig = Rig(link)
    for seq in range(1, 41):
        rig.verdicts.put(due(seq, -0.5))
    for seq in range(41, 45):
        rig.verdicts.put(due(seq, 60))
    exchanged(rig)
    assert link.taken == [41, 42, 43, 44]
    assert rig.codes() == [ErrorCode.VERDICT_LATE], "those that wait are told"
    for _ in range(10):
        rig.report.step()
    assert link.taken[4:] == list(range(1, 41)), "each has its verdict in the end"


def test_an_incident_stays_until_reset_and_what_is_wrong_meanwhile_is_told_beside_it() -> None:
    link = Link(HEARD)
    rig = Rig(link)
    link.happened = [(ErrorCode.OTHER_WRITER, "part 15 ACCEPT")]
    link.troubles = {ErrorCode.OTHER_WRITER: "a stranger writes"}
    exchanged(rig)
    assert rig.reasons() == {ErrorCode.OTHER_WRITER: "part 15 ACCEPT; a stranger writes"}
    link.troubles = {}
    exchanged(rig)
    assert rig.reasons() == {ErrorCode.OTHER_WRITER: "part 15 ACCEPT"}
    rig.conditions.reset()
    exchanged(rig)
    assert rig.reasons() == {}


def test_of_many_incidents_the_latest_are_named_and_the_others_counted_until_reset() -> None:
    link = Link(HEARD)
    rig = Rig(link)
    for part in range(1, 6):
        link.happened.append((ErrorCode.OTHER_WRITER, f"part {part}"))
        exchanged(rig)
    assert rig.reasons() == {ErrorCode.OTHER_WRITER: "part 3; part 4; part 5; and 2 times before"}
    rig.conditions.reset()
    link.happened.append((ErrorCode.OTHER_WRITER, "part 6"))
    exchanged(rig)
    assert rig.reasons() == {ErrorCode.OTHER_WRITER: "part 6"}


def test_a_trouble_that_outlasts_a_reset_is_told_again() -> None:
    link = Link(HEARD)
    rig = Rig(link)
    link.happened = [(ErrorCode.OTHER_WRITER, "part 15 ACCEPT")]
    link.troubles = {ErrorCode.OTHER_WRITER: "a stranger writes"}
    exchanged(rig)
    rig.conditions.reset()
    exchanged(rig)
    assert rig.reasons() == {ErrorCode.OTHER_WRITER: "a stranger writes"}
    link.troubles = {}
    exchanged(rig)
    assert rig.reasons() == {}


def test_a_reading_that_is_not_believed_is_no_lost_plc_but_silence_is() -> None:
    link = Link(HEARD)
    rig = Rig(link)
    exchanged(rig)
    link.hears(None)
    link.connected = False
    exchanged(rig)
    assert rig.codes() == []
    time.sleep(0.11)
    exchanged(rig)
    assert rig.reasons() == {ErrorCode.PLC_LOST: "not connected"}


def test_a_plc_that_belongs_to_another_daemon_is_not_lost() -> None:
    link = Link(None)
    link.connected = False
    rig = Rig(link)
    exchanged(rig)
    assert rig.codes() == [ErrorCode.PLC_LOST]
    link.troubles = {ErrorCode.OTHER_WRITER: "another daemon writes DB101"}
    exchanged(rig)
    assert rig.codes() == [ErrorCode.OTHER_WRITER]


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


# What the PLC counts at its gate.


def missed(rig: Rig) -> list[str]:
    return [
        held.why for held in rig.conditions.reasons() if (held.code, held.subject) == (ErrorCode.VERDICT_LATE, "gate")
    ]


def test_parts_that_met_the_gate_without_a_verdict_are_a_fault_by_the_plc_s_word() -> None:
    link = Link(replace(HEARD, missing_verdicts=7))
    rig = Rig(link)
    assert missed(rig) == [], "what was missed before is not this connection's"
    link.says(replace(HEARD, missing_verdicts=9))
    rig.exchange()
    assert missed(rig) == ["the PLC counted parts at the gate without a verdict: 2 since the last reading"]
    assert rig.conditions.state is StationState.FAULT


def test_the_fault_of_the_gate_is_over_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "_MISSED_TOLD_NS", 3600 * 10**9)
    link = Link(HEARD)
    rig = Rig(link)
    link.says(replace(HEARD, missing_verdicts=1))
    rig.exchange()
    rig.exchange()
    assert len(missed(rig)) == 1
    monkeypatch.setattr(stage, "_MISSED_TOLD_NS", 0)
    rig.exchange()
    assert missed(rig) == []


def test_what_was_missed_while_the_link_was_away_is_not_told_as_late() -> None:
    link = Link(HEARD)
    rig = Rig(link)
    rig.report.stop(failed=True)
    link.says(replace(HEARD, missing_verdicts=3))
    rig.report.start()
    rig.exchange()
    assert missed(rig) == []
    link.says(replace(HEARD, missing_verdicts=4))
    rig.exchange()
    assert len(missed(rig)) == 1, "it is connected again"


def test_a_link_that_knows_why_it_is_not_connected_is_quoted_and_not_overruled() -> None:
    link = Link(None)
    link.connected = False
    rig = Rig(link, full=ErrorCode.OUTBOX_FULL)
    exchanged(rig)
    assert [held.why for held in rig.conditions.reasons()] == ["not connected"]
    link.troubles[ErrorCode.PLC_LOST] = "refused: keeps no retained messages"
    for _ in range(3):
        exchanged(rig)
        assert [held.why for held in rig.conditions.reasons()] == ["refused: keeps no retained messages"]
    link.connected = True
    link.troubles.clear()
    exchanged(rig)
    assert rig.conditions.reasons() == []


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


def test_a_reading_wakes_the_judge_only_if_the_peer_says_something_new() -> None:
    woken: dict[int, bool] = {}  # by heartbeat: a slow machine may exchange twice in a step

    class Noted(Mailbox[JudgeItem]):
        def put(self, item: JudgeItem, *, wake: bool = True) -> JudgeItem | None:
            assert isinstance(item, PlcInput)
            woken.setdefault(item.heartbeat, wake)
            return super().put(item, wake=wake)

    link = Link(HEARD)
    rig = Rig(link, judge=Noted("judge", 4096))
    for heard in (
        replace(HEARD, heartbeat=2, asked_ns=5),
        replace(HEARD, heartbeat=3, trigger_seq=1),
        replace(HEARD, heartbeat=4, trigger_seq=1, ack_seq=1),
        replace(HEARD, heartbeat=5, trigger_seq=1, enable=False),
        replace(HEARD, heartbeat=6, trigger_seq=1, enable=False, run=1),
        replace(HEARD, heartbeat=7, trigger_seq=1, enable=False, run=1, triggers=(Trigger(1, 100, answered=False),)),
    ):
        link.says(heard)
        exchanged(rig)
    assert woken == {1: True, 2: False, 3: True, 4: False, 5: True, 6: True, 7: True}, "each is in the mailbox"


def test_exchanges_are_rarer_while_the_belt_stands_but_not_with_a_part_on_it_and_verdicts_go_at_once() -> None:
    heard: list[StationStatus] = []

    class Counting(Link):
        def exchange(self, status: StationStatus) -> PlcInput | None:
            heard.append(status)
            return super().exchange(status)

    rest_s = [0.0]
    rig = Rig(link := Counting(HEARD), rest_s=lambda: rest_s[0])
    rig.status = replace(READY, busy=True)
    rest_s[0] = 3600.0
    before = len(heard)
    exchanged(rig)
    exchanged(rig)
    assert len(heard) >= before + 2, "a part is on the belt"
    rig.status = READY
    exchanged(rig)
    before = len(heard)
    rig.verdicts.put(due(1, 60))
    exchanged(rig)
    assert link.taken == [1]
    assert len(heard) == before, "the next one is in an hour"


def test_many_verdicts_do_not_hold_up_the_next_reading_and_a_queue_is_told() -> None:
    """Each takes 2 ms, and an exchange is due 20 ms after the last one."""

    class Slow(Link):
        most = 0

        def deliver(self, verdicts: Sequence[Verdict]) -> int:
            self.most = max(self.most, len(verdicts))
            time.sleep(0.002 * len(verdicts))
            return super().deliver(verdicts)

    link, told = Slow(HEARD), list[int]()
    rig = Rig(link)
    rig.report._interval_ns = 20_000_000
    rig.report.queued = told.append
    rig.verdicts.put(due(1, 60))
    rig.report.step()
    link.most = 0
    for seq in range(2, 202):
        rig.verdicts.put(due(seq, 60))
    while len(link.taken) < 201:
        rig.report.step()
    assert link.taken == list(range(1, 202))
    assert link.most <= 40, "of 200"
    assert max(told) > 50_000_000, "200 of them take 400 ms"
    rig.report.step()
    assert told[-1] == 0


def test_nobody_waits_for_a_peer_that_takes_nothing() -> None:
    link, told = Link(HEARD), list[int]()
    rig = Rig(link)
    rig.report.queued = told.append
    rig.verdicts.put(due(1, 60))
    rig.report.step()
    link._room = 0
    for seq in range(2, 100):
        rig.verdicts.put(due(seq, 60))
    exchanged(rig)
    exchanged(rig)
    assert told[-1] == 0
