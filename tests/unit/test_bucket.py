"""Results as Parquet files in a bucket: each part once, whatever request is the last one, and words for failures."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

obstore = pytest.importorskip("obstore", reason="the extra `bucket` is not installed")
pytest.importorskip("pyarrow", reason="the extra `bucket` is not installed")
from support.forwarding import NOON, keys, results_of, send, station_file, stored  # noqa: E402
from support.parquet_lake import Lake  # noqa: E402
from support.verdicts import BOOT, defect, placed, verdict  # noqa: E402

from edge_inspector.cli import main  # noqa: E402
from edge_inspector.errors import DeviceError  # noqa: E402
from edge_inspector.forwarding import objects  # noqa: E402
from edge_inspector.forwarding.bucket import BucketStore, probe  # noqa: E402
from edge_inspector.forwarding.bucket_settings import BucketTable  # noqa: E402
from edge_inspector.forwarding.forwarder import Forwarder, Sent  # noqa: E402
from edge_inspector.forwarding.sender import SendingStation  # noqa: E402
from edge_inspector.runtime.clock import Moment  # noqa: E402
from edge_inspector.store.logbook import LogbookWriter, logbook_path  # noqa: E402
from edge_inspector.store.results import Results  # noqa: E402
from edge_inspector.store.results_file import results_path  # noqa: E402
from edge_inspector.store.results_writer import ResultsWriter, StoredVerdict  # noqa: E402

ONE = "11111111-1111-1111-1111-111111111111"
TWO = "22222222-2222-2222-2222-222222222222"
LINE_1 = SendingStation(
    name="line-1", identity=ONE, pictures_url="https://line-1.example/images/", products={3: "shaft"}
)


class FailingError(obstore.exceptions.GenericError):  # type: ignore[misc]
    """What a request ends with when a test says so."""


class Memory:
    """obstore with a store in memory. `fails` may raise before or after the request with this number."""

    exceptions = obstore.exceptions

    def __init__(self) -> None:
        self.store = obstore.store.MemoryStore()
        self.count = 0
        self.fails: Callable[[int, str, bool], None] = lambda _count, _path, _done: None

    def S3Store(self, *_: Any, **__: Any) -> Any:  # noqa: N802 -- the library's name
        return self.store

    def __getattr__(self, name: str) -> Any:
        real = getattr(obstore, name)

        def call(store: Any, path: str, *given: Any, **named: Any) -> Any:
            self.count += 1
            number = self.count
            self.fails(number, path, False)  # noqa: FBT003 -- before it
            done = real(store, path, *given, **named)
            self.fails(number, path, True)  # noqa: FBT003 -- after it
            return done

        return call


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    made = Memory()
    real = objects.import_module

    def instead(name: str) -> Any:
        return made if name in ("obstore", "obstore.store") else real(name)

    monkeypatch.setattr(objects, "import_module", instead)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "station")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-word")
    return made


@pytest.fixture
def lake(memory: Memory) -> Lake:
    return Lake(memory.store)


def table(**changes: Any) -> BucketTable:
    return BucketTable(**{"endpoint": "http://127.0.0.1:1", "bucket": "results"} | changes)


def forwarder(state: Path, sender: SendingStation = LINE_1, **more: Any) -> Forwarder:
    given = {"batch_parts": 10, "by_day": True} | more
    return Forwarder(state, lambda: BucketStore(table(), sender), **given)


def days_of(state: Path, count: int, per_day: int, first: int = 1) -> Path:
    """Parts over several days."""
    state.mkdir(parents=True, exist_ok=True)
    writer = ResultsWriter(results_path(state))
    for seq in range(first, first + count):
        entry = stored(seq)
        utc = NOON + timedelta(days=(seq - 1) // per_day, minutes=seq)
        writer.add([StoredVerdict(entry.verdict, utc, "", {})], [])
    writer.close()
    return state


def test_the_files_have_parts_views_defects_and_where_the_pictures_are(lake: Lake, tmp_path: Path) -> None:
    state = results_of(tmp_path, 30)
    assert send(forwarder(state)) == []
    assert lake.keys(ONE) == keys(state)
    parts, views, defects = (lake.rows(table) for table in ("parts", "views", "defects"))
    assert {(row["station"], row["product"]) for row in parts} == {("line-1", "shaft")}
    assert parts[0]["utc"] == NOON + timedelta(minutes=1)
    assert len(views) == 30
    urls = {row["url"] for row in views}
    assert "https://line-1.example/images/2026-11-21/cam1/part3.png" in urls
    assert sorted(row["defect_class"] for row in defects) == ["crack"] * 10 + ["stain"] * 10
    assert lake.paths("parts") == [
        f"parts/source={ONE}/day=2026-11-21/0000-{begin:012d}.parquet" for begin in (0, 10, 20)
    ]


def test_each_file_has_the_parts_of_one_day(lake: Lake, tmp_path: Path) -> None:
    state = days_of(tmp_path, 25, per_day=7)
    send(forwarder(state, batch_parts=100))
    assert [path.split("/")[2] for path in lake.paths("parts")] == [f"day=2026-11-{day}" for day in (21, 22, 23, 24)]
    assert lake.keys(ONE) == keys(state)


@pytest.mark.parametrize("done", [False, True], ids=["before the request", "its answer is lost"])
def test_whatever_request_is_the_last_one_each_part_is_there_once(
    memory: Memory, lake: Lake, tmp_path: Path, *, done: bool
) -> None:
    """A kill at every request, one after the other. Between them more parts come, so that batches differ."""
    state = results_of(tmp_path, 25)
    results = Results(results_path(state))
    last = 25
    for kill in range(1, 60):
        begun = memory.count

        def fails(count: int, _path: str, ended: bool, at: int = begun + kill % 23) -> None:  # noqa: FBT001
            if count == at and ended is done:
                raise FailingError("cut")

        memory.fails = fails
        sending = forwarder(state, batch_parts=3 + kill % 5)
        for _ in range(6):
            if sending.step().trouble:
                break
        sending.close()
        results_of(state, 2, first=last + 1)
        last += 2
        results.label(1 + kill, "", label="good", defect_class="", user="anna", utc=NOON + timedelta(minutes=kill))
    memory.fails = lambda _count, _path, _done: None
    assert send(forwarder(state)) == []
    assert lake.keys(ONE) == keys(state)
    assert len(lake.rows("views")) == last
    assert len(lake.rows("defects")) == last // 3 * 2
    assert sorted(row["seq"] for row in lake.rows("labels")) == [1 + kill for kill in range(1, 60)]


def test_a_smaller_batch_takes_the_place_of_all_that_a_larger_one_has_left(
    memory: Memory, lake: Lake, tmp_path: Path
) -> None:
    def fails(_count: int, path: str, ended: bool) -> None:  # noqa: FBT001
        if path.startswith("parts/") and path.endswith(".parquet") and not ended:
            raise FailingError("operation timed out")

    state = results_of(tmp_path, 30)
    memory.fails = fails
    assert forwarder(state, batch_parts=30).step().trouble
    assert len(lake.rows("defects")) == 20, "they are there before their parts"
    memory.fails = lambda _count, _path, _done: None
    send(forwarder(state, batch_parts=2))
    assert len(lake.rows("defects")) == 20
    assert lake.keys(ONE) == keys(state)


def test_a_slow_store_gets_fewer_parts(memory: Memory, lake: Lake, tmp_path: Path) -> None:
    sizes: list[int] = []

    def fails(_count: int, path: str, ended: bool) -> None:  # noqa: FBT001
        if path.startswith("parts/") and path.endswith(".parquet") and ended:
            sizes.append(len(lake.rows("parts")))
            if len(sizes) < 3:
                raise FailingError("error sending request: operation timed out")

    memory.fails = fails
    state = results_of(tmp_path, 40)
    troubles = send(forwarder(state, batch_parts=40))
    assert all("no answer within 60 s" in each for each in troubles)
    assert sizes[:3] == [40, 20, 10]
    assert lake.keys(ONE) == keys(state)


def test_parts_wait_for_others_by_number_or_time(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = Moment(NOON + timedelta(minutes=10), 0)
    monkeypatch.setattr("edge_inspector.forwarding.forwarder.moment", lambda: now)
    sending = forwarder(results_of(tmp_path, 4), batch_parts=10, hold_s=3600.0)
    assert sending.step() == Sent(parts=0, waiting=4, more=False)
    assert lake.paths("parts") == []
    results_of(tmp_path, 6, first=5)
    assert sending.step() == Sent(parts=10), "so many are enough"
    results_of(tmp_path, 1, first=11)
    assert sending.step().parts == 0
    now = Moment(now.utc - timedelta(days=300), int(3601e9))
    assert sending.step().parts == 1, "the clock was set back, and it has waited for long enough all the same"
    results_of(tmp_path, 1, first=12)
    now = Moment(NOON + timedelta(hours=3), int(3602e9))
    assert sending.step().parts == 1, "it waited already before this process began"


def test_results_that_were_begun_anew_or_restored_are_compared_with_what_is_there(lake: Lake, tmp_path: Path) -> None:
    state = results_of(tmp_path, 20)
    send(forwarder(state))
    results_path(state).unlink()
    results_of(state, 30, first=11)  # the last ten again, as from a backup
    send(forwarder(state, batch_parts=7))
    assert [row[1] for row in lake.keys(ONE)] == [str(seq) for seq in range(1, 41)]
    assert len(lake.rows("defects")) == 26
    assert not lake.note(ONE)["parts"]["comparing"], "all that follows is new"
    results_of(state, 5, first=41)
    send(forwarder(state))
    assert len(lake.keys(ONE)) == 45


def test_a_note_that_somebody_removed_costs_and_doubles_nothing(memory: Memory, lake: Lake, tmp_path: Path) -> None:
    state = results_of(tmp_path, 20)
    send(forwarder(state))
    obstore.delete(memory.store, f"stations/{ONE}.json")
    results_of(state, 5, first=21)
    send(forwarder(state, batch_parts=8))
    assert lake.keys(ONE) == keys(state)
    assert len(lake.rows("views")) == 25


def test_labels_whose_last_one_was_deleted_here_come_again_only_once(lake: Lake, tmp_path: Path) -> None:
    state = results_of(tmp_path, 9)
    results = Results(results_path(state))
    for part in (3, 4, 1):
        results.label(part, "", label="defect", defect_class="crack", user="anna", utc=NOON + timedelta(days=part))
    send(forwarder(state))
    with closing(sqlite3.connect(results_path(state))) as db, db:
        db.execute("PRAGMA foreign_keys=ON")
        db.execute("DELETE FROM parts WHERE id = 1")
    results.label(5, "", label="good", defect_class="", user="ben", utc=NOON + timedelta(days=5))
    send(forwarder(state))
    assert sorted(row["seq"] for row in lake.rows("labels")) == [1, 3, 4, 5]


def test_parts_that_retention_took_first_are_counted_once(lake: Lake, tmp_path: Path) -> None:
    state = results_of(tmp_path, 10)
    sending = forwarder(state)
    sending.step()
    results_of(state, 20, first=11)
    with closing(sqlite3.connect(results_path(state))) as db, db:
        db.execute("PRAGMA foreign_keys=ON")
        db.execute("DELETE FROM parts WHERE id <= 16")
    send(sending)
    assert lake.note(ONE)["lost"] == 6
    assert len(lake.keys(ONE)) == 24


def test_events_are_there_once_and_change(lake: Lake, tmp_path: Path) -> None:
    state = results_of(tmp_path, 1)
    with closing(LogbookWriter(logbook_path(state), BOOT)) as book:
        number = book.begin(code=101, subject="cam1", why="gone", fault=False, utc=NOON, recipe_id=3)
        book.begin(code=101, subject="cam2", why="gone", fault=False, utc=NOON + timedelta(days=20), recipe_id=3)
        send(forwarder(state))
        book.acknowledge(number, "anna", NOON + timedelta(hours=1))
    for _ in range(2):
        send(forwarder(state))
    rows = {row["subject"]: row for row in lake.rows("events")}
    assert len(lake.rows("events")) == 2
    assert (rows["cam1"]["acknowledged_by"], rows["cam2"]["acknowledged_by"]) == ("anna", None)
    assert rows["cam1"]["acknowledged"] == NOON + timedelta(hours=1)
    assert len(lake.paths("events")) == 2, "one file for each month"


def test_two_stations_of_one_name_are_refused_until_one_takes_over(lake: Lake, tmp_path: Path) -> None:
    send(forwarder(results_of(tmp_path / "one", 3)))
    twin = SendingStation(name="line-1", identity=TWO)
    with pytest.raises(DeviceError, match=r"another station is called 'line-1': change station\.name here, or, if"):
        BucketStore(table(), twin)
    BucketStore(table(), twin, take_over=True)
    send(forwarder(results_of(tmp_path / "two", 4), twin))
    assert (len(lake.keys(ONE)), len(lake.keys(TWO))) == (3, 4)


def test_a_renamed_station_is_asked_whether_it_is_a_copy(lake: Lake, tmp_path: Path) -> None:
    state = results_of(tmp_path, 3)
    send(forwarder(state))
    renamed = SendingStation(name="line-9", identity=ONE)
    with pytest.raises(DeviceError, match="this state folder has sent as 'line-1' before"):
        BucketStore(table(), renamed)
    BucketStore(table(), renamed, take_over=True)
    results_of(state, 2, first=4)
    send(forwarder(state, renamed))
    assert [row["station"] for row in lake.rows("parts")] == ["line-1"] * 3 + ["line-9"] * 2


def test_two_that_send_for_one_station_add_nothing_twice(lake: Lake, tmp_path: Path) -> None:
    state = results_of(tmp_path, 10)
    one, other = forwarder(state, batch_parts=4), forwarder(state, batch_parts=4)
    one.step()
    other._opened()
    one.step()
    assert "position was moved meanwhile" in other.step().trouble
    send(one)
    assert lake.keys(ONE) == keys(state)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"layout": 2}', b"\xff" * 10], ids=str)
def test_a_damaged_note_is_said_and_overwritten_by_nobody(memory: Memory, content: bytes, tmp_path: Path) -> None:
    path = f"stations/{ONE}.json"
    obstore.put(memory.store, path, content)
    trouble = forwarder(results_of(tmp_path, 1)).step().trouble
    assert f"{path} is damaged, or a newer version has written it" in trouble
    assert bytes(obstore.get(memory.store, path).bytes()) == content


def test_a_damaged_file_of_events_is_said(memory: Memory, tmp_path: Path) -> None:
    state = results_of(tmp_path, 1)
    with closing(LogbookWriter(logbook_path(state), BOOT)) as book:
        book.begin(code=101, subject="cam1", why="gone", fault=False, utc=NOON, recipe_id=3)
    obstore.put(memory.store, f"events/source={ONE}/month=2026-11/events.parquet", b"PAR1 not really PAR1")
    assert "events.parquet is damaged or none of ours. Move it out of the way" in forwarder(state).step().trouble


def test_numbers_that_are_none_and_dates_that_cannot_be_are_kept_apart(lake: Lake, tmp_path: Path) -> None:
    writer = ResultsWriter(results_path(tmp_path))
    for seq, area, utc in (
        (1, float("inf"), datetime(1970, 1, 1, tzinfo=UTC)),
        (2, 2.5, datetime(9999, 12, 31, tzinfo=UTC)),
    ):
        found = verdict(seq, views=(placed(frame_id=seq, defects=[defect(area_mm2=area)]),), error_mm=float("nan"))
        writer.add([StoredVerdict(found, utc, "", {})], [])
    writer.close()
    send(forwarder(tmp_path))
    assert [row["area_mm2"] for row in lake.rows("defects")] == [None, 2.5]
    assert [row["error_mm"] for row in lake.rows("parts")] == [None, None]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("<Code>NoSuchBucket</Code>", "there is no bucket 'results': make it, or correct bucket.bucket"),
        ("RequestTimeTooSkewed", "the clock of this station is wrong: check `timedatectl`"),
        ("InvalidAccessKeyId station", "it does not know this access key: look into AWS_ACCESS_KEY_ID"),
        ("SignatureDoesNotMatch a-secret-word", "the secret key does not fit the access key"),
        ("AccessDenied", "the key may not do that"),
        ("XMinioStorageFull", "it is full: make room there"),
        ("507 Insufficient Storage", "it is full: make room there"),
        (
            "invalid peer certificate: Expired",
            "its certificate was not signed by an authority that this machine trusts",
        ),
        ("dns error: no record", "no name server knows this host"),
        ("Connection refused (os error 111)", "nothing listens there: is it running?"),
        ("odd\n words\n\nDebug source:\nSecret {", "odd words"),
    ],
)
def test_an_error_of_the_store_says_what_to_do_and_no_key(memory: Memory, tmp_path: Path, said: str, told: str) -> None:
    def fails(_count: int, _path: str, _ended: bool) -> None:  # noqa: FBT001
        raise FailingError(said)

    memory.fails = fails
    trouble = forwarder(results_of(tmp_path, 1)).step().trouble
    assert trouble.startswith("bucket http://127.0.0.1:1/results: ")
    assert told in trouble
    assert "a-secret-word" not in trouble
    assert "\n" not in trouble
    assert "Secret {" not in trouble


def test_a_full_store_loses_nothing(memory: Memory, lake: Lake, tmp_path: Path) -> None:
    def full(_count: int, path: str, _ended: bool) -> None:  # noqa: FBT001
        if path.startswith("views/"):
            raise FailingError("507 Insufficient Storage")

    state = results_of(tmp_path, 30)
    sending = forwarder(state)
    sending.step()
    memory.fails = full
    for _ in range(3):
        assert "it is full" in sending.step().trouble
    assert len(lake.keys(ONE)) == 10
    memory.fails = lambda _count, _path, _done: None
    assert send(sending) == []
    assert lake.keys(ONE) == keys(state)


def test_a_note_says_once_a_minute_that_the_station_sends(memory: Memory, lake: Lake, tmp_path: Path) -> None:
    sending = forwarder(results_of(tmp_path, 3))
    for _ in range(3):
        sending.step()
    told = json.loads(lake.content(f"alive/{ONE}.json"))
    assert (told["station"], told["waiting"], told["lost"]) == ("line-1", 0, 0)
    before = memory.count
    sending.step()
    assert memory.count == before, "nothing new is nothing to say"


def test_an_object_of_another_size_is_not_read(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_LONGEST", 10)
    obstore.put(memory.store, f"stations/{ONE}.json", b"x" * 11)
    with pytest.raises(DeviceError, match="has 11 bytes: it is none of ours"):
        BucketStore(table(), LINE_1)


@pytest.mark.usefixtures("memory")
def test_check_says_who_writes_there(tmp_path: Path) -> None:
    assert probe(table()).endswith("no station writes there yet")
    send(forwarder(results_of(tmp_path, 1)))
    assert probe(table()).endswith("1 stations write there")


@pytest.fixture
def same_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of the tests must not become idle, or keep its log."""
    monkeypatch.setattr("edge_inspector.commands.forward.go_idle", lambda _: None)
    monkeypatch.setattr("edge_inspector.commands.forward.set_up_logging", lambda: None)


def bucket_file(folder: Path, lines: str) -> Path:
    path = station_file(folder, "")
    path.write_text(path.read_text().replace("[store]", "[bucket]") + lines + "\n")
    return path


PLACE = 'endpoint = "http://127.0.0.1:1"\nbucket = "results"'


@pytest.mark.usefixtures("same_process")
def test_the_command_sends_what_waits(lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = results_of(tmp_path / "state", 20)
    assert main(["forward", str(bucket_file(tmp_path, PLACE)), "--once"]) == 0
    assert capsys.readouterr().out == "20 parts sent\n"
    ((identity,),) = {(path.split("/")[1].partition("=")[2],) for path in lake.paths("parts")}
    assert lake.keys(identity) == keys(state)
    assert (state / "forwarded").read_text() == "20\n"


@pytest.mark.usefixtures("same_process")
@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('bucket = "results"', "bucket.endpoint: is missing"),
        ('endpoint = "s3.example"\nbucket = "results"', "bucket.endpoint: must be an address without a path"),
        ('endpoint = "https://a/b"\nbucket = "results"', "bucket.endpoint: must be an address without a path"),
        ('endpoint = "https://a"\nbucket = "No"', "bucket.bucket: must be 3 to 63 small letters"),
        (f'{PLACE}\nprefix = "../x/"', "bucket.prefix: must be empty, or names with a / behind each"),
        (f'{PLACE}\nsecret_key = "x"', "bucket.secret_key: unknown key"),
        (f'{PLACE}\nsecret_key_file = "nowhere"', "bucket.secret_key_file: "),
        (f'{PLACE}\nsecret_key_file = "two words"', "has no key in it: one line without spaces"),
        (f'{PLACE}\ntls_ca_file = "nowhere"', "bucket.tls_ca_file: "),
        (f'{PLACE}\ntls_ca_file = "two words"', "has no certificate in PEM"),
        (f'{PLACE}\n[store]\nhost = "db"', "store and bucket exclude each other"),
    ],
)
@pytest.mark.usefixtures("memory")
def test_a_wrong_table_is_said_in_a_line_each(
    tmp_path: Path, lines: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "two words").write_text("two words\n")
    results_of(tmp_path / "state", 1)
    assert main(["forward", str(bucket_file(tmp_path, lines)), "--once"]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("same_process", "memory")
def test_a_missing_key_is_said_with_both_ways_to_give_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    results_of(tmp_path / "state", 1)
    assert main(["forward", str(bucket_file(tmp_path, PLACE)), "--once"]) == 2
    said = capsys.readouterr().err
    assert "bucket.secret_key_file: is not set, and AWS_SECRET_ACCESS_KEY is not in the environment" in said


@pytest.mark.usefixtures("same_process")
def test_a_missing_library_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def without(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    results_of(tmp_path / "state", 1)
    for room in ("objects", "parquet"):
        with monkeypatch.context() as patched:
            patched.setattr(f"edge_inspector.forwarding.{room}.import_module", without)
            assert main(["forward", str(bucket_file(tmp_path, PLACE)), "--once"]) == 2
        assert "pip install 'edge-inspector[bucket]'" in capsys.readouterr().err


def test_cautions_tell_of_keys_and_networks_that_others_can_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("word\n")
    secret.chmod(0o644)
    open_one = table(endpoint="http://192.0.2.1:9000", secret_key_file=secret)
    assert [each.partition(":")[0] for each in open_one.cautions] == [
        "others can read the key",
        "results cross the network in plain text",
    ]
    secret.chmod(0o640)
    assert list(table(endpoint="https://192.0.2.1", secret_key_file=secret).cautions) == []


def test_a_key_file_that_is_gone_for_a_moment_ends_nothing(lake: Lake, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    state = results_of(tmp_path / "state", 3)
    sending = Forwarder(state, lambda: BucketStore(table(secret_key_file=secret), LINE_1), batch_parts=9)
    assert "cannot be read" in sending.step().trouble
    secret.write_text("word\n")
    assert send(sending) == []
    assert lake.keys(ONE) == keys(state)
