"""Results to send, and a station file that says where to."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from support.verdicts import defect, placed, verdict

from edge_inspector.codes import Decision
from edge_inspector.forwarding.forwarder import Forwarder
from edge_inspector.forwarding.reading import Batch, Reached, Row
from edge_inspector.store.results_file import results_path
from edge_inspector.store.results_writer import ResultsWriter, StoredVerdict

ROOT = Path(__file__).parents[2]
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def results_of(state: Path, count: int, first: int = 1) -> Path:
    """A state folder with so many more parts. Each third one is rejected for two defects."""
    state.mkdir(parents=True, exist_ok=True)
    writer = ResultsWriter(results_path(state))
    writer.add([stored(seq) for seq in range(first, first + count)], [])
    writer.close()
    return state


def stored(seq: int) -> StoredVerdict:
    """Part `seq`, a minute after the one before."""
    bad = [defect(), defect(defect_class="stain", area_mm2=1.5)] if seq % 3 == 0 else []
    decision = Decision.REJECT if bad else Decision.ACCEPT
    return StoredVerdict(
        verdict(seq, decision, views=(placed(frame_id=seq, defects=bad),)),
        NOON + timedelta(minutes=seq),
        "",
        {"cam1": f"2026-11-21/cam1/part{seq}"} if bad else {},
    )


def keys(state: Path) -> list[list[str]]:
    """Run, number and decision of each part of the results, as texts and in order."""
    with closing(sqlite3.connect(results_path(state))) as db:
        found = db.execute("SELECT boot_id, seq, decision FROM parts ORDER BY boot_id, seq").fetchall()
    return [[str(boot), str(seq), Decision(decision).name] for boot, seq, decision in found]


def send(sending: Forwarder, steps: int = 1000) -> list[str]:
    """Send until nothing waits. The troubles on the way, without waits between them."""
    troubles = []
    for _ in range(steps):
        done = sending.step()
        if done.trouble:
            troubles.append(done.trouble)
        elif not done.more:
            sending.close()
            return troubles
    raise AssertionError(troubles[-3:])


def station_file(folder: Path, store: str) -> Path:
    """The shipped station, with its state beside it and these lines in [store]."""
    text = (ROOT / "deploy" / "station.toml").read_text()
    path = folder / "station.toml"
    path.write_text(f"{text.replace('/var/lib/edge-inspector', 'state')}\n[store]\n{store}\n")
    (folder / "recipe.toml").write_text((ROOT / "deploy" / "recipe.toml").read_text())
    return path


class Table:
    """The rows of a database in memory, and its position. It survives its connections."""

    def __init__(self) -> None:
        self.parts: dict[tuple[int, int], Row] = {}
        self.labels: list[Row] = []
        self.events: list[Row] = []
        self.at = Reached()
        self.lost = 0
        self.clock_ahead_s = 0.0
        self.refuse: Callable[[Batch], None] = lambda _: None
        self.batches: list[int] = []
        self.closed = 0

    def position(self) -> Reached:
        return self.at

    def add(self, batch: Batch) -> None:
        self.batches.append(len(batch.parts))
        self.refuse(batch)
        assert batch.before == self.at
        for row in batch.parts:
            self.parts.setdefault((row[0], row[1]), row)
        self.labels += batch.labels
        self.at = batch.after
        self.lost += batch.lost

    def tell_events(self, events: Any) -> None:
        self.events += events

    def tell_alive(self, waiting: int) -> None:
        assert not waiting

    def close(self) -> None:
        self.closed += 1

    def keys(self) -> list[list[str]]:
        return sorted([str(boot), str(seq), row[4]] for (boot, seq), row in self.parts.items())


def go_on(sending: Forwarder) -> None:
    """Send until nothing waits, with a store that takes everything."""
    while (done := sending.step()).more or done.parts or done.trouble:
        assert not done.trouble
