"""What goes to the plant's database, in which order, and what is said if it cannot."""

import importlib.util
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.archive_bench import Bench
from support.forwarding import NOON, Table, go_on, keys, results_of, station_file, stored
from support.verdicts import BOOT

from edge_inspector import metrics
from edge_inspector.cli import main
from edge_inspector.commands.forward import _send
from edge_inspector.errors import ConfigError, DeviceError, Fault, StateError
from edge_inspector.forwarding import postgres
from edge_inspector.forwarding.forwarder import Forwarder
from edge_inspector.forwarding.postgres import SCRIPTS, SmallerBatchError
from edge_inspector.forwarding.reading import Batch, Reached, plain, read_batch
from edge_inspector.forwarding.settings import StoreTable
from edge_inspector.forwarding.words import in_words
from edge_inspector.runtime.backoff import Backoff
from edge_inspector.runtime.clock import Moment
from edge_inspector.store.forwarded import read_forwarded, write_forwarded
from edge_inspector.store.lock import FORWARD, StateLock
from edge_inspector.store.logbook import LogbookWriter, logbook_path
from edge_inspector.store.results import Results
from edge_inspector.store.results_file import results_path
from edge_inspector.store.results_writer import ResultsWriter
from edge_inspector.store.station_id import station_id

ROOT = Path(__file__).parents[2]


@pytest.fixture
def table() -> Table:
    return Table()


def send(state: Path, table: Table, most: int = 7) -> Forwarder:
    """Send until nothing waits."""
    sending = Forwarder(state, lambda: table, batch_parts=most)
    go_on(sending)
    return sending


def forget(state: Path, up_to: int) -> None:
    with closing(sqlite3.connect(results_path(state))) as db, db:
        db.execute("PRAGMA foreign_keys=ON")
        db.execute("DELETE FROM parts WHERE id <= ?", (up_to,))


def test_parts_go_in_batches_and_each_only_once(tmp_path: Path, table: Table) -> None:
    sending = send(results_of(tmp_path, 20), table)
    assert table.batches == [7, 7, 6]
    go_on(sending)
    assert table.batches == [7, 7, 6], "nothing new is nothing to send"
    results_of(tmp_path, 3, first=21)
    go_on(sending)
    assert sorted(table.keys()) == sorted(keys(tmp_path))


def test_a_batch_that_is_refused_comes_again_as_a_whole(tmp_path: Path, table: Table) -> None:
    def full(_: Batch) -> None:
        raise DeviceError("store: its disk is full")

    sending = Forwarder(results_of(tmp_path, 10), lambda: table, batch_parts=4)
    table.refuse = full
    said = [sending.step().trouble for _ in range(5)]
    assert said == ["store: its disk is full"] * 5
    assert table.closed == 5, "who knows what became of the transaction"
    assert sending.backoff.left_s > 0
    table.refuse = lambda _: None
    go_on(sending)
    assert table.keys() == sorted(keys(tmp_path))


def test_a_commit_whose_answer_was_lost_is_not_repeated(tmp_path: Path, table: Table) -> None:
    def deaf(batch: Batch) -> None:
        table.refuse = lambda _: None
        table.add(batch)
        raise DeviceError("the connection was lost")

    table.refuse = deaf
    sending = Forwarder(results_of(tmp_path, 10), lambda: table, batch_parts=4)
    assert sending.step().trouble
    go_on(sending)
    assert table.keys() == sorted(keys(tmp_path))


def test_a_slow_database_gets_fewer_parts_and_then_more_again(tmp_path: Path, table: Table) -> None:
    def slow(batch: Batch) -> None:
        if len(batch.parts) > 3:
            raise SmallerBatchError("no answer")

    sending = Forwarder(results_of(tmp_path, 60), lambda: table, batch_parts=16)
    table.refuse = slow
    while sending.step().waiting or not table.parts:
        pass
    table.refuse = lambda _: None
    while (done := sending.step()).waiting or done.trouble:
        pass
    assert table.keys() == sorted(keys(tmp_path))
    assert table.batches[:4] == [16, 8, 4, 2]
    assert max(table.batches[4:]) > 3


def test_a_results_file_that_was_begun_anew_is_read_from_its_beginning(tmp_path: Path, table: Table) -> None:
    send(results_of(tmp_path, 20), table)
    results_path(tmp_path).unlink()
    for count in (5, 30):  # fewer parts than were sent, then more
        results_of(tmp_path, count, first=len(table.parts) + 1)
        send(tmp_path, table)
    assert {seq for _, seq in table.parts} == set(range(1, 56))
    assert table.lost == 0


def test_parts_that_retention_took_first_are_counted_once(
    tmp_path: Path, table: Table, caplog: pytest.LogCaptureFixture
) -> None:
    sending = send(results_of(tmp_path, 10), table)
    results_of(tmp_path, 20, first=11)
    forget(tmp_path, up_to=16)
    go_on(sending)
    assert table.lost == 6
    assert "6 parts were deleted here before the store had them" in caplog.text
    forget(tmp_path, up_to=20)
    go_on(sending)
    assert table.lost == 6
    assert len(table.parts) == 24


def test_parts_from_before_the_first_contact_are_not_lost(tmp_path: Path, table: Table) -> None:
    forget(results_of(tmp_path, 10), up_to=4)
    send(tmp_path, table)
    assert (len(table.parts), table.lost) == (6, 0)


def test_a_label_whose_id_was_used_before_is_sent(tmp_path: Path, table: Table) -> None:
    results = Results(results_path(results_of(tmp_path, 9)))

    def say(part: int, user: str) -> None:
        results.label(part, "", label="defect", defect_class="crack", user=user, utc=NOON + timedelta(minutes=part))

    say(1, "anna")
    sending = send(tmp_path, table)
    forget(tmp_path, up_to=1)
    say(5, "ben")
    go_on(sending)
    assert [row[-1] for row in table.labels] == ["anna", "ben"]
    with closing(sqlite3.connect(results_path(tmp_path))) as db:
        assert db.execute("SELECT id FROM labels").fetchall() == [(1,)], "the id of a deleted label came again"


def test_all_labels_go_even_if_there_are_more_than_parts(tmp_path: Path, table: Table) -> None:
    results = Results(results_path(results_of(tmp_path, 1)))
    for minutes in range(20):
        utc = NOON + timedelta(minutes=minutes)
        results.label(1, "", label="unsure", defect_class="", user="anna", utc=utc)
    sending = Forwarder(tmp_path, lambda: table, batch_parts=7)
    while sending.step().more:
        pass
    assert len(table.labels) == 20


def test_a_clock_that_goes_wrong_is_said_once(tmp_path: Path, table: Table, caplog: pytest.LogCaptureFixture) -> None:
    sending = send(results_of(tmp_path, 1), table)
    table.clock_ahead_s = -3600.0
    for _ in range(3):
        sending.step()
    assert [each.message for each in caplog.records] == [
        "the clock of this station is 3600 s behind the store's: check `timedatectl`"
    ]


def test_events_are_told_once_and_again_if_they_change(tmp_path: Path, table: Table) -> None:
    with closing(LogbookWriter(logbook_path(results_of(tmp_path, 1)), BOOT)) as book:
        number = book.begin(code=101, subject="cam1", why="gone", fault=False, utc=NOON, recipe_id=3)
        sending = Forwarder(tmp_path, lambda: table, batch_parts=7)
        sending.step()
        sending._events_ns = 0
        sending.step()
        assert len(table.events) == 1
        book.acknowledge(number, "anna", NOON)
        sending._events_ns = 0
        sending.step()
    assert [row[-2] for row in table.events] == [None, "anna"]


def test_what_postgresql_cannot_keep_is_changed_on_the_way(tmp_path: Path) -> None:
    with closing(sqlite3.connect(results_path(results_of(tmp_path, 4)))) as db, db:
        db.execute("UPDATE parts SET utc_us = ?, error_mm = 9e999, decision = 77 WHERE id = 1", (2**62,))
        db.execute("UPDATE parts SET utc_us = ? WHERE id = 2", (-(2**62),))
        db.execute("UPDATE views SET camera = CAST(x'63ff00' AS TEXT) WHERE part_id = 1")
        db.execute("UPDATE defects SET area_mm2 = -9e999 WHERE part_id = 3")
    batch = read_batch(results_path(tmp_path), Reached(), 10)
    assert batch.parts[0][3] == datetime(9999, 1, 1, tzinfo=UTC)
    assert batch.parts[1][3] == datetime(1970, 1, 1, tzinfo=UTC)
    assert (batch.parts[0][4], batch.parts[0][-1]) == ("77", None)
    assert batch.views[0][2] == "c\ufffd\ufffd"
    assert [row[5] for row in batch.defects] == [None, None]
    assert [row[2] for row in batch.defects] == [1, 2], "numbered in their part"
    assert plain("a\0b") == "a\ufffdb"


def test_pictures_are_named_and_not_sent(tmp_path: Path) -> None:
    batch = read_batch(results_path(results_of(tmp_path, 3)), Reached(), 10, ".jpg")
    assert [row[-1] for row in batch.views] == ["", "", "2026-11-21/cam1/part3.jpg"]


def test_a_password_that_is_gone_for_a_moment_ends_nothing(tmp_path: Path, table: Table) -> None:
    def connect() -> Table:
        if not secret.exists():
            raise ConfigError([Fault("store.password_file", "cannot be read")])
        return table

    secret = tmp_path / "secret"
    sending = Forwarder(results_of(tmp_path, 3), connect, batch_parts=7)
    assert sending.step().trouble == "store.password_file: cannot be read"
    secret.touch()
    go_on(sending)
    assert len(table.parts) == 3


def test_a_station_without_results_yet_waits_for_them(tmp_path: Path, table: Table) -> None:
    sending = Forwarder(tmp_path, lambda: table, batch_parts=7)
    assert "there are none yet" in sending.step().trouble
    go_on(send(results_of(tmp_path, 1), table))
    assert len(table.parts) == 1


def test_the_columns_of_a_row_are_as_many_as_the_database_expects(tmp_path: Path, table: Table) -> None:
    results = Results(results_path(results_of(tmp_path, 3)))
    results.label(1, "", label="good", defect_class="", user="anna", utc=NOON)
    batch = read_batch(results_path(tmp_path), Reached(), 10)
    with closing(LogbookWriter(logbook_path(tmp_path), BOOT)) as book:
        book.begin(code=101, subject="cam1", why="gone", fault=False, utc=NOON, recipe_id=3)
    send(tmp_path, table)
    rows = {name: getattr(batch, name)[0] for name in ("parts", "views", "defects", "labels")} | {
        "events": table.events[0]
    }
    assert {name: len(row) for name, row in rows.items()} == {
        name: columns.count(",") + 1 for name, columns in postgres.COLUMNS.items()
    }


def test_scripts_are_numbered_without_a_gap() -> None:
    assert [int(path.name[:4]) for path in SCRIPTS] == list(range(1, len(SCRIPTS) + 1))


def test_the_daemon_says_which_parts_it_deletes_too_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edge_inspector.stages.archive._COMMIT_S", 0.001)
    monkeypatch.setattr("edge_inspector.store.results_writer._FORGET", 10)
    monkeypatch.setattr("edge_inspector.store.results_writer.ResultsWriter.size", 2**40)
    write_forwarded(results_of(tmp_path, 100), 25)
    clock = iter(range(10**6))
    bench = Bench(tmp_path, clock=lambda: Moment(NOON + timedelta(days=1), next(clock) * 2 * 10**9), forwards=True)
    counter = metrics.archive_forgotten.labels("unforwarded", "room")._value
    before = counter.get()
    while bench.results.parts(limit=1000)[-1].seq < 41:
        bench.archive.step()
    bench.archive.stop(failed=False)
    gone = bench.results.parts(limit=1000)[-1].seq - 1
    assert counter.get() - before == gone - 25
    (said,) = [each for each in caplog.records if "the store does not have" in each.message]
    assert said.levelname == "WARNING"
    assert f"{gone - 25} parts that the store does not have to make room" in said.message


def test_the_number_of_the_first_part_is_known_even_if_all_are_gone(tmp_path: Path) -> None:
    with closing(ResultsWriter(results_path(tmp_path))) as writer:
        assert writer.first_part == 1
        writer.add([stored(seq) for seq in (1, 2)], [])
        assert writer.first_part == 1
        forget(tmp_path, up_to=2)
        assert writer.first_part == 3


def test_a_damaged_note_of_what_was_forwarded_means_nothing_was(tmp_path: Path) -> None:
    assert read_forwarded(tmp_path) == 0
    write_forwarded(tmp_path, 12)
    assert read_forwarded(tmp_path) == 12
    for content in (b"", b"-7", b"\xff", b"nine", b"9" * 10**6):
        (tmp_path / "forwarded").write_bytes(content)
        assert read_forwarded(tmp_path) in {0, int("9" * 20)}


def test_the_daemon_measures_how_far_the_database_is_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_inspector.stages.archive._COMMIT_S", 0.001)
    results_of(tmp_path, 10)  # a part a minute after noon
    clock = iter(range(10**6))
    for sent, lag_s in ((0, 59 * 60), (4, 55 * 60), (10, 0)):
        write_forwarded(tmp_path, sent)
        bench = Bench(tmp_path, clock=lambda: Moment(NOON + timedelta(hours=1), next(clock) * 2 * 10**9), forwards=True)
        bench.inbox.put(stored(10).verdict)  # known already, and opens the file
        for _ in range(3):
            bench.archive.step()
        bench.archive.stop(failed=False)
        assert metrics.forward_lag_s._value.get() == lag_s


def test_a_station_keeps_its_identity(tmp_path: Path) -> None:
    assert station_id(tmp_path) == station_id(tmp_path)
    assert station_id(tmp_path) != station_id_of_another(tmp_path)
    (tmp_path / "station-id").write_bytes(b"\xff" * 100)
    with pytest.raises(StateError, match="station-id is damaged: remove it"):
        station_id(tmp_path)


def station_id_of_another(tmp_path: Path) -> str:
    (tmp_path / "other").mkdir()
    return station_id(tmp_path / "other")


@pytest.fixture
def same_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of the tests must not become idle, or keep its log."""
    monkeypatch.setattr("edge_inspector.commands.forward.go_idle", lambda _: None)
    monkeypatch.setattr("edge_inspector.commands.forward.set_up_logging", lambda: None)
    if importlib.util.find_spec("psycopg") is None:
        monkeypatch.setattr("edge_inspector.commands.forward.require", lambda _: None)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, table: Table) -> list[Any]:
    """The command's database is the one in memory. What it was asked for."""
    asked: list[Any] = []

    def opened(settings: StoreTable, sender: Any, *, take_over: bool = False) -> Table:
        asked.append((settings, sender, take_over))
        return table

    monkeypatch.setattr("edge_inspector.commands.forward.Store", opened)
    return asked


@pytest.mark.usefixtures("same_process")
def test_the_command_sends_what_waits(
    tmp_path: Path, stand_in: list[Any], table: Table, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secret").write_text("a word\n")
    path = station_file(tmp_path, 'host = "plant-db"\npassword_file = "secret"')
    state = results_of(tmp_path / "state", 20)
    assert main(["forward", str(path), "--once"]) == 0
    assert capsys.readouterr().out == "20 parts sent\n"
    assert table.keys() == sorted(keys(state))
    ((settings, sender, _),) = stand_in
    assert settings.password_file == tmp_path / "secret"
    assert (sender.identity, sender.products) == (station_id(state), {7: "magnetic tile 60 x 20"})
    assert read_forwarded(state) == 20


def test_a_trouble_is_logged_once_and_its_end_too(
    tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(
        "edge_inspector.forwarding.forwarder.Backoff", lambda **_: Backoff(first_s=0.001, longest_s=0.001)
    )
    stopped = threading.Event()

    def full(_: Batch) -> None:
        if len(table.batches) > 3:
            table.refuse = lambda _: None
            monkeypatch.setattr(table, "tell_alive", lambda _: stopped.set())
        raise DeviceError("store: its disk is full")

    table.refuse = full
    _send(Forwarder(results_of(tmp_path, 5), lambda: table, batch_parts=9), stopped, 0.001)
    assert [each.message for each in caplog.records] == [
        "store: its disk is full. Results wait on this station's disk",
        "the store takes results again. 0 parts wait",
    ]


@pytest.mark.usefixtures("same_process")
def test_before_the_first_run_there_is_nothing_to_send(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forward", str(station_file(tmp_path, 'host = "plant-db"')), "--once"]) == 1
    assert "there are no results yet. Has the station run?" in capsys.readouterr().err


@pytest.mark.usefixtures("same_process")
def test_taking_over_a_name_is_written_down_first(tmp_path: Path, stand_in: list[Any]) -> None:
    path = station_file(tmp_path, 'host = "plant-db"')
    results_of(tmp_path / "state", 1)
    assert main(["forward", str(path), "--take-over"]) == 0
    assert [take_over for _, _, take_over in stand_in] == [True, False]
    assert "takes over the name" in next((tmp_path / "state").glob("audit*")).read_text()


@pytest.mark.usefixtures("same_process", "stand_in")
def test_two_commands_for_one_station_are_one_too_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = station_file(tmp_path, 'host = "plant-db"')
    state = results_of(tmp_path / "state", 1)
    with StateLock(state, FORWARD).held():
        assert main(["forward", str(path), "--once"]) == 1
    assert "results are being sent already" in capsys.readouterr().err


@pytest.mark.usefixtures("same_process")
@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "store.host: is missing"),
        ('host = "a b"', "store.host: "),
        ('host = "db"\npassword = "x"', "store.password: unknown key"),
        ('host = "db"\npictures_url = "ftp://x/"', "must be empty, or an address that ends with a /"),
        ('host = "db"\ntls_system_ca = true\ntls_ca_file = "ca.pem"', "exclude each other"),
        ('host = "db"\npassword_file = "nowhere"', "store.password_file: "),
        ('host = "db"\ndatabase = "a b"', "store.database: must be at most 63 letters"),
        ('host = "db"\npassword_file = "nul"', "is no UTF-8 text: save it as such"),
        ('host = "db"\npassword_file = "latin"', "is no UTF-8 text: save it as such"),
    ],
)
def test_a_wrong_table_is_said_in_a_line_each(
    tmp_path: Path, lines: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    (tmp_path / "latin").write_bytes(b"\xe4\xff")
    (tmp_path / "nul").write_bytes(b"a\0b\n")
    path = station_file(tmp_path, lines)
    results_of(tmp_path / "state", 1)
    assert main(["forward", str(path), "--once"]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("same_process")
def test_a_station_file_without_a_store_says_what_to_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = station_file(tmp_path, "")
    path.write_text(path.read_text().replace("[store]", ""))
    assert main(["forward", str(path), "--once"]) == 2
    assert "store: is missing. Write [store] with the host of the plant's database" in capsys.readouterr().err


@pytest.mark.usefixtures("same_process")
def test_a_missing_library_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.import_module

    def without(name: str) -> Any:
        if name == "psycopg":
            raise ImportError("No module named 'psycopg'")
        return real(name)

    monkeypatch.setattr(postgres, "import_module", without)
    path = station_file(tmp_path, 'host = "plant-db"')
    results_of(tmp_path / "state", 1)
    assert main(["forward", str(path), "--once"]) == 2
    assert "store: No module named 'psycopg': pip install 'edge-inspector[postgres]'" in capsys.readouterr().err


def test_cautions_tell_of_passwords_and_networks_that_others_can_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("\ufeffa word\n", encoding="utf-8")
    secret.chmod(0o644)
    open_one = StoreTable(host="192.0.2.1", password_file=secret)
    assert [each.partition(":")[0] for each in open_one.cautions] == [
        "others can read the password",
        "results may cross the network in plain text",
    ]
    assert open_one.password() == "a word"
    secret.chmod(0o640)
    assert list(StoreTable(host="192.0.2.1", password_file=secret, tls_system_ca=True).cautions) == []


def test_a_machine_without_authorities_says_how_it_gets_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setattr(postgres, "_AUTHORITIES", (str(tmp_path / "neither"),))
    with pytest.raises(ConfigError, match="this machine has no list: apt install ca-certificates"):
        postgres._system_authorities()
    (tmp_path / "neither").touch()
    assert postgres._system_authorities() == tmp_path / "neither"


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("53100", "its disk is full"),
        ("53200", "it has no room left"),
        ("42501", "GRANT CREATE ON DATABASE edge_inspector TO edge_inspector"),
        ("57P01", "it was stopped or is starting"),
        ("25006", "it only reads"),
        ("XX000", "store 192.0.2.1:5432, database 'edge_inspector': odd words"),
    ],
)
def test_an_error_of_the_server_says_what_to_do(state: str, said: str) -> None:
    error = ValueError("odd\n  words")
    error.sqlstate = state  # type: ignore[attr-defined]
    told = in_words(error, StoreTable(host="192.0.2.1"))
    assert said in told
    assert "\n" not in told
