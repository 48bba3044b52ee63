import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.verdicts import BOOT, defect, placed, verdict

from edge_inspector.codes import Decision, Reason
from edge_inspector.errors import DeviceError
from edge_inspector.records import Delivery, Disagreement, Verdict
from edge_inspector.store import results
from edge_inspector.store.results import Results
from edge_inspector.store.results_file import MIGRATIONS, open_results
from edge_inspector.store.results_writer import ResultsWriter, StoredObjection, StoredVerdict
from edge_inspector.store.retention import Stamps
from edge_inspector.store.rows import ClassCount, PartRow

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)

WRITE_UNTIL_KILLED = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from support.verdicts import placed, defect, verdict
from edge_inspector.codes import Decision
from edge_inspector.store.results_writer import StoredVerdict, ResultsWriter
writer = ResultsWriter(Path(sys.argv[1]))
seq = 0
while True:
    views = (placed(defects=[defect()]), placed("cam2"))
    batch = [verdict(seq + at, Decision.REJECT, views=views) for at in range(1, 8)]
    writer.add([StoredVerdict(each, datetime(2026, 11, 21, tzinfo=UTC), "", {}) for each in batch], [])
    seq += 7
    print(seq, flush=True)
"""


def entry(kept: Verdict, utc: datetime = NOON) -> StoredVerdict:
    return StoredVerdict(kept, utc, "", {})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "results.sqlite"


@pytest.fixture
def writer(path: Path) -> Iterator[ResultsWriter]:
    opened = ResultsWriter(path)
    yield opened
    opened.close()


def test_a_part_comes_back_whole(writer: ResultsWriter, path: Path) -> None:
    views = (
        placed("cam1", 5, [defect("cam1", "stain", 2.0), defect("cam1", "crack", 9.0)], inference_ns=12),
        placed("cam2", 6, failure=Reason.LATE, doubtful=True),
    )
    kept = verdict(4, Decision.REJECT, views=views, review=True, missing_views=("cam2",))
    deliveries = [Delivery(BOOT, 4, "broker", 2_060_000_000), Delivery(BOOT, 4, "plc", 2_051_000_000)]
    writer.add([entry(kept)], deliveries)

    (row,) = Results(path).parts()
    assert (row.boot_id, row.seq, row.part_seq, row.plc_boot_id) == (BOOT, 4, 4, 7)
    assert (row.decision, row.reason, row.utc) == (Decision.REJECT, Reason.DEFECT, NOON)
    assert (row.rejects, row.review, row.labelled, row.picture) == (True, True, False, None)
    assert row.classes == ("crack", "stain"), "the largest first"
    assert row.latency_ns == 50_000_000

    story = Results(path).part(row.id)
    assert story is not None
    assert story.row == row
    assert (story.announced_ns, story.decided_ns, story.due_ns) == (1_900_000_000, 2_050_000_000, 2_500_000_000)
    assert (story.error_mm, story.missing_views, story.positioned) == (0.2, ("cam2",), True)
    assert [(view.camera, view.frame_id, view.failure) for view in story.views] == [
        ("cam1", 5, Reason.NONE),
        ("cam2", 6, Reason.LATE),
    ]
    assert story.views[0].encoder_count == 1234.5
    assert [found.area_mm2 for found in story.defects] == [9.0, 2.0]
    assert [(each.link, each.delivered_ns) for each in story.deliveries] == [
        ("plc", 2_051_000_000),
        ("broker", 2_060_000_000),
    ]
    assert Results(path).part(row.id + 1) is None


def test_a_part_that_the_plc_knows_is_marked_until_a_person_says_otherwise(writer: ResultsWriter, path: Path) -> None:
    for seq, said in ((1, ""), (2, "good"), (3, "defect")):
        known = verdict(seq)
        writer.add([entry(replace(known, part=replace(known.part, called=said)))], [])
    results = Results(path)
    assert [story.called for seq in (1, 2, 3) if (story := results.part(seq)) is not None] == ["", "good", "defect"]
    assert results.label(3, "", label="good", defect_class="", user="anna", utc=NOON)
    story = results.part(3)
    assert story is not None
    assert story.called == "good"
    assert [label.user for label in story.labels] == ["plc", "anna"]


def test_an_unknown_position_and_no_views_are_kept_too(writer: ResultsWriter, path: Path) -> None:
    writer.add([entry(verdict(1, Decision.NOT_INSPECTED, views=(), error_mm=float("inf")))], [])
    story = Results(path).part(1)
    assert story is not None
    assert (story.error_mm, story.views, story.row.latency_ns) == (None, (), 0)


def test_a_camera_that_numbers_its_frames_beyond_all_bounds_is_kept(writer: ResultsWriter, path: Path) -> None:
    writer.add([entry(verdict(1, views=(placed(frame_id=2**64 - 1),)))], [])
    story = Results(path).part(1)
    assert story is not None
    assert story.views[0].frame_id == 2**63 - 1


def test_the_same_verdict_is_held_once_and_a_stray_delivery_not_at_all(writer: ResultsWriter, path: Path) -> None:
    for _ in range(2):
        writer.add([entry(verdict(1))], [Delivery(BOOT, 1, "plc", 5), Delivery(BOOT, 9, "plc", 5)])
    (row,) = Results(path).parts()
    story = Results(path).part(row.id)
    assert story is not None
    assert len(story.views) == 1
    assert len(story.deliveries) == 1


DECISIONS = st.sampled_from(Decision)
CLASSES = st.sampled_from(["crack", "stain", "chip"])
KEPT = st.tuples(DECISIONS, st.lists(CLASSES, max_size=2), st.integers(1, 5), st.integers(1, 2), st.integers(0, 9))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kept=st.lists(KEPT, max_size=12),
    decision=st.none() | DECISIONS,
    defect_class=st.none() | CLASSES,
    part_seq=st.none() | st.integers(1, 5),
    recipe=st.none() | st.integers(1, 2),
    span=st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9)),
    limit=st.integers(1, 5),
)
def test_filters_give_what_a_plain_loop_gives(
    tmp_path_factory: pytest.TempPathFactory,
    kept: list[tuple[Decision, list[str], int, int, int]],
    decision: Decision | None,
    defect_class: str | None,
    part_seq: int | None,
    recipe: int | None,
    span: tuple[int, int] | None,
    limit: int,
) -> None:
    path = tmp_path_factory.mktemp("filters") / "results.sqlite"
    writer = ResultsWriter(path)
    entries = [
        entry(
            verdict(
                at + 1,
                decided,
                views=(placed(defects=[defect(defect_class=name) for name in names]),),
                part_seq=number,
                recipe_id=recipe_id,
            ),
            NOON + timedelta(seconds=second),
        )
        for at, (decided, names, number, recipe_id, second) in enumerate(kept)
    ]
    writer.add(entries, [])
    writer.close()
    since, until = (None, None) if span is None else (NOON + timedelta(seconds=each) for each in span)

    def fits(each: StoredVerdict) -> bool:
        return (
            (decision is None or each.verdict.decision is decision)
            and (defect_class is None or any(found.defect_class == defect_class for found in each.verdict.defects))
            and (part_seq is None or each.verdict.part.part_seq == part_seq)
            and (recipe is None or each.verdict.recipe_id == recipe)
            and (since is None or each.utc >= since)
            and (until is None or each.utc < until)
        )

    expected = [each.verdict.seq for each in reversed(entries) if fits(each)]
    found: list[PartRow] = []
    while True:  # page by page
        page = Results(path).parts(
            since_utc=since,
            until_utc=until,
            decision=decision,
            defect_class=defect_class,
            part_seq=part_seq,
            recipe=recipe,
            limit=limit,
            before_id=found[-1].id if found else None,
        )
        assert len(page) <= limit
        found += page
        if not page:
            break
    assert [row.seq for row in found] == expected


def test_counts_and_pareto(writer: ResultsWriter, path: Path) -> None:
    cracked = (placed(defects=[defect(), defect(), defect(defect_class="stain")]),)
    writer.add(
        [
            entry(verdict(1), NOON),
            entry(verdict(2, Decision.REJECT, views=cracked), NOON + timedelta(seconds=59)),
            entry(verdict(3, Decision.NOT_INSPECTED), NOON + timedelta(seconds=60)),
            entry(verdict(4, Decision.REJECT, views=cracked), NOON + timedelta(hours=2)),
        ],
        [],
    )
    buckets = Results(path).counts(NOON, NOON + timedelta(hours=1), 60)
    assert [(each.utc, each.accept, each.reject, each.not_inspected) for each in buckets] == [
        (NOON, 1, 1, 0),
        (NOON + timedelta(minutes=1), 0, 0, 1),
    ]
    assert Results(path).pareto(NOON, NOON + timedelta(hours=1)) == [
        ClassCount("crack", 1, 2),
        ClassCount("stain", 1, 1),
    ]


def test_a_question_takes_no_longer_when_there_are_more_parts(
    writer: ResultsWriter, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [0]

    def count() -> int:
        steps[0] += 1
        return 0

    @contextmanager
    def counting(*given: Any) -> Iterator[sqlite3.Connection]:
        with open_results(*given) as db:
            db.set_progress_handler(count, 10)
            yield db

    def cost(ask: Callable[[Results], object]) -> int:
        steps[0] = 0
        ask(Results(path))
        return steps[0]

    monkeypatch.setattr(results, "open_results", counting)
    said = Disagreement(
        "cam1", 7, 0, opinion="rejects", model="m", classes=(), defects=(), mask=np.zeros((1, 1, 1), np.uint8)
    )
    questions: tuple[Callable[[Results], object], ...] = (
        lambda asked: asked.objections(6),
        lambda asked: asked.parts(defect_class="unheard-of"),
        lambda asked: asked.parts(defect_class="unheard-of", since_utc=NOON),
    )
    writer.add([entry(verdict(seq)) for seq in range(300)], [], [StoredObjection(said, NOON, "")] * 6)
    few = [cost(ask) for ask in questions]
    writer.add([entry(verdict(seq)) for seq in range(300, 3000)], [])
    assert all(now < 2 * before + 10 for now, before in zip(map(cost, questions), few, strict=True))


def test_a_look_that_takes_too_long_is_ended(writer: ResultsWriter, path: Path) -> None:
    writer.add([entry(verdict(seq)) for seq in range(400)], [])
    assert Results(path).within(60).parts(recipe=99) == []
    with pytest.raises(DeviceError, match=r"no answer within 0 s. Ask for less"):
        Results(path).within(0).parts(recipe=99)


def test_review_takes_the_doubtful_until_somebody_labels_them(writer: ResultsWriter, path: Path) -> None:
    writer.add([entry(verdict(seq, review=seq != 2)) for seq in (1, 2, 3)], [])
    results = Results(path)
    assert [row.seq for row in results.to_review(10)] == [3, 1]
    assert [row.seq for row in results.to_review(1)] == [3]
    assert results.label(3, "cam1", label="defect", defect_class="crack", user="anna", utc=NOON)
    assert [row.seq for row in results.to_review(10)] == [1]
    story = results.part(3)
    assert story is not None
    assert story.row.labelled
    (label,) = story.labels
    assert (label.camera, label.label, label.defect_class, label.user, label.utc) == (
        "cam1",
        "defect",
        "crack",
        "anna",
        NOON,
    )


def test_a_label_needs_a_part_and_a_view_that_are_there(writer: ResultsWriter, path: Path) -> None:
    writer.add([entry(verdict(1))], [])
    results = Results(path)
    assert results.label(1, "", label="good", defect_class="", user="anna", utc=NOON)
    assert not results.label(1, "cam9", label="good", defect_class="", user="anna", utc=NOON)
    assert not results.label(2, "", label="good", defect_class="", user="anna", utc=NOON)


def test_readers_and_labels_get_through_while_the_writer_writes(writer: ResultsWriter, path: Path) -> None:
    writer.add([entry(verdict(1))], [])
    stop, slowest = threading.Event(), [0.0]

    def look() -> None:
        while not stop.is_set():
            begun = time.monotonic()
            Results(path).parts(limit=20)
            assert Results(path).label(1, "", label="good", defect_class="", user="anna", utc=NOON)
            slowest[0] = max(slowest[0], time.monotonic() - begun)

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for batch in range(2, 400, 10):
            writer.add([entry(verdict(seq)) for seq in range(batch, batch + 10)], [])
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert len(Results(path).parts(limit=1000)) == 401
    assert slowest[0] < 60.0, "nobody waits for the whole writing"


def test_what_is_too_old_or_too_much_goes_and_the_file_shrinks(path: Path) -> None:
    writer = ResultsWriter(path)
    views = tuple(placed(f"cam{at}", defects=[defect()] * 3) for at in range(8))
    for first in range(0, 3000, 500):
        writer.add(
            [entry(verdict(first + at, views=views), NOON + timedelta(seconds=first + at)) for at in range(500)],
            [],
        )
    full, file_size = writer.size, path.stat().st_size
    writer.tidy(NOON + timedelta(seconds=700), 2**40)
    writer.tidy(NOON + timedelta(seconds=700), 2**40)
    assert Results(path).parts(limit=9999)[-1].seq == 700
    for _ in range(40):
        writer.tidy(NOON, full // 2)
    assert writer.size <= full // 2
    left = Results(path).parts(limit=9999)
    assert left[0].seq == 2999, "the oldest go"
    assert 1000 <= len(left) <= 1500
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM defects").fetchone()[0] == 24 * len(left)
    db.close()
    writer.close()
    assert path.stat().st_size < 0.6 * file_size


def test_kill_9_leaves_whole_commits_and_every_part_with_its_views(path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE_UNTIL_KILLED, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ":".join([str(Path(__file__).parents[1]), *sys.path])},
    )
    assert process.stdout is not None
    with process:
        committed = 0
        while committed < 140:
            committed = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
    committed = int(rest[-1]) if rest and rest[-1].isdigit() else committed
    writer = ResultsWriter(path)
    assert not writer.set_aside
    rows = Results(path).parts(limit=100_000)
    assert len(rows) >= committed
    assert len(rows) % 7 == 0
    assert sorted(row.seq for row in rows) == list(range(1, len(rows) + 1))
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM views").fetchone()[0] == 2 * len(rows)
        assert db.execute("SELECT count(*) FROM defects").fetchone()[0] == len(rows)
    db.close()
    writer.close()


@pytest.mark.parametrize("damage", ["garbage", "torn page"])
def test_a_damaged_file_is_set_aside_with_a_loud_line(
    path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    writer = ResultsWriter(path)
    writer.add([entry(verdict(seq)) for seq in range(1, 500)], [])
    writer.close()
    if damage == "garbage":
        path.write_bytes(b"not a database" * 1000)
    else:
        with path.open("r+b") as file:
            file.seek(8192)
            file.write(b"\xa5" * 4096)
        path.with_name("results.sqlite-wal").touch()  # as after a crash
    writer = ResultsWriter(path)
    assert writer.set_aside
    assert "damaged" in caplog.text
    assert path.with_name("results.sqlite.damaged").exists()
    writer.add([entry(verdict(1))], [])
    assert len(Results(path).parts()) == 1
    writer.close()


def test_a_newer_schema_is_refused_by_writer_and_reader(path: Path) -> None:
    ResultsWriter(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(DeviceError, match="update it"):
        ResultsWriter(path)
    with pytest.raises(DeviceError, match="schema"):
        Results(path).parts()


def test_results_of_before_there_was_a_fingerprint_are_kept(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.executescript(f"{MIGRATIONS[0]}; PRAGMA user_version = 1;")
        columns = [name for _, name, *_ in db.execute("PRAGMA table_info(parts)")][1:]
        db.execute(f"INSERT INTO parts ({', '.join(columns)}) VALUES ({', '.join('1' for _ in columns)})")  # noqa: S608
    db.close()
    writer = ResultsWriter(path)
    writer.add([entry(verdict(2, criteria="0123456789abcdef"))], [])
    writer.close()
    assert [row.criteria for row in Results(path).parts()] == ["0123456789abcdef", ""]


def test_a_reader_says_what_is_wrong_with_the_file(path: Path) -> None:
    with pytest.raises(DeviceError, match="Has the station run"):
        Results(path).parts()
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(DeviceError, match="not a database"):
        Results(path).parts()


def test_foreign_values_in_the_file_are_an_error_not_a_crash(writer: ResultsWriter, path: Path) -> None:
    writer.add([entry(verdict(1))], [])
    with sqlite3.connect(path) as db:
        db.execute("UPDATE parts SET decision = 77")
        db.execute("UPDATE views SET picture = '../../../etc/passwd'")
    db.close()
    with pytest.raises(DeviceError, match="77"):
        Results(path).parts()


def test_text_that_a_damaged_page_made_is_an_error_like_any_other(writer: ResultsWriter, path: Path) -> None:
    writer.add([entry(verdict(1))], [])
    with sqlite3.connect(path) as db:
        db.execute("UPDATE views SET camera = cast(x'ff41' AS TEXT)")
    db.close()
    with pytest.raises(DeviceError, match="Could not decode to UTF-8"), open_results(path) as looked:
        looked.execute("SELECT camera FROM views").fetchall()


def stored(path: Path) -> list[int]:
    return sorted(row.seq for row in Results(path).parts(limit=9999))


def test_what_was_stored_later_is_not_forgotten_before_what_was_stored_earlier(
    writer: ResultsWriter, path: Path
) -> None:
    """A clock that was months behind, or still in 1970, for two parts of five."""
    wrong = {3: NOON - timedelta(days=200), 4: datetime(1970, 1, 1, tzinfo=UTC)}
    writer.add([entry(verdict(seq), wrong.get(seq, NOON + timedelta(hours=seq))) for seq in range(1, 6)], [])
    writer.tidy(NOON, 2**40, NOON + timedelta(hours=6))
    assert stored(path) == [1, 2, 3, 4, 5]
    writer.tidy(NOON + timedelta(hours=2), 2**40, NOON + timedelta(hours=6))
    assert stored(path) == [2, 3, 4, 5]
    writer.tidy(NOON + timedelta(hours=5), 2**40, NOON + timedelta(hours=6))
    assert stored(path) == [4, 5], "what follows a part without a date may be no older"
    writer.tidy(NOON + timedelta(hours=6), 2**40, NOON + timedelta(hours=6))
    assert stored(path) == []
    assert writer.forgotten == {"age": 5}


def test_parts_with_a_date_to_come_do_not_keep_the_others_for_ever(writer: ResultsWriter, path: Path) -> None:
    dates = {1: NOON + timedelta(days=3650), 2: NOON, 3: NOON + timedelta(days=1)}
    writer.add([entry(verdict(seq), utc) for seq, utc in dates.items()], [])
    writer.tidy(NOON + timedelta(hours=1), 2**40, NOON + timedelta(days=2))
    assert stored(path) == [3]


def test_many_parts_without_a_date_are_passed_over_and_go_when_their_time_has_come(
    writer: ResultsWriter, path: Path
) -> None:
    never = datetime(1970, 1, 1, tzinfo=UTC)
    writer.add([entry(verdict(seq), never if seq <= 1200 else NOON) for seq in range(1, 1203)], [])
    for _ in range(5):
        writer.tidy(NOON, 2**40, NOON)
    assert len(stored(path)) == 1202
    for _ in range(3):
        writer.tidy(NOON + timedelta(hours=1), 2**40, NOON + timedelta(hours=2))
    assert stored(path) == []


def test_without_a_date_nothing_is_forgotten_by_age_and_the_budget_holds(writer: ResultsWriter, path: Path) -> None:
    writer.add([entry(verdict(seq), NOON - timedelta(days=seq)) for seq in range(1, 1001)], [])
    objections = [objection(at) for at in range(100)]
    writer.add([], [], objections)
    writer.tidy(None, 2**40)
    assert len(stored(path)) == 1000
    writer.tidy(None, 1)
    assert stored(path) == list(range(501, 1001)), "what was stored first goes first"
    assert len(Results(path).objections(1000)) == 50
    assert writer.forgotten == {"room": 500}


def objection(at: int) -> StoredObjection:
    said = Disagreement(
        "cam1", at, at, opinion="rejects", model="m-2", classes=(), defects=(), mask=np.zeros((1, 2, 2), np.uint8)
    )
    return StoredObjection(said, NOON, "")


def test_the_dates_in_the_results_are_told(writer: ResultsWriter) -> None:
    assert writer.stamps(NOON) == Stamps()
    ages = (timedelta(days=40), timedelta(days=4), timedelta(hours=1), timedelta(days=-3650), timedelta(days=20_000))
    writer.add([entry(verdict(seq), NOON - age) for seq, age in enumerate(ages, 1)], [])
    told = writer.stamps(NOON)
    assert told.oldest == NOON - timedelta(days=40), "1972 is no date"
    assert told.settled == NOON - timedelta(days=4)
    assert told.ahead == NOON + timedelta(days=3650)


def test_a_file_that_was_removed_or_replaced_is_noticed(writer: ResultsWriter, path: Path) -> None:
    writer.add([entry(verdict(1))], [])
    assert writer.lost is None
    content = path.read_bytes()
    path.unlink()
    assert writer.lost == path
    path.write_bytes(content)
    assert writer.lost == path
    writer.close()
    assert [each.name for each in path.parent.iterdir()] == [path.name], "no log of another file lies beside it"
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    db.close()
