"""The plant's database: one connection to PostgreSQL, its schema, and rows that go in exactly once."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from edge_inspector.errors import ConfigError, DeviceError, Fault
from edge_inspector.forwarding.hypertable import EXTENSION, KEY_COLUMNS, ORDINARY, hypertable
from edge_inspector.forwarding.reading import COLUMNS, Batch, Reached, Row, RowMark
from edge_inspector.forwarding.sender import SendingStation, SmallerBatchError
from edge_inspector.forwarding.settings import StoreTable
from edge_inspector.forwarding.words import in_words
from edge_inspector.runtime.clock import moment

SCHEMA: Final = "edge_inspector"
SCRIPTS: Final = sorted((Path(__file__).parent / "sql").glob("[0-9]*.sql"))
_MIGRATING: Final = 0x65646765  # "edge": the number of a lock, so that two stations do not migrate at once
_CONNECT_S: Final = 10
_AUTHORITIES: Final = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")  # Debian, Red Hat
_TAKE_OVER: Final = "`edge-inspector forward STATION.toml --take-over`"

_CHANGING: Final = ("ended", "parts", "rejected", "not_inspected", "acknowledged_by", "acknowledged")


class StoreSession:
    """An open connection to a database that can keep results. Every method raises DeviceError."""

    def __init__(self, settings: StoreTable) -> None:
        self._settings = settings
        self._psycopg = _library()
        with self._telling():
            self._db: Any = self._psycopg.connect(**_connection(settings), autocommit=True)
        with self._closed_after_an_error():
            self._refuse_encoding()

    def version(self) -> int:
        """The number of the last script that was run here. 0 for a new database. One that is newer is refused."""
        with self._telling():
            if self._one("SELECT to_regclass(%s)", f"{SCHEMA}.schema_version") == (None,):
                return 0
            (there,) = self._one("SELECT coalesce(max(version), 0) FROM schema_version")
        if there > len(SCRIPTS):
            raise DeviceError(
                f"{self._settings.place}: it has schema {there}, this version knows {len(SCRIPTS)}:"
                " update this station. Its results wait here"
            )
        return int(there)

    def close(self) -> None:
        """Close the connection. Safe to call twice."""
        self._db.close()

    def _refuse_encoding(self) -> None:
        with self._telling():
            (encoding,) = self._one("SHOW server_encoding")
        if encoding != "UTF8":
            raise DeviceError(
                f"{self._settings.place}: it has the encoding {encoding}, and labels may be in any script."
                f" Make another one: createdb -T template0 -E UTF8 {self._settings.database}"
            )

    def _one(self, query: str, *values: Any) -> Row:
        found: Row | None = self._db.execute(query, values or None).fetchone()
        if found is None:
            raise DeviceError(f"{self._settings.place}: somebody removed this station from it")
        return found

    @contextmanager
    def _closed_after_an_error(self) -> Iterator[None]:
        with ExitStack() as after_an_error:
            after_an_error.callback(self.close)
            yield
            after_an_error.pop_all()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except self._psycopg.errors.QueryCanceled as error:
            raise SmallerBatchError(in_words(error, self._settings)) from error
        except self._psycopg.Error as error:
            raise DeviceError(in_words(error, self._settings)) from error
        except OSError as error:
            raise DeviceError(f"{self._settings.place}: {error}") from error


class Store(StoreSession):
    """A session in which one station sends. Close it after an error, and open a new one.

    `clock_ahead_s` is how far this machine's clock is ahead of the server's. Raises ConfigError if psycopg is missing.
    """

    def __init__(self, settings: StoreTable, sender: SendingStation, *, take_over: bool = False) -> None:
        super().__init__(settings)
        with self._closed_after_an_error(), self._telling():
            self._migrate()
            self._station = self._sign_in(sender, take_over=take_over)
            self._make_room_for_copies()
            self.clock_ahead_s = self._clock_ahead_s()

    def position(self) -> Reached:
        """Up to where the database has this station's results."""
        with self._telling():
            query = "SELECT part_id, part_us, label_id, label_us FROM stations WHERE station_id = %s"
            part_id, part_us, label_id, label_us = self._one(query, self._station)
        return Reached(RowMark(part_id, part_us), RowMark(label_id, label_us))

    def add(self, batch: Batch) -> None:
        """Add the rows and move the position in one transaction. Rows that are there already stay as they are.

        If the position is not that before the batch, nothing is added.
        """
        with self._telling(), self._db.transaction():
            self._move(batch)
            for table in ("parts", "views", "defects", "labels"):
                self._copy(table, getattr(batch, table))
                self._db.execute(
                    f"INSERT INTO {table} (station_id, {COLUMNS[table]}) SELECT %s, {COLUMNS[table]}"  # noqa: S608 -- of constants
                    f" FROM incoming_{table} ORDER BY place ON CONFLICT DO NOTHING",
                    (self._station,),
                )

    def tell_events(self, events: Sequence[Row]) -> None:
        """Add the events, and change those that have ended or were acknowledged since they were told."""
        changes = ", ".join(f"{name} = excluded.{name}" for name in _CHANGING)
        with self._telling(), self._db.transaction():
            self._copy("events", events)
            self._db.execute(
                f"INSERT INTO events (station_id, {COLUMNS['events']}) SELECT DISTINCT ON (begun, code, subject)"  # noqa: S608 -- of constants
                f" %s::integer, {COLUMNS['events']} FROM incoming_events"
                f" ON CONFLICT (station_id, begun, code, subject) DO UPDATE SET {changes}",
                (self._station,),
            )

    def tell_alive(self, waiting: int) -> None:
        """Write down that the station sends, and how many parts it still has to send."""
        with self._telling():
            self.clock_ahead_s = self._clock_ahead_s()
            self._db.execute(
                "UPDATE stations SET seen = now(), waiting = %s, clock_ahead_s = %s WHERE station_id = %s",
                (waiting, self.clock_ahead_s, self._station),
            )

    def _move(self, batch: Batch) -> None:
        moved = self._db.execute(
            "UPDATE stations SET part_id = %s, part_us = %s, label_id = %s, label_us = %s, waiting = %s,"
            " lost = lost + %s, clock_ahead_s = %s, seen = now()"
            " WHERE station_id = %s AND (part_id, part_us, label_id, label_us) = (%s, %s, %s, %s)",
            (
                *batch.after.part,
                *batch.after.label,
                batch.waiting,
                batch.lost,
                self.clock_ahead_s,
                self._station,
                *batch.before.part,
                *batch.before.label,
            ),
        )
        if moved.rowcount != 1:
            raise DeviceError(
                f"{self._settings.place}: this station's position was moved meanwhile. If this comes again, another"
                " station runs with a copy of this state folder: remove station-id there, and change its station.name"
            )

    def _copy(self, table: str, rows: Sequence[Row]) -> None:
        if rows:
            with (
                self._db.cursor() as cursor,
                cursor.copy(f"COPY incoming_{table} ({COLUMNS[table]}) FROM STDIN") as copy,
            ):
                for row in rows:
                    copy.write_row(row)

    def _make_room_for_copies(self) -> None:
        """Tables of this connection alone. COPY itself cannot leave out rows that are there already."""
        for table, columns in COLUMNS.items():
            self._db.execute(
                f"CREATE TEMP TABLE incoming_{table} ON COMMIT DELETE ROWS AS"  # noqa: S608 -- of constants
                f" SELECT {columns} FROM {table} WITH NO DATA"
            )
            self._db.execute(f"ALTER TABLE incoming_{table} ADD place integer GENERATED ALWAYS AS IDENTITY")

    def _migrate(self) -> None:
        with self._db.transaction():
            self._db.execute("SET LOCAL statement_timeout = 0")  # a script may have millions of rows to change
            self._db.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATING,))
            there = self.version()
            if not there:
                self._make_schema()
            for number, script in enumerate(SCRIPTS[there:], there + 1):
                self._db.execute(script.read_text(encoding="utf-8"))
                self._db.execute("INSERT INTO schema_version (version) VALUES (%s)", (number,))
            if self._settings.hypertable_days:
                self._make_hypertable(self._settings.hypertable_days)

    def _make_hypertable(self, days: int) -> None:
        """Raises DeviceError if the database does not have the extension. It stays a hypertable ever after."""
        if self._one(KEY_COLUMNS) != (ORDINARY,):
            return
        (extension,) = self._one(EXTENSION)
        if extension is None:
            raise DeviceError(
                f"{self._settings.place}: it has no TimescaleDB. As its administrator: CREATE EXTENSION timescaledb;"
                " or remove store.hypertable_days"
            )
        for statement in hypertable(extension, days):
            self._db.execute(statement)

    def _make_schema(self) -> None:
        """The schema may be there already, made by an administrator."""
        if self._one("SELECT to_regnamespace(%s)", SCHEMA) == (None,):
            self._db.execute(f"CREATE SCHEMA {SCHEMA}")
        self._db.execute(
            "CREATE TABLE schema_version (version integer PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())"
        )

    def _sign_in(self, sender: SendingStation, *, take_over: bool) -> int:
        """The number of the station's row, with what it says of itself."""
        with self._db.transaction():
            query = "SELECT station_id, name, identity, seen FROM stations WHERE name = %s OR identity = %s FOR UPDATE"
            found = self._db.execute(query, (sender.name, sender.identity)).fetchall()
            if any((name, identity) != (sender.name, sender.identity) for _, name, identity, _ in found):
                self._take_over(sender, found) if take_over else self._refuse(sender, found)
            (number,) = self._one(
                "INSERT INTO stations (name, identity, pictures_url) VALUES (%s, %s, %s)"
                " ON CONFLICT (name) DO UPDATE SET pictures_url = excluded.pictures_url RETURNING station_id",
                sender.name,
                sender.identity,
                sender.pictures_url,
            )
            for recipe_id, name in (sender.products or {}).items():
                self._db.execute(
                    "INSERT INTO products (station_id, recipe_id, name) VALUES (%s, %s, %s)"
                    " ON CONFLICT (station_id, recipe_id) DO UPDATE SET name = excluded.name",
                    (number, recipe_id, name),
                )
        return int(number)

    def _refuse(self, sender: SendingStation, found: Sequence[Row]) -> None:
        """Another state folder has this name, or this one has sent under another name."""
        for _, name, identity, seen in found:
            if identity != sender.identity:
                last = "never" if seen is None else f"{seen:%Y-%m-%d %H:%M}"
                raise DeviceError(
                    f"{self._settings.place}: another station is called {name!r} (last seen {last}): change"
                    f" station.name here, or, if this machine replaces that one, type {_TAKE_OVER}"
                )
        raise DeviceError(
            f"{self._settings.place}: this state folder has sent as {found[0][1]!r} before. If the station was renamed,"
            f" type {_TAKE_OVER}. If the folder is a copy of that station's, empty it"
        )

    def _take_over(self, sender: SendingStation, found: Sequence[Row]) -> None:
        if len(found) > 1:
            raise DeviceError(
                f"{self._settings.place}: {sender.name!r} is another station, and this state folder has sent under"
                " another name: remove station-id in it, and type the same again"
            )
        ((number, name, _, _),) = found
        anew = "" if name != sender.name else ", part_id = 0, part_us = 0, label_id = 0, label_us = 0"
        self._db.execute(
            f"UPDATE stations SET name = %s, identity = %s{anew} WHERE station_id = %s",  # noqa: S608 -- of constants
            (sender.name, sender.identity, number),
        )

    def _clock_ahead_s(self) -> float:
        (theirs,) = self._one("SELECT clock_timestamp()")
        return float((moment().utc - theirs).total_seconds())


def require(settings: StoreTable) -> None:
    """Raises ConfigError for what does not become right by itself: no library, no password, no authorities."""
    _library()
    _connection(settings)


def probe(settings: StoreTable) -> str:
    """What is there, for people. It changes nothing. Raises DeviceError or ConfigError if results cannot go there."""
    session = StoreSession(settings)
    try:
        there = session.version()
    finally:
        session.close()
    return f"{settings.place}: " + (
        f"schema {there} of {len(SCRIPTS)}" if there else "empty, forward will make its tables"
    )


def _connection(settings: StoreTable) -> dict[str, Any]:
    """What psycopg needs. A connection that nobody uses any more ends at the server, so that it holds no lock."""
    wait_ms, seconds = int(settings.timeout_s * 1000), max(1, int(settings.timeout_s))
    server = {
        "search_path": SCHEMA,
        "statement_timeout": wait_ms,
        "idle_in_transaction_session_timeout": 2 * wait_ms,
        "TimeZone": "UTC",
    }
    tls = "verify-full" if settings.uses_tls else "prefer"
    return {
        "host": settings.host,
        "port": settings.port,
        "dbname": settings.database,
        "user": settings.username,
        "password": _password(settings),
        "passfile": "/dev/null",  # not the file of whoever types the command
        "application_name": "edge-inspector",
        "client_encoding": "utf8",
        "connect_timeout": _CONNECT_S,
        "keepalives_idle": seconds,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 2 * wait_ms,
        "options": " ".join(f"-c {key}={value}" for key, value in server.items()),
        "sslmode": tls,
        "gssencmode": "disable",
        **_authority(settings),
    }


def _authority(settings: StoreTable) -> dict[str, Any]:
    if settings.tls_ca_file is not None:
        return {"sslrootcert": str(settings.tls_ca_file)}
    return {"sslrootcert": str(_system_authorities())} if settings.tls_system_ca else {}


def _system_authorities() -> Path:
    """The file with the authorities that this machine trusts. psycopg's own OpenSSL looks elsewhere."""
    listed = (ssl.get_default_verify_paths().cafile, *_AUTHORITIES)
    found = next((Path(each) for each in listed if each is not None and Path(each).is_file()), None)
    if found is None:
        raise ConfigError([Fault("store.tls_system_ca", "this machine has no list: apt install ca-certificates")])
    return found


def _password(settings: StoreTable) -> str | None:
    try:
        return settings.password()
    except OSError as error:
        what = f"{settings.password_file} cannot be read: {error.strerror}"
        raise ConfigError([Fault("store.password_file", what)]) from error
    except ValueError as error:
        what = f"{settings.password_file} is no UTF-8 text: save it as such"
        raise ConfigError([Fault("store.password_file", what)]) from error


def _library() -> Any:
    try:
        return import_module("psycopg")
    except ImportError as error:
        raise ConfigError([Fault("store", f"{error}: pip install 'edge-inspector[postgres]'")]) from error
