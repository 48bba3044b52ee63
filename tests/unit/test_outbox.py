import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edge_inspector.errors import DeviceError, StateError
from edge_inspector.store.outbox import Outbox, OutboxRow

APPEND_UNTIL_KILLED = """
import os, signal, sys
from pathlib import Path
from edge_inspector.store.outbox import Outbox, OutboxRow
outbox = Outbox(Path(sys.argv[1]), 10_000)
for seq in range(500):
    outbox.append([OutboxRow("t/verdict", b"{}", expires_ns=9, boot_id=7, seq=seq)])
os.kill(os.getpid(), signal.SIGKILL)
"""


def row(seq: int, topic: str = "t/verdict") -> OutboxRow:
    return OutboxRow(topic, b'{"seq":%d}' % seq, expires_ns=9, boot_id=7, seq=seq)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.sqlite"


def test_rows_come_back_in_order_after_reopening(path: Path) -> None:
    outbox = Outbox(path, 100)
    assert outbox.append([row(1), row(1, "t/other")])
    assert outbox.append([row(2)])
    outbox.close()
    outbox = Outbox(path, 100)
    found = outbox.after(0, 10)
    assert [(each.seq, each.topic) for each in found] == [(1, "t/verdict"), (1, "t/other"), (2, "t/verdict")]
    assert found[0] == replace(row(1), id=found[0].id)
    assert [each.seq for each in outbox.after(found[1].id, 10)] == [2]
    assert len(outbox.after(0, 2)) == 2
    assert (len(outbox), outbox.room, outbox.set_aside) == (3, 97, False)
    outbox.close()
    outbox.close()


def test_perishable_rows_have_their_own_lane(path: Path) -> None:
    outbox = Outbox(path, 100)
    urgent = replace(row(2, "t/reject"), perishable=True)
    outbox.append([row(1), urgent, row(2)])
    assert [each.seq for each in outbox.after(0, 10)] == [1, 2]
    (found,) = outbox.after(0, 10, perishable=True)
    assert found == replace(urgent, id=found.id)
    assert len(outbox) == 3
    outbox.close()


def test_full_means_all_or_nothing(path: Path) -> None:
    outbox = Outbox(path, 3)
    assert outbox.append([row(1), row(2)])
    assert not outbox.append([row(3), row(4)])
    assert [each.seq for each in outbox.after(0, 10)] == [1, 2]
    outbox.delete([outbox.after(0, 1)[0].id])
    assert outbox.append([row(3), row(4)])
    assert (len(outbox), outbox.room) == (3, 0)
    outbox.close()


def test_full_in_bytes_takes_no_more_until_some_are_gone(path: Path) -> None:
    outbox = Outbox(path, 1000, max_bytes=500_000)
    seq = 0
    while outbox.append([replace(row(seq), payload=b"x" * 2500)]):
        seq += 1
    assert 100 < seq < 122, "a page of 4 kB for each"
    assert outbox.room == 0
    outbox.delete([each.id for each in outbox.after(0, 10)])
    assert outbox.append([row(1000)])
    outbox.close()
    assert path.stat().st_size < 510_000


def test_the_same_message_is_held_once(path: Path) -> None:
    outbox = Outbox(path, 10)
    assert outbox.append([row(1), row(2)])
    assert outbox.append([row(2), row(3)])
    assert [each.seq for each in outbox.after(0, 10)] == [1, 2, 3]
    assert len(outbox) == 3
    outbox.close()


def test_ids_are_never_given_twice(path: Path) -> None:
    outbox = Outbox(path, 10)
    outbox.append([row(1)])
    (first,) = outbox.after(0, 10)
    outbox.delete([first.id, 12345])
    assert len(outbox) == 0
    outbox.append([row(2)])
    assert outbox.after(first.id, 10)[0].seq == 2
    outbox.close()


def test_rows_survive_kill_9(path: Path) -> None:
    died = subprocess.run([sys.executable, "-c", APPEND_UNTIL_KILLED, str(path)], check=False)
    assert died.returncode == -signal.SIGKILL
    outbox = Outbox(path, 10_000)
    assert [each.seq for each in outbox.after(0, 1000)] == list(range(500))
    outbox.close()


@pytest.mark.parametrize("damage", ["garbage", "torn page"])
def test_a_damaged_file_is_set_aside(path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    outbox = Outbox(path, 10_000)
    outbox.append([row(seq) for seq in range(2000)])
    outbox.close()
    if damage == "garbage":
        path.write_bytes(b"not a database" * 1000)
    else:
        with path.open("r+b") as file:
            file.seek(8192)
            file.write(b"\xa5" * 4096)
    outbox = Outbox(path, 10_000)
    assert outbox.set_aside
    assert len(outbox) == 0
    assert "damaged" in caplog.text
    assert path.with_name("outbox.sqlite.damaged").exists()
    assert outbox.append([row(1)])
    outbox.close()


def test_a_file_of_a_newer_version_is_refused_and_kept(path: Path) -> None:
    Outbox(path, 10).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    before = path.read_bytes()
    with pytest.raises(DeviceError, match="schema 99"):
        Outbox(path, 10)
    assert path.read_bytes() == before


def test_a_folder_in_its_place_is_a_device_error(tmp_path: Path) -> None:
    (tmp_path / "folder.sqlite").mkdir()
    with pytest.raises(DeviceError, match="is a folder, not a file: move it away"):
        Outbox(tmp_path / "folder.sqlite", 10)


def test_a_disk_that_fails_from_the_start_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    outbox = Outbox(tmp_path / "file" / "outbox.sqlite", 10)
    assert "Not a directory" in outbox.off_disk or "File exists" in outbox.off_disk
    assert outbox.append([row(1)])
    assert [each.seq for each in outbox.after(0, 10)] == [1]
    with pytest.raises(StateError):
        outbox.return_to_disk()
    outbox.close()
    assert "1 messages were only in memory and are lost" in caplog.text
    outbox.close()


def test_messages_of_an_earlier_run_are_kept_if_the_disk_comes_late(path: Path) -> None:
    outbox = Outbox(path, 100)
    outbox.append([row(1), row(2)])
    outbox.close()
    path.parent.rename(away := path.parent.with_name("away"))
    path.parent.write_text("not mounted yet")
    late = Outbox(path, 100)
    assert late.off_disk
    assert late.append([row(3)])
    assert [(each.id, each.seq) for each in late.after(0, 10)] == [(1, 3)]
    path.parent.unlink()
    away.rename(path.parent)
    assert not late.return_to_disk(), "the ids are others now"
    assert [(each.id, each.seq) for each in late.after(0, 10)] == [(1, 1), (2, 2), (3, 3)]
    assert (len(late), late.newest[False]) == (3, 3)
    late.close()


def full(outbox: Outbox) -> None:
    """Let SQLite report a full disk from now on."""
    outbox._db.execute("PRAGMA max_page_count = 1")  # SQLite takes the present size then


def large(seq: int) -> OutboxRow:
    return replace(row(seq), payload=b"x" * 20_000)


def test_on_a_full_disk_messages_wait_in_memory_under_the_same_ids(path: Path) -> None:
    outbox = Outbox(path, 100)
    outbox.append([row(1), row(2)])
    outbox.delete([outbox.after(0, 1)[0].id])
    full(outbox)
    assert outbox.append([large(3)])
    assert "full" in outbox.off_disk
    assert outbox.lost is None
    waiting = outbox.after(0, 10)
    assert [(each.id, each.seq) for each in waiting] == [(2, 2), (3, 3)]
    assert outbox.newest[False] == 3
    outbox.delete([2, 3])
    assert len(outbox) == 0
    assert outbox.return_to_disk()
    assert outbox.off_disk == ""
    assert outbox.append([row(4)])
    assert [(each.id, each.seq) for each in outbox.after(3, 10)] == [(4, 4)], "a reader's position is still valid"
    outbox.close()
    again = Outbox(path, 100)
    assert [each.seq for each in again.after(0, 10)] == [4], "what was sent from memory is not sent again"
    again.close()


def test_a_deletion_on_a_full_disk_counts(path: Path) -> None:
    outbox = Outbox(path, 100)
    outbox.append([row(1), row(2)])
    outbox._db.execute("PRAGMA query_only = ON")  # each write is an error of the disk
    outbox.delete([1])
    assert outbox.off_disk
    assert [each.seq for each in outbox.after(0, 10)] == [2]
    outbox.close()
    again = Outbox(path, 100)
    assert [each.seq for each in again.after(0, 10)] == [2], "closing has written what was in memory"
    again.close()


def test_messages_stay_in_memory_while_the_disk_cannot_be_used(path: Path) -> None:
    outbox = Outbox(path, 100)
    full(outbox)
    outbox.append([large(1)])
    path.unlink()
    path.mkdir()
    with pytest.raises(StateError, match="is a folder"):
        outbox.return_to_disk()
    assert outbox.append([row(2)])
    assert [each.seq for each in outbox.after(0, 10)] == [1, 2]
    path.rmdir()
    outbox.return_to_disk()
    assert [each.seq for each in outbox.after(0, 10)] == [1, 2]
    assert path.is_file()
    outbox.close()


def test_a_file_that_was_removed_is_noticed_and_what_it_held_goes_into_a_new_one(path: Path) -> None:
    outbox = Outbox(path, 10_000)
    outbox.append([row(seq) for seq in range(3000)])
    outbox.append([replace(row(3000, "t/reject"), perishable=True)])
    outbox.delete([each.id for each in outbox.after(0, 1000)])
    assert outbox.lost is None
    for each in path.parent.iterdir():
        each.unlink()
    path.parent.rmdir()
    assert outbox.lost == path
    outbox.append([row(3001)])
    outbox.renew()
    assert outbox.lost is None
    assert [each.seq for each in outbox.after(0, 5000)] == [*range(1000, 3000), 3001]
    assert [each.seq for each in outbox.after(0, 10, perishable=True)] == [3000]
    assert len(outbox) == 2002
    outbox.close()
    outbox = Outbox(path, 10_000)
    assert len(outbox) == 2002
    outbox.close()


def test_another_file_in_its_place_gets_what_it_does_not_have(path: Path, tmp_path: Path) -> None:
    other = Outbox(tmp_path / "other.sqlite", 100)
    other.append([row(1), row(7)])
    other.close()
    outbox = Outbox(path, 100)
    outbox.append([row(1), row(2)])
    (tmp_path / "other.sqlite").replace(path)
    assert outbox.lost == path
    outbox.renew()
    assert [each.seq for each in outbox.after(0, 10)] == [1, 7, 2]
    outbox.close()


def test_a_log_that_was_removed_alone_costs_nothing(path: Path) -> None:
    outbox = Outbox(path, 100)
    outbox.append([row(1), row(2)])
    assert outbox.lost is None
    wal = path.with_name("outbox.sqlite-wal")
    wal.unlink()
    assert outbox.lost == wal
    outbox.renew()
    outbox.append([row(3)])
    assert [each.seq for each in outbox.after(0, 10)] == [1, 2, 3]
    outbox.close()


def test_where_no_new_file_can_be_made_the_removed_one_is_used_on(path: Path) -> None:
    outbox = Outbox(path, 100)
    outbox.append([row(1)])
    path.unlink()
    path.mkdir()
    with pytest.raises(StateError, match="is a folder, not a file: move it away, as `mv "):
        outbox.renew()
    outbox.append([row(2)])
    assert [each.seq for each in outbox.after(0, 10)] == [1, 2]
    assert outbox.lost == path
    path.rmdir()
    outbox.renew()
    assert [each.seq for each in outbox.after(0, 10)] == [1, 2]
    outbox.close()


def test_every_damaged_file_is_kept(path: Path) -> None:
    path.parent.mkdir()
    for number in range(1, 12):
        path.write_bytes(b"not a database %d" % number * 1000)
        Outbox(path, 10).close()
    kept = {each.name: each.read_bytes()[:17] for each in path.parent.iterdir() if "damaged" in each.name}
    assert kept["outbox.sqlite.damaged"] == b"not a database 1n"
    assert kept["outbox.sqlite.damaged-2"] == b"not a database 2n"
    assert kept["outbox.sqlite.damaged-9"] == b"not a database 11", "the latest"
    assert len(kept) == 9


@pytest.mark.parametrize("number", [0, 99])
def test_a_file_that_is_not_ours_is_refused_in_words_and_left_alone(path: Path, number: int) -> None:
    path.parent.mkdir()
    db = sqlite3.connect(path)
    db.executescript("CREATE TABLE outbox (id); INSERT INTO outbox VALUES (1)")
    db.execute(f"PRAGMA user_version = {number}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(
        StateError, match=r"has tables that this program did not make: move it away|schema 99.*update it"
    ):
        Outbox(path, 10)
    assert path.read_bytes()[:16] == before[:16]
    db = sqlite3.connect(path)
    assert db.execute("SELECT count(*) FROM outbox").fetchone() == (1,)
    db.close()


def test_a_pipe_in_its_place_is_refused_at_once(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)
    with pytest.raises(StateError, match="is a pipe or device, not a file"):
        Outbox(path, 10)


def test_what_the_broker_has_leaves_the_file_with_the_next_message_or_a_moment_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_000_000_000]
    monkeypatch.setattr("edge_inspector.store.outbox.time.monotonic_ns", lambda: now[0])

    def in_file() -> list[int]:
        with closing(sqlite3.connect(path)) as db:
            return [seq for (seq,) in db.execute("SELECT seq FROM outbox ORDER BY id")]

    outbox = Outbox(path, 3)
    outbox.append([row(1), row(2), row(3)])
    first, second, third = outbox.after(0, 10)
    outbox.taken([first.id, 0, -1])  # the state and an answer have no row
    assert (len(outbox), outbox.room, in_file()) == (2, 1, [1, 2, 3])
    assert outbox.append([row(4)])
    assert in_file() == [2, 3, 4]
    outbox.taken([second.id])
    assert [each.seq for each in outbox.after(0, 10)] == [3, 4], "a new session does not send it again"
    outbox.taken([third.id])
    now[0] += 200_000_000
    outbox.taken([])
    assert in_file() == [4]
    outbox.taken([each.id for each in outbox.after(0, 10)])
    outbox.close()
    assert in_file() == []


def test_more_new_messages_than_are_remembered_come_from_the_file(path: Path) -> None:
    outbox = Outbox(path, 1000)
    for seq in range(300):
        outbox.append([row(seq), replace(row(seq, "t/reject"), perishable=True)])
    for lane in (False, True):
        cursor, seqs = 0, list[int]()
        while found := outbox.after(cursor, 7, perishable=lane):
            seqs += [each.seq for each in found]
            cursor = found[-1].id
        assert seqs == list(range(300))
    outbox.close()
