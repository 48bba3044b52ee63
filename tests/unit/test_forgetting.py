"""A clock that is wrong costs no history, whoever set it; and what is deleted is told."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.archive_bench import Bench
from support.verdicts import BOOT, verdict

from edge_inspector import metrics
from edge_inspector.codes import Decision, ErrorCode
from edge_inspector.records import Choice
from edge_inspector.runtime.clock import Moment
from edge_inspector.store.choice import remembered_choice
from edge_inspector.store.results_file import results_path
from edge_inspector.store.results_writer import ResultsWriter, StoredVerdict

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
NEVER_SET = datetime(1970, 1, 1, 0, 10, tzinfo=UTC)
DAY = timedelta(days=1)
TEN_YEARS = 3650 * DAY


class Clock:
    """Both clocks of a box, for a test to set."""

    def __init__(self, utc: datetime = NOW) -> None:
        self.utc = utc
        self.monotonic_ns = 5_000_000_000

    def __call__(self) -> Moment:
        return Moment(self.utc, self.monotonic_ns)

    def runs(self, passed: timedelta = timedelta(seconds=1)) -> None:
        self.utc += passed
        self.monotonic_ns += passed // timedelta(microseconds=1) * 1000


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_inspector.stages.archive._COMMIT_S", 0.001)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A part each day of the last 40 days, with a label on the tenth, and a picture on each of these days."""
    writer = ResultsWriter(results_path(tmp_path))
    writer.add([StoredVerdict(verdict(seq), NOW - (41 - seq) * DAY, "", {}) for seq in range(1, 41)], [])
    writer.close()
    for age in range(1, 41):
        keep_picture(tmp_path, NOW - age * DAY)
    return tmp_path


def keep_picture(state: Path, utc: datetime) -> None:
    folder = state / "images" / f"{utc:%Y-%m-%d}" / "cam1"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "120000.000000Z-part1-frame1.png").write_bytes(b"x")


def days(state: Path) -> list[str]:
    return sorted(path.name for path in (state / "images").iterdir())


class Line:
    """An archive on that state, stepped with a clock of its own."""

    def __init__(self, state: Path, clock: Clock, keep_days: int = 50) -> None:
        self.clock = clock
        self.bench = Bench(state, clock=clock, keep_days=keep_days)

    def runs(self, seconds: int = 5, step: timedelta = timedelta(seconds=1)) -> None:
        for _ in range(seconds):
            self.clock.runs(step)
            self.bench.archive.step()

    def parts(self) -> list[int]:
        return sorted(row.seq for row in self.bench.results.parts(limit=1000))

    def doubt(self) -> str:
        return self.bench.why(ErrorCode.CLOCK_STEPPED).get("clock", "")

    def ends(self) -> None:
        self.bench.archive.stop(failed=False)


@pytest.fixture
def line(state: Path) -> Iterator[Line]:
    opened = Line(state, Clock())
    yield opened
    opened.ends()


def test_ten_years_ahead_for_a_while_cost_nothing_and_are_told(line: Line, state: Path) -> None:
    line.runs()
    line.bench.results.label(10, "", label="defect", defect_class="crack", user="anna", utc=NOW)
    line.clock.utc += TEN_YEARS
    line.runs(14)
    assert "the clock was set 3650 days ahead. Nothing is deleted by age until the clock is right" in line.doubt()
    line.clock.utc -= TEN_YEARS
    line.runs(60)
    assert line.doubt() == ""
    assert line.parts() == list(range(1, 41))
    assert len(days(state)) == 40
    story = line.bench.results.part(10)
    assert story is not None
    assert [label.user for label in story.labels] == ["anna"]


def test_a_start_ten_years_ahead_costs_nothing_however_often_it_starts(state: Path) -> None:
    clock = Clock(NOW + TEN_YEARS)
    for run in range(5):
        line = Line(state, clock)
        line.bench.inbox.put(verdict(1, boot_id=run + 1))
        line.runs(20)
        assert "by the clock no part was stored for" in line.doubt()
        line.ends()
    line = Line(state, Clock(NOW))
    line.runs(20)
    assert line.doubt() == ""
    assert len(line.parts()) == 45
    assert len(days(state)) == 40
    line.ends()


def test_parts_of_a_box_that_thought_it_was_1970_are_not_old_when_it_learns_the_date(
    state: Path,
) -> None:
    clock = Clock(NEVER_SET)
    line = Line(state, clock)
    keep_picture(state, NEVER_SET)
    for seq in range(1, 31):
        line.bench.inbox.put(verdict(seq, boot_id=1))
    line.runs()
    assert "never set" in line.doubt()
    clock.utc = NOW
    line.runs(60)
    assert line.doubt() == ""
    assert len(line.parts()) == 70
    assert days(state)[0] == "1970-01-01"
    line.ends()


def test_what_is_too_old_goes_a_day_an_hour_and_is_told(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    line = Line(state, Clock(), keep_days=30)
    before = metrics.archive_forgotten.labels("parts", "age")._value.get()
    caplog.set_level("INFO")
    line.runs(30)
    assert line.parts()[0] == 2, "a day at once"
    assert "archive: deleted: 1 parts older than keep_days, 1 views of pictures older than keep_days" in caplog.text
    line.runs(20, timedelta(minutes=15))
    assert line.parts()[0] == 7
    line.ends()
    assert metrics.archive_forgotten.labels("parts", "age")._value.get() - before == 6
    said = [each.message for each in caplog.records if "deleted" in each.message]
    assert 2 <= len(said) <= 7, "a line an hour, and one at the end"
    assert days(state)[0] == "2026-10-18"


def test_a_date_that_goes_on_is_taken_for_true_and_still_history_goes_slowly(line: Line) -> None:
    line.runs()
    line.clock.utc += TEN_YEARS
    line.runs(71, timedelta(hours=1))
    assert line.doubt()
    assert line.parts() == list(range(1, 41))
    line.runs(2, timedelta(hours=1))
    assert line.doubt() == ""
    line.runs(10, timedelta(hours=1))
    assert 28 <= len(line.parts()) < 40
    line.runs(60, timedelta(hours=1))
    assert line.parts() == []


def test_a_full_budget_is_kept_by_what_was_stored_first_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edge_inspector.store.results_writer._FORGET", 10)
    clock = Clock(NEVER_SET)
    line = Line(tmp_path, clock)
    writer = ResultsWriter(results_path(tmp_path))
    writer.add([StoredVerdict(verdict(seq), NOW + TEN_YEARS if seq < 50 else NOW, "", {}) for seq in range(1, 101)], [])
    writer.close()
    caplog.set_level("INFO")
    monkeypatch.setattr("edge_inspector.store.results_writer.ResultsWriter.size", 2**40)
    line.runs(3)
    assert "never set" in line.doubt()
    assert line.parts() == list(range(31, 101))
    line.ends()
    assert "deleted: 30 parts to make room" in caplog.text


def test_files_that_are_taken_away_are_noticed_and_made_anew(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.seen(1)
    bench.inbox.put(verdict(1, Decision.REJECT))
    bench.archive.step()
    assert len(bench.pictures()) == 1
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    gone_s = time.monotonic()
    while not bench.why(ErrorCode.STATE_LOST):
        assert time.monotonic() - gone_s < 30.0
        bench.archive.step()
    said = bench.why(ErrorCode.STATE_LOST)
    assert (
        said["results"]
        == f"{tmp_path}/results.sqlite was removed or replaced while the station ran. A new one was started"
    )
    assert said["pictures"] == f"{tmp_path}/images was removed or replaced while the station ran. A new one was started"
    bench.seen(2)
    bench.inbox.put(verdict(2, Decision.REJECT))
    bench.archive.step()
    assert [row.seq for row in bench.results.parts()] == [2]
    assert bench.pictures() == ["part2-frame2.png"]
    bench.archive.stop(failed=False)
    assert [row.boot_id for row in bench.results.parts()] == [BOOT]


def test_damaged_results_are_told_and_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "results.sqlite").write_bytes(b"garbage" * 1000)
    bench = Bench(tmp_path)
    bench.inbox.put(verdict(1, Decision.REJECT))
    bench.archive.step()
    assert bench.why(ErrorCode.STATE_LOST) == {
        "results": f"{tmp_path}/results.sqlite was damaged. It is kept as .damaged, and a new one was started"
    }
    assert [row.seq for row in bench.results.parts()] == [1]
    bench.archive.stop(failed=False)


def test_a_state_folder_that_is_gone_comes_back_with_the_recipe_that_was_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_inspector.stages.archive._CALM_S", 0.3)
    state = tmp_path / "state"
    state.mkdir()
    bench = Bench(state)
    bench.inbox.put(Choice(4, 5))
    bench.archive.step()
    state.rename(tmp_path / "elsewhere")
    until = time.monotonic() + 5
    while not bench.why(ErrorCode.STATE_LOST) and time.monotonic() < until:
        bench.archive.step()
    bench.inbox.put(verdict(1))
    bench.archive.step()
    assert [row.seq for row in bench.results.parts()] == [1]
    while bench.why(ErrorCode.STATE_LOST) and time.monotonic() < until:
        bench.archive.step()
    assert not bench.why(ErrorCode.STATE_LOST), "it is over when all has been well for a while"
    assert remembered_choice(state, 4) == 5
    bench.archive.stop(failed=False)
