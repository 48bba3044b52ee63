import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.archive_bench import Bench
from support.verdicts import BOOT, defect, placed, verdict

from edge_inspector import metrics
from edge_inspector.codes import Decision, Reason, StationState
from edge_inspector.records import Change, Choice, Delivery, ViewFigures
from edge_inspector.runtime.worker import Worker
from edge_inspector.stages import archive as stage
from edge_inspector.store.allowance import Allowance
from edge_inspector.store.audit import read, verify
from edge_inspector.store.choice import remembered_choice
from edge_inspector.store.results_file import open_results, results_path


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, accepted_one_in=5)
    yield made
    made.archive.stop(failed=True)


def left_out(what: str) -> float:
    return metrics.archive_left_out.labels(what)._value.get()


def test_verdicts_and_deliveries_are_kept_even_if_the_link_was_quicker(bench: Bench) -> None:
    bench.inbox.put(Delivery(BOOT, 1, "plc", 2_060_000_000))
    bench.archive.step()
    bench.inbox.put(verdict(1))
    bench.inbox.put(Delivery(BOOT, 1, "broker", 2_070_000_000))
    bench.archive.step()
    (row,) = bench.results.parts()
    story = bench.results.part(row.id)
    assert story is not None
    assert [each.link for each in story.deliveries] == ["plc", "broker"]
    assert not bench.held("results")


def test_pictures_of_an_earlier_run_grow_too_old_although_none_is_added(tmp_path: Path) -> None:
    day = tmp_path / "images" / "2026-01-01" / "cam1"
    day.mkdir(parents=True)
    picture = day / "093012.250123Z-part4711-frame90210.png"
    picture.write_bytes(b"x")
    bench = Bench(tmp_path, keep_days=30)
    bench.inbox.put(verdict(1))
    bench.archive.step()
    bench.archive.stop(failed=False)
    assert not picture.exists()


def test_the_recipe_that_was_chosen_is_kept_and_a_disk_that_refuses_it_is_told(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.inbox.put(Choice(4, 5))
    bench.archive.step()
    assert remembered_choice(bench.folder, 4) == 5
    (bench.folder / "recipe.json.new").mkdir()
    bench.inbox.put(Choice(4, 6))
    bench.archive.step()
    assert "recipe.json: the chosen recipe cannot be kept: Is a directory. A restart would begin" in caplog.text


def test_deliveries_of_verdicts_that_never_come_do_not_pile_up(bench: Bench) -> None:
    for _ in range(15):
        for seq in range(100, 200):
            bench.inbox.put(Delivery(BOOT, seq, "plc", 1))
    bench.inbox.put(verdict(1))
    for _ in range(30):
        bench.archive.step()
    assert len(bench.results.parts()) == 1


def test_pictures_are_kept_of_what_was_not_plainly_accepted_and_of_some_others(bench: Bench) -> None:
    told = [
        verdict(1, views=(placed(figures=ViewFigures(90.0, 4.0, 0.2)),)),
        verdict(2, Decision.REJECT, views=(placed(frame_id=2, defects=[defect()]), placed("cam2", 2))),
        verdict(3, Decision.NOT_INSPECTED),
        verdict(4, review=True),
        verdict(5),
        verdict(6, Decision.NOT_INSPECTED, views=(placed(frame_id=6, failure=Reason.INCOMPLETE_FRAME),)),
    ]
    before = left_out("picture")
    for each in told:
        for view in each.views:
            if view.view.failure is Reason.NONE:
                bench.seen(view.view.frame_id, view.view.camera)
        bench.inbox.put(each)
    bench.archive.step()
    assert bench.pictures() == [f"part{part}-frame{part}.png" for part in (2, 2, 3, 4, 5)]
    assert left_out("picture") == before, "a frame that never arrived whole is not missed"
    with open_results(results_path(bench.folder)) as db:
        figures = db.execute("SELECT brightness, sharpness, confidence FROM views WHERE part_id = 1").fetchone()
    assert tuple(figures) == (90.0, 4.0, 0.2), "of every view, kept or not"
    rows = {row.seq: row for row in bench.results.parts()}
    assert rows[1].picture is None
    assert rows[2].picture is not None
    assert rows[2].picture.sidecar is not None
    facts = json.loads(rows[2].picture.sidecar.read_text())
    assert (facts["kept_because"], facts["camera"], facts["decision"]) == ("reject", "cam1", "REJECT")
    assert (facts["classes"], facts["mask_stride"], facts["mm_per_px"]) == (["crack"], 2, 0.5)
    assert facts["defects"][0]["defect_class"] == "crack"
    why = {
        json.loads(path.read_text())["part_seq"]: json.loads(path.read_text())["kept_because"]
        for path in bench.folder.rglob("*.json")
    }
    assert why == {2: "reject", 3: "not_inspected", 4: "review", 5: "sample"}


def test_a_flood_of_parts_not_inspected_is_sampled_and_costs_rejected_ones_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, pictures_per_s=1.0)
    before, second = left_out("sampled"), 1_000_000_000
    for seq in range(1, 101):
        kind = Decision.REJECT if seq % 10 == 0 else Decision.NOT_INSPECTED
        bench.seen(seq)
        bench.inbox.put(verdict(seq, kind, decided_ns=second + seq * second // 10))
        if seq % 50 == 0:
            bench.archive.step()
            bench.archive.step()
    kept = Counter(row.decision for row in bench.results.parts(limit=200) if row.picture is not None)
    assert kept[Decision.REJECT] == 10
    assert 8 <= kept[Decision.NOT_INSPECTED] <= 12, "half a minute's at once, a quarter in a second from then on"
    assert left_out("sampled") == before + 90 - kept[Decision.NOT_INSPECTED]
    assert len(bench.results.parts(limit=200)) == 100, "verdicts are never sampled"
    assert not bench.held("pictures"), "nothing is wrong"
    bench.archive.stop(failed=False)


def test_what_was_let_through_in_the_long_run_is_the_rate_whatever_a_part_has() -> None:
    allowance = Allowance(2.0)
    second = 1_000_000_000
    taken = sum(4 for at in range(10_000) if allowance.take("reject", 4, at * second // 10))
    assert abs(taken - (2 * 1000 + 60)) <= 4
    assert allowance.take("not_inspected", 4, 1000 * second), "each reason has its own"


def test_while_the_model_has_too_much_to_do_a_quarter_as_many_pictures_are_packed() -> None:
    allowance = Allowance(2.0)
    second = 1_000_000_000
    taken = sum(4 for at in range(10_000) if allowance.take("reject", 4, at * second // 10, busy=True))
    assert abs(taken - (2 * 1000 + 60) / 4) <= 4


def test_pictures_are_released_when_the_results_have_their_part(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[tuple[str, int]] = []
    monkeypatch.setattr(bench.album, "release", lambda camera, frame_id: released.append((camera, frame_id)))
    told = verdict(2, Decision.REJECT, views=(placed(frame_id=2, defects=[defect()]), placed("cam2", 2)))
    for each in told.views:
        bench.seen(each.view.frame_id, each.view.camera)
    bench.inbox.put(told)
    bench.archive._take(0.0)
    assert not released
    bench.archive.step()
    assert released == [(each.view.camera, each.view.frame_id) for each in told.views]
    assert len(bench.pictures()) == 2, "what is to be kept of them was written before"


def test_a_picture_that_left_the_album_too_early_is_counted_and_said(bench: Bench) -> None:
    before = left_out("picture")
    bench.inbox.put(verdict(1, Decision.REJECT))
    bench.archive.step()
    assert left_out("picture") == before + 1
    assert bench.held("pictures")
    assert len(bench.results.parts()) == 1


def test_no_room_for_pictures_leaves_the_results_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path, min_free_mb=100_000_000)
    bench.seen(1)
    bench.inbox.put(verdict(1, Decision.REJECT))
    bench.archive.step()
    assert bench.held("pictures")
    assert not bench.held("results")
    assert bench.pictures() == []
    assert len(bench.results.parts()) == 1
    bench.archive.stop(failed=False)


def test_what_the_disk_refuses_waits_and_is_written_when_it_takes_it_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "_CALM_S", 0.3)
    blocked = bench.folder / "results.sqlite"
    blocked.mkdir()  # nothing can be written there
    for seq in range(1, 51):
        bench.inbox.put(verdict(seq))
    for _ in range(4):
        bench.archive.step()
    assert bench.held("results")
    assert bench.conditions.state is StationState.DEGRADED
    blocked.rmdir()
    until = time.monotonic() + 10
    while bench.held("results") and time.monotonic() < until:
        bench.archive.step()
    assert not bench.held("results")
    assert sorted(row.seq for row in bench.results.parts(limit=100)) == list(range(1, 51))


def test_a_slow_disk_costs_pictures_never_results_nor_the_senders_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = Path.write_bytes

    def slowly(path: Path, content: bytes) -> int:
        time.sleep(0.02)
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", slowly)
    bench = Bench(tmp_path)
    before = left_out("picture")
    worker = Worker(bench.archive, vital=False)
    worker.start()
    slowest = 0.0
    for seq in range(1, 601):
        bench.seen(seq)
        begun = time.monotonic()
        assert bench.inbox.put(verdict(seq, Decision.REJECT)) is None
        slowest = max(slowest, time.monotonic() - begun)
    until = time.monotonic() + 30
    while len(bench.inbox) and time.monotonic() < until:
        time.sleep(0.05)
    worker.stop()
    assert worker.join(30)
    assert worker.error is None
    assert len(bench.results.parts(limit=1000)) == 600
    assert left_out("picture") - before > 300
    assert "pictures: the disk is too slow: results come first" in caplog.text
    assert slowest < 1.0, "the disk takes 0.06 s for each of 600 pictures"


def test_stopping_writes_what_is_left(bench: Bench) -> None:
    for seq in range(1, 301):
        bench.inbox.put(verdict(seq))
    bench.archive.stop(failed=False)
    assert len(bench.results.parts(limit=1000)) == 300


def test_stopping_writes_what_an_earlier_disk_refused(bench: Bench) -> None:
    (bench.folder / "results.sqlite").mkdir()
    for seq in range(1, 1501):
        bench.inbox.put(verdict(seq))
    while bench.archive._take(0.0):
        bench.archive._commit()
    assert len(bench.inbox), "more than it holds"
    (bench.folder / "results.sqlite").rmdir()
    bench.archive.stop(failed=False)
    assert len(bench.results.parts(limit=2000)) == 1500


def test_stopping_with_a_dead_disk_ends(bench: Bench) -> None:
    (bench.folder / "results.sqlite").mkdir()
    for seq in range(1, 3001):
        bench.inbox.put(verdict(seq))
    stopper = threading.Thread(target=bench.archive.stop, kwargs={"failed": False})
    stopper.start()
    stopper.join(10)
    assert not stopper.is_alive()


def test_damage_that_shows_only_while_writing_costs_the_old_file_not_the_new_verdicts(tmp_path: Path) -> None:
    first = Bench(tmp_path)
    for seq in range(1, 400):
        first.inbox.put(verdict(seq))
    first.archive.stop(failed=False)
    path = results_path(tmp_path)
    path.write_bytes(path.read_bytes()[:4096] + b"\xa5" * (path.stat().st_size - 4096))
    bench = Bench(tmp_path)
    bench.inbox.put(verdict(1, boot_id=1))
    until = time.monotonic() + 10
    while not (tmp_path / "results.sqlite.damaged").exists() and time.monotonic() < until:
        bench.archive.step()
    assert bench.held("results")
    time.sleep(0.3)
    bench.archive.step()
    assert [row.boot_id for row in bench.results.parts()] == [1]
    bench.archive.stop(failed=False)


def test_a_damaged_file_does_not_keep_the_station_from_its_work(tmp_path: Path) -> None:
    results_path(tmp_path).write_bytes(b"\x00garbage" * 4096)
    bench = Bench(tmp_path)
    bench.inbox.put(verdict(1))
    bench.archive.step()
    assert len(bench.results.parts()) == 1
    assert (tmp_path / "results.sqlite.damaged").exists()
    bench.archive.stop(failed=False)


def test_a_change_is_written_down_and_waits_for_a_disk_that_refuses_it(bench: Bench) -> None:
    (bench.folder / "audit.jsonl").mkdir()
    bench.inbox.put(Change("page:anna", "recipe", before="4", after="5"))
    bench.inbox.put(verdict(1))
    bench.archive.step()
    assert bench.held("audit")
    assert len(bench.results.parts()) == 1, "results do not wait for it"
    (bench.folder / "audit.jsonl").rmdir()
    bench.archive.stop(failed=False)
    assert [entry.change.who for entry in read(bench.folder)] == ["page:anna"]
    assert verify(bench.folder) == []


def test_who_may_log_in_by_an_edit_is_written_down(bench: Bench) -> None:
    edits = [[Change("files", "user", "eve", after="admin")], []]
    bench.archive._edited = lambda: edits.pop(0) if edits else []
    bench.archive.step()
    bench.archive.stop(failed=False)
    assert [entry.change.subject for entry in read(bench.folder)] == ["eve"]


def test_more_changes_than_wait_are_counted(bench: Bench) -> None:
    (bench.folder / "audit.jsonl").mkdir()
    before = left_out("change")
    for _ in range(300):
        bench.inbox.put(Change("mqtt", "reset"))
    for _ in range(20):
        bench.archive.step()
    assert left_out("change") - before == 300 - 256
