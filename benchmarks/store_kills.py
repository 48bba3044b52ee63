"""Kills on the way to the plant's database: afterwards it must have each verdict exactly once.

`PYTHONPATH=tests:. python benchmarks/store_kills.py --kills 50 --seed 1`. It needs PostgreSQL of the distribution.
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

from edge_inspector.store.results_file import results_path

PATIENCE_S = 600.0
KINDS = ("sender", "server", "network")


def main() -> int:
    """Print what was killed and what arrived as JSON. Returns 0 if the rows are equal to the verdicts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    programs = find_programs()
    if programs is None or why_not():
        print(why_not(), file=sys.stderr)
        return 1
    server = PostgresServer(programs)
    try:
        server.create()
        with tempfile.TemporaryDirectory() as folder:
            found = campaign(server, Path(folder), given.kills, random.Random(given.seed))
    finally:
        server.remove()
    print(json.dumps({"seed": given.seed} | found, indent=1))
    return 0 if found["equal"] else 1


def campaign(server: PostgresServer, folder: Path, kills: int, chance: random.Random) -> dict[str, object]:
    """Kill so many times, at a seeded byte of what crosses the wire, while the station goes on judging."""
    wire = CutWire(server.port)
    begun = time.monotonic()
    place = f'host = "127.0.0.1"\nport = {wire.port}\npassword_file = "{server.password_file}"'
    path = station_file(folder, f"{place}\ninterval_s = 0.1\nbatch_parts = 50")
    state, killed, parts = folder / "state", Counter[str](), 0
    sender = start(path)
    try:
        for _ in range(kills):
            more = chance.randrange(50, 400)
            results_of(state, more, first=parts + 1)
            parts += more
            kind = chance.choice(KINDS)
            first = {"sender": sender.kill, "server": server.kill, "network": int}[kind]
            wire.cut_after(chance.randrange(1, 60_000), first)
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
    text = path.read_text().replace(f"port = {wire.port}", f"port = {server.port}")
    path.write_text(text)
    subprocess.run([sys.executable, "-m", "edge_inspector", "forward", str(path), "--once"], check=True)
    return compared(server, state) | {"killed": killed, "seconds": round(time.monotonic() - begun)}


def compared(server: PostgresServer, state: Path) -> dict[str, object]:
    """How many rows are here and there, and whether they are the same verdicts."""
    there = server.ask("SELECT boot_id, seq, decision FROM parts ORDER BY boot_id, seq")
    with closing(sqlite3.connect(results_path(state))) as db:
        here = {table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("views", "defects")}  # noqa: S608 -- of constants
    beside = {table: int(server.ask(f"SELECT count(*) FROM {table}")[0][0]) for table in here}  # noqa: S608 -- as above
    (lost,) = server.ask("SELECT lost FROM stations")
    verdicts = keys(state)
    equal = there == verdicts and here == beside and lost == ["0"]
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
