"""The logbook: what went wrong survives, however short it was, until a person has acknowledged it."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from support.verdicts import verdict

from edge_inspector.codes import Decision, ErrorCode, StationState
from edge_inspector.errors import DeviceError
from edge_inspector.records import Change, StationStatus
from edge_inspector.runtime.clock import utc_of
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.stages.logbook import Errand, Logbook
from edge_inspector.store.logbook import CarriedCounts, Counts, LogbookReader, LogbookWriter, Mark, logbook_path
from edge_inspector.store.results_file import results_path
from edge_inspector.store.results_writer import ResultsWriter, StoredVerdict
from edge_inspector.store.trends import Sums, Trends
from edge_inspector.watches.shifts import shift_start
from edge_inspector.watches.tally import Tally

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
NOON_NS = int(datetime(2026, 11, 30, 12).astimezone().timestamp()) * 10**9  # by the station's own time zone
READY = StationStatus(StationState.READY, ErrorCode.NONE, 1)


class Bench:
    """A logbook's stage whose steps the test takes."""

    made: ClassVar[list[Logbook]] = []

    def __init__(self, folder: Path, boot_id: int = 1) -> None:
        self.folder = folder
        self.kept: list[Change] = []
        self.status = READY
        self.conditions = Conditions()
        self.conditions.phase(StationState.READY)
        self.inbox: Mailbox[Errand] = Mailbox("logbook", 4)
        self.stage = Logbook(
            folder,
            boot_id=boot_id,
            shifts=["06:00"],
            inbox=self.inbox,
            status=lambda: self.status,
            conditions=self.conditions,
            keep=self.kept.append,
        )
        self.made.append(self.stage)
        self.answers: list[object] = []
        self.read = LogbookReader(logbook_path(folder))

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            self.stage.step()

    def decide(self, parts: int, not_inspected: int = 0) -> None:
        status = self.status
        self.status = replace(status, parts=status.parts + parts, not_inspected=status.not_inspected + not_inspected)

    def write(self, do: Callable[[LogbookWriter], object]) -> object:
        assert self.inbox.put(Errand(do, self.answers.append)) is None
        self.step()
        return self.answers[-1]


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Every stage that a test has made is stopped."""
    yield
    while Bench.made:
        Bench.made.pop().stop(failed=True)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_fault_shorter_than_a_step_is_there_with_the_parts_that_it_concerned(bench: Bench) -> None:
    bench.step()
    bench.conditions.set(ErrorCode.VERDICT_LATE, "plc", "part 7 was late")
    bench.decide(3, not_inspected=1)
    bench.conditions.clear(ErrorCode.VERDICT_LATE, "plc")
    bench.step()
    (event,) = bench.read.events(limit=9)
    assert (event.code, event.subject, event.why, event.fault) == (404, "plc", "part 7 was late", True)
    assert (event.parts, event.not_inspected) == (3, 1)
    assert event.ended is not None
    assert event.begun <= event.ended
    assert [each.id for each in bench.stage.now.waiting] == [event.id]


def test_what_is_normal_during_the_start_is_no_event(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.conditions.phase(StationState.STARTING)
    bench.conditions.set(ErrorCode.CAMERA_LOST, "cam1", "not open yet")
    bench.conditions.clear(ErrorCode.CAMERA_LOST, "cam1")
    bench.step()
    assert bench.read.events(limit=9) == []


def test_a_camera_that_stays_away_after_the_start_is_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.conditions = Conditions(patience_s=0)
    bench.stage = Logbook(
        tmp_path, boot_id=1, shifts=["06:00"], inbox=bench.inbox, status=lambda: READY, conditions=bench.conditions
    )
    bench.made.append(bench.stage)
    for _ in range(3):
        bench.conditions.set(ErrorCode.CAMERA_LOST, "cam1", "no answer")
    bench.step()
    assert [(each.code, each.ended) for each in bench.read.events(limit=9)] == [(101, None)]


def test_a_link_on_which_the_gate_depends_is_a_fault_when_it_is_lost(bench: Bench) -> None:
    bench.conditions.is_vital(ErrorCode.BROKER_LOST, "gate")
    for subject in ("broker", "gate"):
        bench.conditions.set(ErrorCode.BROKER_LOST, subject)
    bench.step()
    assert {each.subject: each.fault for each in bench.read.events(limit=9)} == {"broker": False, "gate": True}


def test_a_person_acknowledges_one_event_or_all(bench: Bench) -> None:
    for subject in ("cam1", "cam2", "cam3"):
        bench.conditions.set(ErrorCode.CAMERA_LOST, subject)
    bench.step()
    newest = bench.stage.now.waiting[0]
    assert bench.write(lambda file: file.acknowledge(newest.id, "anna", NOW)) == 1
    assert bench.stage.now.waiting_count == 2
    assert bench.write(lambda file: file.acknowledge(newest.id, "ben", NOW)) == 0, "it keeps its first name"
    assert bench.write(lambda file: file.acknowledge(None, "ben", NOW)) == 2
    assert {each.acknowledged_by for each in bench.read.events(limit=9)} == {"anna", "ben"}
    assert bench.read.events(limit=9, waiting=True) == []


def test_after_a_restart_events_are_still_there_and_those_that_were_open_have_ended(tmp_path: Path) -> None:
    first = Bench(tmp_path)
    first.conditions.set(ErrorCode.PLC_LOST, "plc", "no answer")
    first.step()
    # as after kill -9: nobody has closed the file
    second = Bench(tmp_path, boot_id=2)
    second.step()
    (event,) = second.read.events(limit=9)
    assert event.ended is not None
    assert [each.id for each in second.stage.now.waiting] == [event.id]


def test_events_are_found_by_kind_and_time(bench: Bench) -> None:
    bench.conditions.set(ErrorCode.PLC_LOST, "plc")
    bench.conditions.set(ErrorCode.DRIFT, "cam1 brightness")
    bench.step()
    assert [each.code for each in bench.read.events(limit=9)] == [801, 403]
    assert [each.code for each in bench.read.events(limit=9, code=403)] == [403]
    assert bench.read.events(limit=9, since=utc_of(time.monotonic_ns()) + timedelta(hours=1)) == []
    newest = bench.read.events(limit=1)[0]
    assert [each.code for each in bench.read.events(limit=9, before_id=newest.id)] == [403]


def test_a_disk_that_refuses_loses_no_event_and_answers_errands(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.step()
    real = LogbookWriter.begin

    def refuse(*_: object, **__: object) -> int:
        raise DeviceError("the disk is full")

    monkeypatch.setattr(LogbookWriter, "begin", refuse)
    bench.conditions.set(ErrorCode.PLC_LOST, "plc")
    bench.inbox.put(Errand(lambda file: file.mark(Mark("reset", "", "anna", NOW)), bench.answers.append))
    bench.step()
    assert isinstance(bench.answers[-1], DeviceError)
    assert bench.conditions.held(ErrorCode.ARCHIVE_INCOMPLETE, "logbook")
    monkeypatch.setattr(LogbookWriter, "begin", real)
    until = time.monotonic() + 20
    while not bench.read.events(limit=9, code=403) and time.monotonic() < until:
        bench.step()
    assert [each.subject for each in bench.read.events(limit=9, code=403)] == ["plc"]
    assert not bench.conditions.held(ErrorCode.ARCHIVE_INCOMPLETE, "logbook")


def test_a_damaged_logbook_is_set_aside(tmp_path: Path) -> None:
    logbook_path(tmp_path).write_bytes(b"garbage" * 1000)
    bench = Bench(tmp_path)
    bench.conditions.set(ErrorCode.PLC_LOST, "plc")
    bench.step()
    assert len(bench.read.events(limit=9)) == 1
    assert (tmp_path / "logbook.sqlite.damaged").exists()


def test_very_many_rows_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_inspector.store.logbook._KEPT", 3)
    file = LogbookWriter(logbook_path(tmp_path), 1)
    for number in range(9):
        file.mark(Mark("batch", str(number), "anna", NOW))
    file.tidy(NOW)
    file.close()
    assert [mark.name for mark in LogbookReader(logbook_path(tmp_path)).marks(99)] == ["8", "7", "6"]


def test_the_counts_begin_with_shift_batch_and_reset(bench: Bench) -> None:
    writer = ResultsWriter(results_path(bench.folder))
    kinds = (Decision.ACCEPT, Decision.REJECT, Decision.NOT_INSPECTED, Decision.ACCEPT)
    now = utc_of(time.monotonic_ns())
    begun = shift_start(now, ["06:00"])
    for seq, kind in enumerate(kinds, 1):
        utc = begun + (now - begun) * seq / 5
        writer.add([StoredVerdict(verdict(seq, kind), utc, "", {})], [])
    writer.add([StoredVerdict(verdict(9), begun - timedelta(hours=1), "", {})], [])
    bench.step()
    told = bench.stage.now
    assert told.shift is not None
    assert told.shift.sums == Sums(2, 1, 1)
    assert (told.batch, told.reset) == (None, None)
    bench.write(lambda file: file.mark(Mark("batch", "4711", "anna", begun + (now - begun) * 0.7)))
    batch = bench.stage.now.batch
    assert batch is not None
    assert (batch.name, batch.user, batch.sums) == ("4711", "anna", Sums(1, 0, 0))
    writer.add([StoredVerdict(verdict(10, Decision.REJECT), now, "", {})], [])
    bench.write(lambda file: file.mark(Mark("reset", "", "ben", now)))
    assert bench.stage.now.batch is not None
    assert bench.stage.now.batch.sums == Sums(1, 1, 0)
    assert bench.stage.now.reset is not None
    assert bench.stage.now.reset.sums == Sums(0, 1, 0)
    writer.close()


def test_counts_that_nobody_knows_are_not_said_to_be_zero(bench: Bench) -> None:
    bench.step()
    assert bench.stage.now.shift is not None
    assert bench.stage.now.shift.sums is None


def test_open_events_are_brought_up_to_date(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_inspector.stages.logbook._ALIVE_NS", 1)
    bench.conditions.set(ErrorCode.LINE_BLIND, "line", "5 of the last 10 parts")
    bench.step()
    bench.decide(7, not_inspected=6)
    bench.conditions.set(ErrorCode.LINE_BLIND, "line", "9 of the last 20 parts")
    bench.step(2)
    (event,) = bench.read.events(limit=9)
    assert (event.parts, event.not_inspected, event.why, event.ended) == (7, 6, "9 of the last 20 parts", None)


def test_what_ended_last_is_stored_at_the_stop(bench: Bench) -> None:
    bench.conditions.set(ErrorCode.PLC_LOST, "plc")
    bench.step()
    bench.conditions.clear(ErrorCode.PLC_LOST, "plc")
    bench.inbox.put(Errand(lambda file: file.mark(Mark("reset", "", "anna", NOW)), bench.answers.append))
    bench.stage.stop(failed=False)
    assert bench.read.events(limit=9)[0].ended is not None
    assert bench.answers == [None]


def test_a_file_of_a_newer_version_is_said_and_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(logbook_path(tmp_path))) as db:
        db.execute("PRAGMA user_version = 99")
        db.execute("CREATE TABLE newer (a)")
        db.commit()
    with pytest.raises(DeviceError, match="has schema 99"):
        LogbookWriter(logbook_path(tmp_path), 1)


def test_counts_are_differences(tmp_path: Path) -> None:
    file = LogbookWriter(logbook_path(tmp_path), 1)
    event = file.begin(code=403, subject="plc", why="", fault=True, utc=NOW, recipe_id=2)
    file.follow(event, "still", Counts(5, 1, 2), begun=NOW, ended=NOW + timedelta(seconds=1))
    file.close()
    (found,) = LogbookReader(logbook_path(tmp_path)).events(limit=1)
    assert (found.recipe_id, found.parts, found.rejected, found.not_inspected) == (2, 5, 1, 2)


class SetClock:
    """The wall clock, which a test may set. The monotonic clock runs as always."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = timedelta()
        both = SimpleNamespace(time_ns=self._time_ns, monotonic_ns=time.monotonic_ns)
        monkeypatch.setattr("edge_inspector.runtime.clock.time", both)

    def _time_ns(self) -> int:
        return NOON_NS + time.monotonic_ns() - self._begun_ns + int(self.ahead.total_seconds() * 1e9)

    _begun_ns = time.monotonic_ns()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    return SetClock(monkeypatch)


HOUR = timedelta(hours=1)
STEPS = [HOUR, -HOUR]


@pytest.mark.parametrize("step", STEPS)
def test_an_event_during_which_the_clock_is_set_has_its_true_length(
    clock: SetClock, tmp_path: Path, step: timedelta
) -> None:
    bench = Bench(tmp_path)
    bench.conditions.set(ErrorCode.PLC_LOST, "plc", "no answer")
    bench.step()
    (before,) = bench.read.events(limit=9)
    clock.ahead = step
    bench.step()
    (open_one,) = bench.read.events(limit=9)
    assert open_one.begun - before.begun == pytest.approx(step, abs=timedelta(seconds=1))
    assert open_one.begun <= utc_of(time.monotonic_ns()), "no age is negative"
    assert bench.stage.now.waiting[0].begun == open_one.begun
    bench.conditions.clear(ErrorCode.PLC_LOST, "plc")
    bench.step()
    (ended,) = bench.read.events(limit=9)
    assert ended.ended is not None
    assert timedelta() <= ended.ended - ended.begun < timedelta(minutes=10)


@pytest.mark.parametrize("step", STEPS)
def test_events_keep_their_order_when_the_clock_is_set(clock: SetClock, tmp_path: Path, step: timedelta) -> None:
    bench = Bench(tmp_path)
    for subject in ("cam1", "cam2", "cam3"):
        bench.conditions.set(ErrorCode.CAMERA_LOST, subject)
        bench.conditions.clear(ErrorCode.CAMERA_LOST, subject)
        bench.step()
        clock.ahead += step
    assert [each.subject for each in bench.read.events(limit=9)] == ["cam3", "cam2", "cam1"]
    assert all(each.ended and each.begun <= each.ended for each in bench.read.events(limit=9))
    assert [each.subject for each in bench.stage.now.waiting] == ["cam3", "cam2", "cam1"]


@pytest.mark.parametrize("step", STEPS)
def test_counters_go_on_when_the_clock_is_set(clock: SetClock, tmp_path: Path, step: timedelta) -> None:
    bench = Bench(tmp_path)
    writer = ResultsWriter(results_path(tmp_path))
    numbers = iter(range(1, 99))

    def decide(kind: Decision = Decision.ACCEPT) -> None:
        seq = next(numbers)
        writer.add([StoredVerdict(verdict(seq, kind), utc_of(time.monotonic_ns()), "", {})], [])

    decide(Decision.REJECT)
    bench.write(lambda file: file.mark(Mark("batch", "4711", "anna", utc_of(time.monotonic_ns()))))
    bench.write(lambda file: file.mark(Mark("reset", "", "ben", utc_of(time.monotonic_ns()))))
    decide()
    bench.write(lambda _: None)  # whoever asks gets counts of now
    clock.ahead = step
    decide()
    decide(Decision.NOT_INSPECTED)
    bench.write(lambda _: None)
    told = bench.stage.now
    assert told.batch is not None
    assert told.reset is not None
    assert told.shift is not None
    assert (told.batch.sums, told.reset.sums) == (Sums(2, 0, 1), Sums(2, 0, 1))
    assert told.shift.sums == Sums(2, 1, 1)
    now = utc_of(time.monotonic_ns())
    assert timedelta() <= now - told.batch.since < timedelta(minutes=10)
    assert told.shift.since <= now
    # a restart and a second step change nothing
    bench.stage.stop(failed=False)
    again = Bench(tmp_path, boot_id=2)
    again.step()
    clock.ahead = timedelta()
    decide()
    again.write(lambda _: None)
    assert again.stage.now.batch is not None
    assert (again.stage.now.batch.name, again.stage.now.batch.sums) == ("4711", Sums(3, 0, 1))
    assert timedelta() <= utc_of(time.monotonic_ns()) - again.stage.now.batch.since < timedelta(minutes=10)
    writer.close()


def test_results_that_begin_anew_are_counted_on(tmp_path: Path) -> None:
    now = utc_of(time.monotonic_ns())
    tally = Tally(now, CarriedCounts(7, Sums(5, 1, 1)))
    writer = ResultsWriter(results_path(tmp_path))
    writer.add([StoredVerdict(verdict(1), now - HOUR, "", {})], [])
    assert tally.look(Trends(results_path(tmp_path))) == Sums(6, 1, 1)
    writer.close()


@pytest.mark.parametrize("step", STEPS)
def test_people_read_that_the_clock_was_set(clock: SetClock, tmp_path: Path, step: timedelta) -> None:
    bench = Bench(tmp_path)
    bench.step()
    assert bench.kept == []
    clock.ahead = step
    bench.step(3)
    (change,) = bench.kept
    assert (change.who, change.what) == ("station", "clock")
    assert datetime.fromisoformat(change.after) - datetime.fromisoformat(change.before) == step


def test_a_clock_that_is_kept_right_little_by_little_is_nothing_to_tell(clock: SetClock, tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for _ in range(20):
        clock.ahead += timedelta(microseconds=500)
        bench.step()
    assert bench.kept == []


@pytest.mark.parametrize(
    ("now", "begun"),
    [("05:59", "22:00"), ("06:00", "06:00"), ("13:59", "06:00"), ("23:30", "22:00"), ("00:10", "22:00")],
)
def test_a_shift_begins_at_its_time_of_day(now: str, begun: str) -> None:
    local = datetime.fromisoformat(f"2026-11-30T{now}").astimezone()
    start = shift_start(local.astimezone(UTC), ["06:00", "14:00", "22:00"]).astimezone()
    assert f"{start:%H:%M}" == begun
    assert timedelta() <= local - start < timedelta(hours=8)
