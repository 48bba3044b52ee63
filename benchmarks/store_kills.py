"""Kills on the way to the plant's store: afterwards it must have each verdict exactly once.

`PYTHONPATH=tests:. python benchmarks/store_kills.py --kills 50 --seed 1`. It needs PostgreSQL of the distribution. With
`--to bucket` the store is a bucket, and it needs SeaweedFS.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from support.cut_wire import CutWire
from support.forwarding import keys, results_of, station_file
from support.postgres_server import PostgresServer, find_programs, why_not
from support.s3_server import BUCKET, S3Server
from support.s3_server import why_not as s3_why_not

from edge_inspector.forwarding.objects import Objects
from edge_inspector.store.results_file import results_path
from edge_inspector.store.station_id import station_id

PATIENCE_S = 600.0
KINDS = ("sender", "server", "network")
BESIDE = ("views", "defects")


class Database:
    """A PostgreSQL, and how a station names it."""

    table = "store"
    most_bytes = 60_000  # before a cut

    def __init__(self) -> None:
        programs = find_programs()
        if programs is None or why_not():
            raise RuntimeError(why_not())
        self.server = PostgresServer(programs)
        self.server.create()

    def lines(self, port: int) -> str:
        """The lines of the table."""
        place = f'host = "127.0.0.1"\nport = {port}\npassword_file = "{self.server.password_file}"'
        return f"{place}\ninterval_s = 0.1\nbatch_parts = 50"

    def compared(self, state: Path) -> dict[str, object]:
        """How many rows are here and there, and whether they are the same verdicts."""
        ask = self.server.ask
        there = ask("SELECT boot_id, seq, decision FROM parts ORDER BY boot_id, seq")
        beside = {table: int(ask(f"SELECT count(*) FROM {table}")[0][0]) for table in BESIDE}  # noqa: S608 -- of constants
        (lost,) = ask("SELECT lost FROM stations")
        return told(state, there, beside, lost=int(lost[0]))


class Store:
    """A bucket in SeaweedFS, and how a station names it."""

    table = "bucket"
    most_bytes = 12_000

    def __init__(self) -> None:
        if s3_why_not():
            raise RuntimeError(s3_why_not())
        self.server = S3Server()
        self.server.start()
        self.server.make_bucket()

    def lines(self, port: int) -> str:
        """The lines of the table."""
        keys_of = self.server
        return (
            f'endpoint = "http://127.0.0.1:{port}"\nbucket = "{BUCKET}"\naccess_key_file = "{keys_of.access_key_file}"'
            f'\nsecret_key_file = "{keys_of.secret_key_file}"\ninterval_s = 0.1\nfile_s = 1\nfile_parts = 50'
        )

    def compared(self, state: Path) -> dict[str, object]:
        """How many rows are here and there, and whether they are the same verdicts."""
        from support.parquet_lake import Lake  # noqa: PLC0415 -- it needs the extra

        found, source = Lake(Objects(self.server.settings())._store), station_id(state)  # noqa: SLF001 -- as another program
        beside = {table: len(found.rows(table)) for table in BESIDE}
        return told(state, found.keys(source), beside, lost=found.note(source)["lost"])


def main() -> int:
    """Print what was killed and what arrived as JSON. Returns 0 if the rows are equal to the verdicts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--to", choices=("postgres", "bucket"), default="postgres")
    given = parser.parse_args()
    try:
        place = Database() if given.to == "postgres" else Store()
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = campaign(place, Path(folder), given.kills, random.Random(given.seed))
    finally:
        place.server.remove()
    print(json.dumps({"seed": given.seed, "to": given.to} | found, indent=1))
    return 0 if found["equal"] else 1


def campaign(place: Database | Store, folder: Path, kills: int, chance: random.Random) -> dict[str, object]:
    """Kill so many times, at a seeded byte of what crosses the wire, while the station goes on judging."""
    server = place.server
    wire = CutWire(server.port)
    begun = time.monotonic()
    path = station_file(folder, "")
    plain = path.read_text().removesuffix("[store]\n\n")
    path.write_text(f"{plain}[{place.table}]\n{place.lines(wire.port)}\n")
    state, killed, parts = folder / "state", Counter[str](), 0
    sender = start(path)
    try:
        for _ in range(kills):
            more = chance.randrange(50, 400)
            results_of(state, more, first=parts + 1)
            parts += more
            kind = chance.choice(KINDS)
            first = {"sender": sender.kill, "server": server.kill, "network": int}[kind]
            wire.cut_after(chance.randrange(1, place.most_bytes), first)
            wait_for(wire)
            killed[kind] += 1
            if kind == "server":
                server.start()
            elif kind == "sender":
                sender.wait()
                sender = start(path)
    finally:
        sender.terminate()
        sender.wait()
        wire.stop()
    path.write_text(f"{plain}[{place.table}]\n{place.lines(server.port)}\n")
    subprocess.run([sys.executable, "-m", "edge_inspector", "forward", str(path), "--once"], check=True)
    return place.compared(state) | {"killed": killed, "seconds": round(time.monotonic() - begun)}


def told(state: Path, there: list[list[str]], beside: dict[str, int], *, lost: int) -> dict[str, object]:
    """What the station has, beside what is there."""
    with closing(sqlite3.connect(results_path(state))) as db:
        here = {table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in BESIDE}  # noqa: S608 -- of constants
    verdicts = keys(state)
    equal = there == verdicts and here == beside and not lost
    return {"verdicts": len(verdicts), "rows": len(there), "here": here, "there": beside, "equal": equal}


def start(path: Path) -> subprocess.Popen[bytes]:
    """A sender as the service starts it."""
    command = [sys.executable, "-m", "edge_inspector", "forward", str(path)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def wait_for(wire: CutWire) -> None:
    """Until the cut has happened."""
    end = time.monotonic() + PATIENCE_S
    while not wire.is_cut:
        if time.monotonic() > end:
            raise TimeoutError("nothing crosses the wire")
        time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(main())
