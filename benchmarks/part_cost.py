"""CPU time of one part in each thread, beside the model: `python benchmarks/part_cost.py [--views 1 4 24]`.

The real stages run one after the other in one thread, with a real S7 server and a real broker in other processes. Only
the CPU time of this thread counts, so other work on the machine changes little. Waking threads is not in it.
`PYTHONSAFEPATH=1 PYTHONPATH=CHECKOUT` measures an earlier checkout.

- judge: readings of the PLC every 20 ms, triggers, views, verdicts.
- PLC, broker: the link's thread, at `--rate` parts/s, with its exchanges.
- archive: results and their pictures' names, without pictures.
- picture: from the camera's driver to the model's mailbox, or to the judge's if the part was refused.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from edge_inspector.codes import Decision, ErrorCode, Reason, StationState
from edge_inspector.drivers import Camera, DriverSettings, PlcLink
from edge_inspector.inspection.admission import Admission
from edge_inspector.inspection.basis import Basis
from edge_inspector.inspection.control import Control
from edge_inspector.inspection.recipe import ClassLimits, Criteria, PictureLimits, Recipe
from edge_inspector.inspection.timeline import Motion, Timeline
from edge_inspector.mqtt.link import MqttLink
from edge_inspector.mqtt.settings import MqttSettings
from edge_inspector.plc.s7 import S7Link
from edge_inspector.plc.s7_connection import S7Settings
from edge_inspector.records import (
    Delivery,
    EncoderSample,
    Frame,
    Identity,
    ModelInfo,
    PlcInput,
    StationStatus,
    Trigger,
    Verdict,
    View,
    ViewFigures,
)
from edge_inspector.runtime.clock import utc_of
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.simulation.broker import DemoBroker
from edge_inspector.simulation.demo import end_process, free_port
from edge_inspector.simulation.line import Line
from edge_inspector.stages.acquire import Acquire
from edge_inspector.stages.judge import Judge
from edge_inspector.stages.report import Report
from edge_inspector.store.album import Album
from edge_inspector.store.openings import Openings
from edge_inspector.store.results_writer import ResultsWriter, StoredVerdict
from edge_inspector.watches.placing import Geometry

MS = 1_000_000
COUNTS_PER_S = 20_000  # 2 m/s at 10 counts/mm
_EYE_TO_CAMERA, _BETWEEN, _TO_GATE, _RESERVE = 5_000, 500, 14_000, 2_000  # counts
_SCAN_NS, _READING_NS, _STEP_NS, _SEEN_NS = 10 * MS, 20 * MS, 10 * MS, 30 * MS
_BOOT, _PLC_BOOT = 4242, 7
_MODEL = ModelInfo(
    "tile", "1", "", ("crack",), height=256, width=256, channels=3, stride=1, precision="int8", provider="cpu"
)
READY = StationStatus(StationState.READY, ErrorCode.NONE, 1)


def cost_ms(work: Callable[[], object], times: int) -> float:
    """CPU milliseconds of this thread for each of `times`."""
    begun_ns = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - begun_ns) / times / 1e6


class Belt:
    """The real judge beside a belt whose time is made here. `verdicts` are those of the parts up to now."""

    def __init__(self, views: int, rate: float, *, refused: bool) -> None:
        self._refused = refused
        names = [f"cam{number + 1}" for number in range(views)]
        pitch = COUNTS_PER_S / rate
        recipe = Recipe(
            id=1,
            name="tile",
            model="any",
            views=names,
            part_length_mm=0.9 * pitch / 10,
            min_pitch_mm=0.9 * pitch / 10,
            position_tolerance_mm=min(10.0, 0.4 * pitch / 10),
        )
        criteria = {1: Criteria(recipe, {"crack": ClassLimits(min_area_mm2=20.0)})}
        self._offsets = {name: _EYE_TO_CAMERA + at * _BETWEEN for at, name in enumerate(names)}
        gate = _EYE_TO_CAMERA + views * _BETWEEN + _TO_GATE
        speed_max = int(1.1 * COUNTS_PER_S)
        geometry = Geometry(counts_per_mm=10.0, speed_max=speed_max, gate=gate, reserve=_RESERVE, offsets=self._offsets)
        self._timeline = Timeline(Motion(speed_max, 80_000))
        conditions = Conditions()
        conditions.phase(StationState.READY)
        self._inbox: Mailbox[Any] = Mailbox("judge", 1 << 16)
        self.links: list[Mailbox[Verdict]] = [Mailbox(name, 1 << 16) for name in ("plc", "broker")]
        self.archived: Mailbox[Any] = Mailbox("archive", 1 << 16)
        self._begun_ns = self._now = time.monotonic_ns() + 3_600_000 * MS  # no verdict is late while this runs
        self.judge = Judge(
            boot_id=_BOOT,
            geometry=geometry,
            recipes=criteria,
            control=Control(criteria, 1, conditions.reset),
            basis=Basis(criteria, lambda: _MODEL, dict.fromkeys(names, (0.8, 0.8))),
            timeline=self._timeline,
            inbox=self._inbox,
            links=self.links,
            archive=self.archived,
            conditions=conditions,
            backlog=lambda: 0,
            arrived=lambda _: None,
            clock=lambda: self._now,
        )
        self._pitch_ns = int(1e9 / rate)
        self._numbers = count(1)
        self._triggers: list[Trigger] = []
        self._due: list[tuple[int, View]] = []  # views that reach the judge then
        self._spent_ns = 0
        self._next_part_ns = self._begun_ns + 100 * MS
        self._next_scan_ns = self._next_reading_ns = self._begun_ns
        self.judge.start()

    def run(self, parts: int) -> float:
        """CPU milliseconds of the judge for each of so many verdicts."""
        before = len(self.archived)
        self._spent_ns = 0
        while len(self.archived) < before + parts:
            self._tick()
        return self._spent_ns / (len(self.archived) - before) / 1e6

    def _count_at(self, at_ns: int) -> int:
        return int((at_ns - self._begun_ns) * COUNTS_PER_S / 1e9)

    def _tick(self) -> None:
        """Ten milliseconds of the line. What wakes the judge in between wakes it here."""
        until = self._now + _STEP_NS
        while self._next_scan_ns <= until:
            at = self._next_scan_ns
            for asked_ns in (at, at + _SCAN_NS - MS // 2):  # the second one shows when the next scan was not there yet
                sample = EncoderSample(self._count_at(at), at, asked_ns, asked_ns + MS // 4, boot_id=_PLC_BOOT)
                self._timeline.add(sample)
            self._next_scan_ns += _SCAN_NS
        while self._next_part_ns <= until:
            self._announce(self._next_part_ns)
            self._next_part_ns += self._pitch_ns
        if self._next_reading_ns <= until:
            self._next_reading_ns += _READING_NS
            self._wake(until, self._reading(until))
        seen = [view for at, view in self._due if at <= until]
        self._due = [each for each in self._due if each[0] > until]
        last = next(reversed(self._offsets))
        for view in seen:
            self._inbox.put(view, wake=False)
            if view.camera == last and not self._refused:
                self._wake(until)
        self._wake(until)

    def _wake(self, at: int, *items: Any) -> None:
        for item in items:
            self._inbox.put(item)
        self._now = at
        begun_ns = time.thread_time_ns()
        while True:
            self.judge.step()
            if not len(self._inbox):
                break
        self._spent_ns += time.thread_time_ns() - begun_ns

    def _reading(self, at: int) -> PlcInput:
        return PlcInput(
            _PLC_BOOT,
            at // _SCAN_NS,
            enable=True,
            reset=False,
            line_running=True,
            recipe_id=0,
            ack_session=1,
            ack_seq=0,
            trigger_seq=self._triggers[-1].part_seq if self._triggers else 0,
            triggers=tuple(self._triggers[-16:]),
            asked_ns=at - MS,
        )

    def _announce(self, at: int) -> None:
        number = next(self._numbers)
        self._triggers = [*self._triggers[-15:], Trigger(number, self._count_at(at), answered=False)]
        for name, offset in self._offsets.items():
            captured_ns = at + int(offset * 1e9 / COUNTS_PER_S)
            frame = _frame(name, number, captured_ns)
            view = View.unseen(frame, None, Reason.LATE)
            if not self._refused:
                view = View(
                    name,
                    number,
                    captured_ns,
                    exposure_ns=200_000,
                    received_ns=captured_ns + MS,
                    begun_ns=captured_ns + 2 * MS,
                    inference_ns=3 * MS,
                    figures=ViewFigures(100.0, 8.0, 0.1),
                    recipe_id=1,
                )
            self._due.append((captured_ns + (MS if self._refused else _SEEN_NS), view))


_IMAGE = np.zeros((256, 256, 3), np.uint8)


def _frame(camera: str, number: int, captured_ns: int) -> Frame:
    return Frame(
        camera, number, captured_ns=captured_ns, exposure_ns=200_000, received_ns=captured_ns + MS, image=_IMAGE
    )


class Linked:
    """The real thread of one link, fed with verdicts at a rate. It runs in this thread."""

    def __init__(self, link: PlcLink, name: str, interval_s: float) -> None:
        self._archived: Mailbox[Any] = Mailbox("archive", 1 << 16)
        self.heard: Mailbox[Any] = Mailbox("judge", 1 << 16)
        self.verdicts: Mailbox[Verdict] = Mailbox(name, 1 << 16)
        self._link = link
        self._busy = replace(READY, busy=True)
        self._report = Report(
            name,
            link,
            lost=ErrorCode.PLC_LOST,
            full=ErrorCode.PLC_RING_FULL,
            verdicts=self.verdicts,
            heard=self.heard,
            status=lambda: self._busy,
            submit=lambda _: None,
            conditions=Conditions(),
            interval_s=interval_s,
            archive=self._archived,
        )
        self._report.start()
        until = time.monotonic() + 10
        while not link.connected and time.monotonic() < until:
            self._report.step()

    def run_key(self) -> tuple[int, int]:
        """Of the PLC's own run, so that it takes the verdicts."""
        last = [each for each in self.heard.take(1 << 16, 0.0) if isinstance(each, PlcInput)][-1:]
        return last[0].run_key if last else (_PLC_BOOT, 0)

    def run(self, verdicts: Sequence[Verdict], rate: float) -> float:
        """CPU milliseconds for each of these verdicts. Another thread hands them over, as the judge does."""
        left = len(verdicts)

        def feed() -> None:
            due = time.monotonic()
            for verdict in verdicts:
                self.verdicts.put(verdict, wake=verdict.decision is not Decision.NOT_INSPECTED)
                due += 1 / rate
                time.sleep(max(0.0, due - time.monotonic()))

        feeder = threading.Thread(target=feed)
        feeder.start()
        begun_ns = time.thread_time_ns()
        while left:
            self._report.step()
            left -= sum(isinstance(each, Delivery) for each in self._archived.take(1 << 16, 0.0))
            self.heard.take(1 << 16, 0.0)
        spent_ns = time.thread_time_ns() - begun_ns
        feeder.join()
        while self._link.backlog:
            self._report.step()
        return spent_ns / len(verdicts) / 1e6

    def stop(self) -> None:
        """End the connection."""
        self._report.stop(failed=False)


@contextmanager
def world(folder: Path) -> Iterator[tuple[Linked, Linked]]:
    """A PLC whose belt stands, and a broker: both links, connected."""
    identity = Identity(
        station="bench", boot_id=_BOOT, state_dir=folder, counts_per_mm=10.0, defect_classes=("crack",), parts_per_s=500
    )
    line = Line(
        seed=1, start_ns=1 << 62, speed_mm_s=2000.0, pitch_mm=400.0, part_length_mm=200.0, parts=0, lanes=1,
        gate_mm=3000.0, counts_per_mm=10.0,
    )  # fmt: skip
    with ExitStack() as stack:
        port = free_port()
        line.write(folder / "line.json")
        command = [sys.executable, "-m", "edge_inspector.simulation.plc", str(folder / "line.json"), str(port)]
        plc = subprocess.Popen([*command, str(folder / "ledger"), "--boot", "1"])
        stack.callback(end_process, plc)
        broker = stack.enter_context(DemoBroker(free_port(), folder))
        settings = MqttSettings(host="127.0.0.1", port=broker.port, version=broker.mqtt_version)
        links = (
            Linked(S7Link(S7Settings(host="127.0.0.1", port=port), identity), "plc", 0.02),
            Linked(MqttLink(settings, identity), "broker", 0.05),
        )
        for link in links:
            stack.callback(link.stop)
        yield links


class _Replay(Camera):
    """A picture of 256 x 256 in colour, again and again."""

    Settings = DriverSettings
    name = "cam1"

    def __init__(self) -> None:
        self._pictures = np.random.default_rng(1).integers(0, 255, (8, 256, 256, 3), np.uint8)
        self._count = 0

    def open(self) -> None: ...

    def close(self) -> None: ...

    def grab(self, timeout_s: float) -> Frame:  # noqa: ARG002 -- there is always one
        self._count += 1
        now = time.monotonic_ns()
        picture = self._pictures[self._count % 8]
        return Frame(self.name, self._count, captured_ns=now, exposure_ns=200_000, received_ns=now, image=picture)


def picture_ms(folder: Path, *, refused: bool, pictures: int = 2000) -> float:
    """CPU milliseconds of a camera's thread for each picture, without the driver's."""
    timeline = Timeline(Motion(22_000, 80_000), stale_ns=1 << 60)
    now = time.monotonic_ns()
    for back in range(40, -1, -1):
        at = now - back * _SCAN_NS
        timeline.add(EncoderSample(5000 - 200 * back, at, at - 200_000, at + 200_000, boot_id=1))
    jobs: Mailbox[Any] = Mailbox("jobs", 8, key=lambda job: job.decide_by)
    views: Mailbox[Any] = Mailbox("judge", 1 << 16)
    admission = Admission(timeline.foreseen, 50.0, 1, lambda: 1)
    acquire = Acquire(
        _Replay(),
        to_line={"cam1": -10_000_000 if refused else 10_000_000},
        estimate=timeline.estimate,
        admission=admission,
        limits=lambda _: PictureLimits(may_repeat=True),
        guard=lambda _: None,
        jobs=jobs,
        views=views,
        conditions=Conditions(),
        album=Album(4 * 2**20),
        openings=Openings(folder, ["cam1"]),
    )
    acquire.start()
    acquire.step()

    def take() -> None:
        for _ in range(pictures):
            acquire.step()
            jobs.take(8, 0.0)

    take()
    return cost_ms(take, pictures)


def archived_ms(verdicts: Sequence[Verdict], folder: Path) -> float:
    """CPU milliseconds for the rows of each part, 12 in each commit."""
    results = ResultsWriter(folder / f"results-{time.monotonic_ns()}.sqlite")
    entries = [StoredVerdict(each, utc_of(each.decided_ns), "", {}) for each in verdicts]

    def write() -> None:
        for at in range(0, len(entries), 12):
            results.add(entries[at : at + 12], [])

    spent = cost_ms(write, len(entries))
    results.close()
    return spent


def measured(views: Sequence[int], *, rate: float, parts: int, rounds: int) -> list[dict[str, Any]]:
    """Least of `rounds` for each cost, in milliseconds of CPU."""
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as made, world(Path(made)) as (plc, broker):
        folder, run_key, numbers = Path(made), plc.run_key(), count(1)
        pictures = {
            refused: statistics.median(picture_ms(folder, refused=refused) for _ in range(rounds))
            for refused in (False, True)
        }
        for number in views:
            for refused in (False, True):
                costs: dict[str, list[float]] = {name: [] for name in ("judge", "plc", "broker", "archive")}
                for _ in range(rounds):
                    belt = Belt(number, rate, refused=refused)
                    belt.run(parts // 2)
                    belt.archived.take(1 << 16, 0.0)
                    costs["judge"].append(belt.run(parts))
                    judged = [
                        replace(
                            each,
                            seq=next(numbers),
                            part=replace(each.part, plc_boot_id=run_key[0], run=run_key[1]),
                        )
                        for each in belt.archived.take(1 << 16, 0.0)
                        if isinstance(each, Verdict)
                    ]
                    costs["plc"].append(plc.run(judged, rate))
                    costs["broker"].append(broker.run(judged, rate))
                    costs["archive"].append(archived_ms(judged, folder))
                row = {"views": number, "parts": "refused" if refused else "inspected"}
                row |= {name: min(values) for name, values in costs.items()}
                row["part"] = sum(row[name] for name in costs)
                found.append(row | {"picture": pictures[refused]})
                print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    return found


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The costs in Markdown."""
    lines = ["| views of a part | judge | PLC | broker | archive | a part | a picture |", "|---" * 7 + "|"]
    for row in rows:
        cells = " | ".join(f"{row[name]:.3f}" for name in ("judge", "plc", "broker", "archive", "part", "picture"))
        lines.append(f"| {row['views']}, {row['parts']} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--views", type=int, nargs="*", default=[1, 4, 24])
    parser.add_argument("--rate", type=float, default=60.0, help="parts per second (default: 60)")
    parser.add_argument("--parts", type=int, default=200, help="parts of each round (default: 200)")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(table(measured(given.views, rate=given.rate, parts=given.parts, rounds=given.rounds)))


if __name__ == "__main__":
    main()
