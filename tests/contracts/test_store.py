"""The plant's database: a real PostgreSQL has each part once, whatever is cut, killed, full, slow or wrong."""

import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
from support.certificates import Authority
from support.cut_wire import CutWire
from support.forwarding import NOON, keys, results_of, send, station_file
from support.postgres_server import DATABASE, USER, PostgresServer, find_programs, why_not
from support.verdicts import BOOT, defect, placed, verdict

from edge_inspector.errors import DeviceError
from edge_inspector.forwarding.forwarder import Forwarder
from edge_inspector.forwarding.postgres import SCRIPTS, SendingStation, Store, probe
from edge_inspector.forwarding.reading import read_batch
from edge_inspector.store.forwarded import read_forwarded
from edge_inspector.store.logbook import LogbookWriter, logbook_path
from edge_inspector.store.results import Results
from edge_inspector.store.results_file import results_path
from edge_inspector.store.results_writer import ResultsWriter, StoredVerdict

ROOT = Path(__file__).parents[2]
PROGRAMS = find_programs()
LINE_1 = SendingStation(name="line-1", identity="one", products={3: "shaft"})
WITHIN_S = 600.0

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


@pytest.fixture(scope="module")
def made() -> Iterator[PostgresServer]:
    """A server that does not run, because making its files takes seconds."""
    assert PROGRAMS is not None
    server = PostgresServer(PROGRAMS)
    try:
        server.create()
        server.stop()
        yield server
    finally:
        server.remove()


@pytest.fixture
def own(made: PostgresServer) -> Iterator[PostgresServer]:
    """A server for a test that stops it and starts it again."""
    server = made.copy()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="module")
def running(made: PostgresServer) -> Iterator[PostgresServer]:
    server = made.copy()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def server(running: PostgresServer) -> PostgresServer:
    running.forget()
    return running


@pytest.fixture
def wire(server: PostgresServer) -> Iterator[CutWire]:
    made = CutWire(server.port)
    yield made
    made.stop()


def forwarder(server: PostgresServer, state: Path, sender: SendingStation = LINE_1, **changes: Any) -> Forwarder:
    most = changes.pop("batch_parts", 100)
    return Forwarder(state, lambda: Store(server.settings(**changes), sender), batch_parts=most)


def there(server: PostgresServer) -> list[list[str]]:
    return server.ask("SELECT boot_id, seq, decision FROM parts ORDER BY boot_id, seq")


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_database_has_parts_views_defects_and_where_the_pictures_are(
    server: PostgresServer, tmp_path: Path
) -> None:
    state = results_of(tmp_path, 30)
    sender = replace(LINE_1, pictures_url="https://line-1.example/images/")
    assert send(forwarder(server, state, sender, batch_parts=7)) == []
    assert there(server) == keys(state)
    assert server.ask("SELECT count(*), count(DISTINCT (boot_id, seq)) FROM views") == [["30", "30"]]
    assert server.ask("SELECT defect_class, count(*) FROM defects GROUP BY 1 ORDER BY 1") == [
        ["crack", "10"],
        ["stain", "10"],
    ]
    (picture,) = server.ask("SELECT url FROM pictures WHERE part_seq = 3")
    assert picture == ["https://line-1.example/images/2026-11-21/cam1/part3.png"]
    day = "2026-11-21 00:00:00+00"
    assert server.ask("SELECT * FROM yield_by_product") == [
        [day, "shaft", "line-1", "30", "20", "10", "0", str(20 / 30)]
    ]
    assert server.ask("SELECT * FROM pareto ORDER BY defect_class") == [
        [day, "line-1", "shaft", "crack", "10", "10", "40"],
        [day, "line-1", "shaft", "stain", "10", "10", "15"],
    ]


@pytest.mark.parametrize("seed", range(4))
def test_a_network_that_is_cut_anywhere_costs_no_part_and_doubles_none(
    server: PostgresServer, wire: CutWire, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    state = results_of(tmp_path, 200)
    sending = forwarder(server, state, port=wire.port, batch_parts=23)
    cuts = 0
    for _ in range(1000):
        if wire.is_cut and cuts < 6:
            cuts += 1
            wire.cut_after(chance.randrange(1, 20_000))
        done = sending.step()
        if not done.trouble and not done.more:
            break
    sending.close()
    assert cuts > 1
    assert there(server) == keys(state)
    assert server.ask("SELECT count(*) FROM defects") == [["132"]]
    (position,) = server.ask("SELECT part_id, lost FROM stations")
    assert position == ["200", "0"]


def test_killed_senders_and_a_killed_server_cost_no_part_and_double_none(own: PostgresServer, tmp_path: Path) -> None:
    server = own
    place = f'host = "127.0.0.1"\nport = {server.port}\npassword_file = "{server.password_file}"\nbatch_parts = 20'
    path = station_file(tmp_path, f"{place}\ninterval_s = 0.1")
    state = results_of(tmp_path / "state", 600)
    command = [sys.executable, "-m", "edge_inspector", "forward", str(path)]
    reached = 0
    for kill in range(3):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            until(lambda at=reached: arrived(server) > at)
            if kill == 1:
                server.kill()
            process.kill()
        if kill == 1:
            server.start()
        reached = arrived(server)
    results_of(state, 100, first=601)
    subprocess.run([*command, "--once"], check=True, timeout=300)
    assert there(server) == keys(state)
    assert read_forwarded(state) == 700


def arrived(server: PostgresServer) -> int:
    (known,) = server.sql("SELECT to_regclass('edge_inspector.parts') IS NOT NULL", database=DATABASE)
    return int(server.ask("SELECT count(*) FROM parts")[0][0]) if known == ["t"] else 0


def test_a_sender_that_is_told_to_stop_stops(server: PostgresServer, tmp_path: Path) -> None:
    place = f'host = "127.0.0.1"\nport = {server.port}\npassword_file = "{server.password_file}"'
    path = station_file(tmp_path, place)
    results_of(tmp_path / "state", 5)
    command = [sys.executable, "-m", "edge_inspector", "forward", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: arrived(server) == 5)
        process.send_signal(signal.SIGTERM)
        said = process.communicate()[1]
    assert process.returncode == 0
    assert "Traceback" not in said


def test_a_results_file_that_was_begun_anew_is_sent_beside_what_is_there(
    server: PostgresServer, tmp_path: Path
) -> None:
    state = results_of(tmp_path, 20)
    send(forwarder(server, state))
    results_path(state).unlink()
    results_of(state, 30, first=11)  # the last ten again, as from a backup
    send(forwarder(server, state, batch_parts=7))
    assert [row[1] for row in there(server)] == [str(seq) for seq in range(1, 41)]


def test_labels_that_come_later_show_the_escapes_and_the_last_one_counts(
    server: PostgresServer, tmp_path: Path
) -> None:
    state = results_of(tmp_path, 5)
    sending = forwarder(server, state)
    sending.step()
    results = Results(results_path(state))
    odd = 'Risß \0 "трещина"\t裂纹 \\N \\.\n;--'
    for part, label, minutes in ((1, "defect", 1), (2, "defect", 2), (2, "good", 3), (3, "defect", 4)):
        utc = NOON + timedelta(days=2, minutes=minutes)
        results.label(part, "", label=label, defect_class=odd, user="anna", utc=utc)  # type: ignore[arg-type]
    assert send(sending) == []
    query = "SELECT to_json(escapes) FROM escapes"
    (escape,) = [json.loads("|".join(row)) for row in server.ask(query)]
    assert (escape["part_seq"], escape["person"]) == (1, "anna")
    assert escape["defect_class"] == odd.replace("\0", "\ufffd")
    assert server.ask("SELECT count(*) FROM labels") == [["4"]]


def test_an_event_is_told_when_it_begins_and_again_when_it_has_ended(server: PostgresServer, tmp_path: Path) -> None:
    state = results_of(tmp_path, 1)
    with closing(LogbookWriter(logbook_path(state), BOOT)) as book:
        number = book.begin(code=101, subject="cam1\0", why="gone", fault=False, utc=NOON, recipe_id=3)
        send(forwarder(server, state))
        assert server.ask("SELECT name, subject, ended FROM events") == [["camera_lost", "cam1\ufffd", ""]]
        book.acknowledge(number, "anna", NOON + timedelta(hours=1))
    send(forwarder(server, state))
    assert server.ask("SELECT count(*), max(acknowledged_by) FROM events") == [["1", "anna"]]


def test_numbers_that_are_none_and_dates_that_cannot_be_spoil_no_view(server: PostgresServer, tmp_path: Path) -> None:
    entries = [
        StoredVerdict(
            verdict(seq, views=(placed(frame_id=seq, defects=[defect(area_mm2=area)]),), error_mm=float("nan")),
            utc,
            "",
            {},
        )
        for seq, area, utc in (
            (1, float("inf"), datetime(1970, 1, 1, tzinfo=UTC)),
            (2, 2.5, datetime(9999, 12, 31, tzinfo=UTC)),
        )
    ]
    writer = ResultsWriter(results_path(tmp_path))
    writer.add(entries, [])
    writer.close()
    assert send(forwarder(server, tmp_path)) == []
    assert server.ask("SELECT sum(area_mm2), count(*) FROM pareto GROUP BY defect_class") == [["2.5", "2"]]
    assert server.ask("SELECT count(*) FROM judged WHERE at > now() + interval '1 minute'") == [["0"]]


def test_a_clock_ahead_is_said_and_puts_no_part_into_the_future(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from edge_inspector.forwarding import postgres  # noqa: PLC0415

    real = postgres.moment
    monkeypatch.setattr(postgres, "moment", lambda: replace(real(), utc=real().utc + timedelta(days=1)))
    send(forwarder(server, results_of(tmp_path, 1)))
    assert "s ahead of the store's: check `timedatectl`" in caplog.text
    assert server.ask("SELECT round(clock_ahead_s / 3600) FROM senders") == [["24"]]


def test_a_full_database_loses_nothing(server: PostgresServer, tmp_path: Path) -> None:
    state = results_of(tmp_path, 50)
    sending = forwarder(server, state, batch_parts=20)
    sending.step()
    full = "CREATE FUNCTION edge_inspector.full() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE"
    server.sql(
        f"{full} 'could not extend file' USING ERRCODE = '53100'; END$$",
        "CREATE TRIGGER full_now BEFORE INSERT ON edge_inspector.defects EXECUTE FUNCTION edge_inspector.full()",
        database=DATABASE,
    )
    for _ in range(3):
        assert "its disk is full: make room there" in sending.step().trouble
    assert len(there(server)) == 20, "a batch is added whole, or nothing of it"
    server.sql("DROP TRIGGER full_now ON edge_inspector.defects", database=DATABASE)
    assert send(sending) == []
    assert there(server) == keys(state)


def test_a_slow_database_gets_smaller_batches(server: PostgresServer, tmp_path: Path) -> None:
    state = results_of(tmp_path, 60)
    send(forwarder(server, results_of(tmp_path / "other", 1), SendingStation(name="line-2", identity="two")))
    slow = "CREATE FUNCTION edge_inspector.slow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM"
    server.sql(
        f"{slow} pg_sleep(0.05); RETURN NEW; END$$",
        "CREATE TRIGGER slow_now BEFORE INSERT ON edge_inspector.parts"
        " FOR EACH ROW EXECUTE FUNCTION edge_inspector.slow()",
        database=DATABASE,
    )
    troubles = send(forwarder(server, state, batch_parts=60, timeout_s=1.0))
    assert troubles
    assert all("It is tried again with fewer parts" in each for each in troubles)
    assert len(there(server)) == 61


def test_two_stations_of_one_name_are_refused_until_one_takes_over(server: PostgresServer, tmp_path: Path) -> None:
    send(forwarder(server, results_of(tmp_path / "one", 3)))
    other = results_of(tmp_path / "two", 4, first=101)
    twin = replace(LINE_1, identity="two")
    with pytest.raises(DeviceError, match=r"another station is called 'line-1' \(last seen .*--take-over"):
        Store(server.settings(), twin)
    Store(server.settings(), twin, take_over=True).close()
    send(forwarder(server, other, twin))
    assert len(there(server)) == 7
    with pytest.raises(DeviceError, match="another station is called"):
        Store(server.settings(), LINE_1)


def test_a_renamed_station_is_asked_whether_it_is_a_copy_and_then_sends_nothing_twice(
    server: PostgresServer, tmp_path: Path
) -> None:
    state = results_of(tmp_path, 5)
    send(forwarder(server, state))
    send(forwarder(server, results_of(tmp_path / "other", 1), SendingStation(name="line-2", identity="two")))
    renamed = replace(LINE_1, name="line-9")
    with pytest.raises(
        DeviceError, match=r"this state folder has sent as 'line-1' before\. If the station was renamed"
    ):
        Store(server.settings(), renamed)
    with pytest.raises(DeviceError, match="'line-2' is another station, and this state folder has sent under another"):
        Store(server.settings(), replace(LINE_1, name="line-2"), take_over=True)
    Store(server.settings(), renamed, take_over=True).close()
    send(forwarder(server, state, renamed))
    assert server.ask("SELECT station, count(*) FROM judged GROUP BY 1 ORDER BY 1") == [
        ["line-2", "1"],
        ["line-9", "5"],
    ]


def test_two_that_send_for_one_station_add_nothing_twice(server: PostgresServer, tmp_path: Path) -> None:
    state = results_of(tmp_path, 10)
    with closing(Store(server.settings(), LINE_1)) as one, closing(Store(server.settings(), LINE_1)) as other:
        batch = read_batch(results_path(state), one.position(), 100)
        one.add(batch)
        with pytest.raises(DeviceError, match="position was moved meanwhile"):
            other.add(batch)
    assert there(server) == keys(state)


def test_a_newer_schema_is_refused_and_an_older_one_is_made_new(server: PostgresServer) -> None:
    Store(server.settings(), LINE_1).close()
    assert server.ask("SELECT max(version) FROM schema_version") == [[str(len(SCRIPTS))]]
    server.ask("INSERT INTO schema_version VALUES (99)")
    with pytest.raises(DeviceError, match=f"it has schema 99, this version knows {len(SCRIPTS)}: update this station"):
        Store(server.settings(), LINE_1)
    server.forget()
    server.sql(
        "CREATE SCHEMA edge_inspector", f"GRANT ALL ON SCHEMA edge_inspector TO {USER}", database=DATABASE
    )  # as an administrator makes it
    Store(server.settings(), LINE_1).close()


STAND_IN = (
    "CREATE TABLE public.made (relation regclass, span interval, migrates boolean)",
    "CREATE FUNCTION public.by_range(name, interval) RETURNS interval LANGUAGE sql AS 'SELECT $2'",
    """CREATE FUNCTION public.create_hypertable(relation regclass, dimension interval, migrate_data boolean)
    RETURNS void LANGUAGE sql SECURITY DEFINER
    AS 'INSERT INTO public.made VALUES (relation, dimension, migrate_data)'""",
)
"""For TimescaleDB, whose server is not in the distribution."""


def test_with_timescaledb_parts_become_a_hypertable_once_and_are_still_there_once(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = results_of(tmp_path, 20)
    send(forwarder(server, state))
    assert "it has no TimescaleDB" in forwarder(server, state, hypertable_days=7).step().trouble
    server.sql(*STAND_IN, database=DATABASE)
    monkeypatch.setattr("edge_inspector.forwarding.postgres.EXTENSION", "SELECT 'public'")
    try:
        results_of(state, 10, first=21)
        assert send(forwarder(server, state, hypertable_days=7, batch_parts=4)) == []
        server.ask("UPDATE stations SET part_id = 0, part_us = 0")  # all of it again
        assert send(forwarder(server, state, hypertable_days=7)) == []
        made = server.sql("SELECT relation, span, migrates FROM public.made", database=DATABASE)
    finally:
        server.sql(
            "DROP FUNCTION public.create_hypertable", "DROP FUNCTION public.by_range", "DROP TABLE public.made",
            database=DATABASE,
        )  # fmt: skip
    assert made == [["edge_inspector.parts", "7 days", "t"]]
    assert there(server) == keys(state)
    assert server.ask("SELECT count(*) FROM defects") == [["20"]]
    (key,) = server.ask("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'parts_pkey'")
    assert key == ["PRIMARY KEY (station_id, boot_id, seq, utc)"]
    referring = "SELECT conrelid::regclass FROM pg_constraint WHERE contype = 'f' AND confrelid = 'parts'::regclass"
    assert server.ask(referring) == [], "no table may refer to a hypertable's rows without their time"
    assert server.ask("SELECT sum(parts) FROM yield_by_product") == [["30"]]


def test_check_says_what_is_there_and_changes_nothing(server: PostgresServer) -> None:
    assert probe(server.settings()).endswith("empty, forward will make its tables")
    assert server.sql("SELECT to_regnamespace('edge_inspector')", database=DATABASE) == [[""]]
    Store(server.settings(), LINE_1).close()
    assert probe(server.settings()).endswith(f"schema {len(SCRIPTS)} of {len(SCRIPTS)}")


def test_a_station_that_was_removed_meanwhile_signs_in_again(server: PostgresServer, tmp_path: Path) -> None:
    state = results_of(tmp_path, 3)
    sending = forwarder(server, state)
    sending.step()
    server.ask("TRUNCATE stations CASCADE")
    assert "somebody removed this station from it" in sending.step().trouble
    assert send(sending) == []
    assert there(server) == keys(state)


def test_a_wrong_password_name_or_address_is_one_line(server: PostgresServer, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not it\n")
    for changes, said in (
        ({"password_file": wrong}, f"wrong password for user 'edge_inspector': look into {wrong}"),
        ({"password_file": None}, "the server wants a password: set store.password_file"),
        ({"database": "nowhere"}, "there is no such database or user: createuser -P edge_inspector"),
        ({"username": "nobody"}, "it lets nobody in from here: add a line for user 'nobody'"),
        ({"port": 1}, "nothing listens there"),
        ({"tls_system_ca": True}, "it offers no TLS, and the station file demands it"),
    ):
        with pytest.raises(DeviceError) as caught:
            Store(server.settings(**changes), LINE_1)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
        assert "not it" not in str(caught.value)


def test_tls_is_used_if_its_certificate_is_right_and_refused_if_not(
    own: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = own
    certificates(server)
    right = tmp_path / "right.crt"
    shutil.copy(server.data / "server.crt", right)
    other = tmp_path / "other.crt"
    make_certificate(other, tmp_path / "other.key")
    server.stop()
    server.start(ssl="on")
    with closing(Store(server.settings(tls_ca_file=right), LINE_1)) as store:
        assert store._one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == (True,)
    monkeypatch.setenv("SSL_CERT_FILE", str(right))
    Store(server.settings(tls_system_ca=True), LINE_1).close()
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    with pytest.raises(DeviceError, match="its certificate was not signed by an authority that this machine trusts"):
        Store(server.settings(tls_system_ca=True), LINE_1)
    with pytest.raises(DeviceError, match=f"its certificate was not signed by {other}"):
        Store(server.settings(tls_ca_file=other), LINE_1)
    with pytest.raises(DeviceError, match="its certificate is for another name than 'localhost'"):
        Store(server.settings(tls_ca_file=right, host="localhost"), LINE_1)


def test_a_certificate_of_the_database_that_has_expired_is_told_and_costs_no_part(
    own: PostgresServer, tmp_path: Path
) -> None:
    server, works = own, Authority()
    ca = tmp_path / "works.pem"
    ca.write_bytes(works.certificate)
    state = results_of(tmp_path / "state", 4)
    for ago, told in ((timedelta(hours=1), "or has expired"), (timedelta(days=-2), "")):
        made = works.server(ended=ago)
        for name, content in (("server.crt", made.public), ("server.key", made.private)):
            (server.data / name).write_bytes(content)
            (server.data / name).chmod(0o600)
            shutil.chown(server.data / name, server.data.owner(), server.data.group())
        server.stop()
        server.start(ssl="on")
        sending = forwarder(server, state, tls_ca_file=ca)
        done = sending.step()
        sending.close()
        assert told in done.trouble
        assert bool(done.trouble) is bool(told)
    assert there(server) == keys(state)


def certificates(server: PostgresServer) -> None:
    key = server.data / "server.key"
    make_certificate(server.data / "server.crt", key)
    key.chmod(0o600)
    shutil.chown(key, server.data.owner(), server.data.group())


def make_certificate(path: Path, key: Path) -> None:
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    name = ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*made, *name, "-out", path, "-keyout", key], check=True, capture_output=True)


def test_an_encoding_without_all_scripts_is_refused(server: PostgresServer) -> None:
    server.sql(f"CREATE DATABASE latin OWNER {USER} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    with pytest.raises(DeviceError, match="it has the encoding LATIN1, and labels may be in any script"):
        Store(server.settings(database="latin"), LINE_1)
    server.sql("DROP DATABASE latin")


def test_the_database_answers_every_query_of_the_dashboard(server: PostgresServer, tmp_path: Path) -> None:
    state = results_of(tmp_path, 30)
    Results(results_path(state)).label(1, "", label="defect", defect_class="crack", user="anna", utc=NOON)
    send(forwarder(server, state))
    board = json.loads((ROOT / "deploy" / "grafana" / "store" / "store.json").read_text())
    queries = [target["rawSql"] for panel in board["panels"] for target in panel.get("targets", [])]
    assert len(queries) > 5
    for query in queries:
        assert server.ask(filled(query)), query
    for variable in board["templating"]["list"]:
        assert variable["type"] == "datasource" or server.ask(variable["query"])


def test_the_database_does_what_the_how_to_says(server: PostgresServer, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "store.md").read_text()
    (rights,) = re.findall(r"<<'SQL'\n(.*?)SQL\n", page, re.DOTALL)
    (questions,) = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    send(forwarder(server, results_of(tmp_path, 30)))
    server.sql("DROP ROLE IF EXISTS grafana", "CREATE ROLE grafana", *rights.splitlines(), database=DATABASE)
    try:
        asked = ["SET ROLE grafana", "SET search_path = edge_inspector", *questions.splitlines()]
        assert ["crack", "line-1", "10"] in server.sql(*asked, database=DATABASE)
        views = re.findall(r"^\| .* \| `(\w+)`", page, re.MULTILINE)
        assert {"yield_by_product", "pareto", "escapes", "senders"} <= set(views)
        for view in views:
            server.sql("SET ROLE grafana", f"TABLE edge_inspector.{view}", database=DATABASE)
    finally:
        server.sql("DROP OWNED BY grafana", "DROP ROLE grafana", database=DATABASE)


def filled(query: str) -> str:
    """The query as Grafana asks it."""
    span = "BETWEEN '2026-11-01' AND '2027-11-30'"
    text = query.replace("$__timeFilter(at)", f"at {span}").replace("$__timeFilter(begun)", f"begun {span}")
    text = text.replace("$__timeGroupAlias(at, $__interval)", "date_trunc('hour', at) AS time")
    text = text.replace("$station", "'line-1'").replace("$product", "'shaft'")
    assert "$" not in text
    return text
