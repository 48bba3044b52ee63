"""One station with one mistake. It runs on a simulated line, and its reports are recorded."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np

from benchmarks.wrong import odd_lines
from edge_inspector.codes import Decision
from edge_inspector.records import Image
from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.lines import gateway, simple_plc
from edge_inspector.simulation.lines.kinds import LineKind
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.report import read_ledger
from edge_inspector.store.whole_file import draft_of

_PLC = Path(__file__).with_name("plc.py")
_LOOK_S = 0.05
_ANSWERS_S = 30.0
_PARTS = 28
RIGHT = "right"  # the family of stations that have nothing to report
_BAD_ONE_IN = 4


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake of a station.

    - `world`: fields of the simulated line.
    - `oddity`: an oddity of the simulated PLC.
    - `edit`: changes the station's files before the start.
    - `during`: happens while parts run.
    - `expects`: conditions, one of which must be reported, or words of the refusal if the daemon must not even start.
    - `kind`: another kind of line, as for `demo --line`.
    - `may_do_no_harm`: the mistake need not be reported if it did no harm.
    """

    family: str
    name: str
    expects: tuple[str, ...] = ()
    edit: Callable[[WrongStation], object] | None = None
    _: KW_ONLY
    during: Callable[[WrongStation], object] | None = None
    world: dict[str, Any] = field(default_factory=dict)
    oddity: str = ""
    parts: int = _PARTS
    kind: str = ""
    may_do_no_harm: bool = False


@dataclass(slots=True)
class RunOutcome:
    """The result of a station with a mistake. Times in seconds after the first part, or after the event of `during`."""

    family: str
    mistake: str
    _: KW_ONLY
    refused: bool = False
    told_after_s: float | None = None
    words: str = ""
    states: list[str] = field(default_factory=list)
    parts: int = 0
    bad_accepted: int = 0
    bad_accepted_before_told: int = 0
    not_inspected: int = 0
    without_verdict: int = 0
    may_do_no_harm: bool = False

    @property
    def told(self) -> bool:
        """Whether the station's state, log or metrics show the mistake."""
        return self.refused or self.told_after_s is not None

    @property
    def silent(self) -> bool:
        """Whether the mistake was not reported, although it did harm or must be reported in any case."""
        harm = self.bad_accepted or self.not_inspected > 1 or self.without_verdict
        return self.family != RIGHT and not self.told and bool(harm or not self.may_do_no_harm)


class WrongStation(Demo):
    """The demo's processes with one mistake among them."""

    def __init__(self, folder: Path, mistake: Mistake, seed: int) -> None:
        self.mistake = mistake
        self.helpers: list[Callable[[], object]] = []
        options = DemoOptions(line=mistake.kind, speed_mm_s=1000.0, seed=seed, parts=mistake.parts)
        if not mistake.kind:
            frames = draw_parts(folder / "parts")
            options = replace(options, frames=frames, speed_mm_s=1500.0, pitch_mm=300.0, model_ms=2.0, line="")
        super().__init__(options, folder)
        if mistake.oddity or mistake.during is not None:
            self.kind = self.kind and _odd(self.kind)

    def rewrite(self, name: str, old: str, new: str) -> None:
        """Replace `old` by `new` in one of the station's files. Raises ValueError if `old` is not there."""
        path = self.folder / name
        text = path.read_text()
        if old not in text:
            raise ValueError(f"{name} has no {old!r}")
        path.write_text(text.replace(old, new))

    def run(self) -> RunOutcome:
        """Run from the start until the last part is at the gate."""
        outcome = RunOutcome(self.mistake.family, self.mistake.name, may_do_no_harm=self.mistake.may_do_no_harm)
        with self.running():
            if self.daemon.poll() is not None:
                outcome.refused = self.daemon.returncode == 2
                outcome.words = self._refusal()
                return outcome
            with _Listener(self) as listener:
                first_ns = self.line.belt.time_at(self.line.eye_mm(0))
                self._sleep_until(first_ns)
                if self.mistake.during is not None:
                    self._sleep_until(self.line.belt.time_at(self.line.eye_mm(min(8, self.line.parts // 4))))
                    first_ns = time.monotonic_ns()
                    self.mistake.during(self)
                last = self.line.eye_mm(self.line.parts - 1) + self.line.gate_mm + 300.0
                self._sleep_until(self.line.belt.time_at(last) + 500_000_000)
            self._account(outcome, listener, first_ns)
        return outcome

    @contextmanager
    def running(self) -> Iterator[None]:
        """As in the demo. Everything that the mistake has started ends with it."""
        try:
            with super().running():
                yield
        finally:
            for stop in reversed(self.helpers):
                stop()

    def good_parts(self, count: int) -> list[Image]:
        """Pictures of good parts, as taken by the camera."""
        look = self.line.look
        good = [part for part in range(4 * count) if not look.defective(part)][:count]
        return [picture for part in good if (picture := look.render(part, 0)) is not None]

    def plc_oddity(self, name: str) -> None:
        """Give the simulated PLC this oddity from now on."""
        with draft_of(self.folder / "oddity", synced=False) as draft:
            draft.write_text(name)

    def _sleep_until(self, at_ns: int) -> None:
        while (left_s := (at_ns - time.monotonic_ns()) / 1e9) > 0 and self.daemon.poll() is None:
            time.sleep(min(left_s, 0.1))

    def _line(self) -> Line:
        return replace(super()._line(), **self.mistake.world)

    def _write_files(self, line_file: Path) -> None:
        super()._write_files(line_file)
        if self.mistake.oddity:
            self.plc_oddity(self.mistake.oddity)
        if self.mistake.edit is not None:
            self.mistake.edit(self)

    def _start_plc(self) -> subprocess.Popen[bytes]:
        if self.mistake.kind:
            return super()._start_plc()
        self._boots += 1
        arguments = [str(self.folder / "line.json"), str(self.ports["plc"]), str(self.ledger)]
        command = [sys.executable, str(_PLC), *arguments, "--boot", str(self._boots)]
        with (self.folder / "plc.log").open("a") as log:  # a server logs each request for a missing block
            return subprocess.Popen(command, start_new_session=True, env=dict(os.environ), stdout=log, stderr=log)

    def _await_station(self) -> None:
        """Wait until the station reports anything, or has ended."""
        until = time.monotonic() + _ANSWERS_S
        while time.monotonic() < until and self.daemon.poll() is None:
            state = str(self.health().get("state", self.recorder.state))
            if state not in ("", "starting"):
                time.sleep(1.5)  # a link that needs a moment is no mistake
                return
            time.sleep(0.05)

    def health(self) -> dict[str, Any]:
        """The content of /healthz, even if the station is not well. Empty if nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['web']}/healthz", timeout=1) as answer:
                return dict(json.loads(answer.read()))
        except urllib.error.HTTPError as error:
            return dict(json.loads(error.read()))
        except (OSError, ValueError):
            return {}

    def log_lines(self) -> list[str]:
        """The log so far, including that of a spare station."""
        logs = (path.read_text(errors="replace") for path in sorted(self.folder.glob("**/daemon.log")))
        return [line for log in logs for line in log.splitlines()]

    def _refusal(self) -> str:
        lines = self.log_lines()
        wanted = [line for line in lines if any(each in line for each in self.mistake.expects)]
        return (wanted or lines or [""])[-1]

    def _account(self, outcome: RunOutcome, listener: _Listener, since_ns: int) -> None:
        told_ns, outcome.words = listener.told(self.mistake.expects)
        if told_ns is None and self.daemon.poll() is not None:
            told_ns, outcome.words = listener.ended_ns, self._refusal()
        outcome.states = listener.states
        outcome.told_after_s = None if told_ns is None else round(max(0.0, (told_ns - since_ns) / 1e9), 2)
        events = read_ledger(self.ledger)
        outcome.parts = sum(event["kind"] == "trigger" for event in events)
        accepted = [
            event
            for event in events
            if event["kind"] == "verdict"
            and event["how"] == "in time"
            and event["part"] is not None
            and event["decision"] == Decision.ACCEPT
            and self.line.look.defective(event["part"])
        ]
        outcome.bad_accepted = len(accepted)
        outcome.bad_accepted_before_told = sum(told_ns is None or event["scan_ns"] < told_ns for event in accepted)
        outcome.not_inspected = sum(
            event["kind"] == "verdict" and event["decision"] == Decision.NOT_INSPECTED for event in events
        )
        outcome.without_verdict = sum(event["kind"] == "gate" and event["why"] == "no verdict" for event in events)


def _odd(kind: LineKind) -> LineKind:
    """The same kind, with a program that can be odd. Other programs stay as they are."""
    can_be = kind.process in (gateway.__name__, simple_plc.__name__)
    return replace(kind, process=odd_lines.__name__) if can_be else kind


class _Listener:
    """Polls the reports of the station many times a second, and records when each was first made."""

    def __init__(self, station: WrongStation) -> None:
        self._station = station
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener")
        self._first: dict[str, tuple[int, str]] = {}
        self.states: list[str] = []
        self.ended_ns = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def told(self, codes: tuple[str, ...]) -> tuple[int | None, str]:
        """When one of these conditions was first reported, and its text. None if none was."""
        found = [self._first[code] for code in codes if code in self._first]
        at_ns, words = min(found, default=(None, ""))
        return at_ns, words

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_S):
            now = time.monotonic_ns()
            if self._station.daemon.poll() is not None:
                self.ended_ns = self.ended_ns or now
                continue
            body = self._station.health() or {"state": self._station.recorder.state}
            state = str(body.get("state", ""))
            if state and (not self.states or self.states[-1] != state):
                self.states.append(state)
            for each in body.get("reasons", ()):
                words = f"{each['code']} {each['subject']}: {each['why']}"
                self._first.setdefault(str(each["code"]), (now, words))
            self._read_log(now)

    def _read_log(self, now: int) -> None:
        """Read the log, which works without the page. It also has reports that are over."""
        for line in self._station.log_lines():
            for code in self._station.mistake.expects:
                if f"{code} (E" in line or (" " in code and code in line):
                    self._first.setdefault(code, (now, line))


def draw_parts(folder: Path) -> Path:
    """Eight pictures of parts on a dark belt, and their index. Every fourth has a spot that is a defect."""
    folder.mkdir()
    rng = np.random.default_rng(5)
    rows = []
    for number in range(8):
        picture = np.full((128, 128), 25, np.uint8)
        picture[16:112, 16:112] = 88 + number
        picture += rng.integers(0, 4, picture.shape, np.uint8)
        bad = number % _BAD_ONE_IN == 1
        if bad:
            picture[50:74, 50:74] = 220
        cv2.imwrite(str(folder / f"{number}.png"), picture)
        rows.append((f"{number}.png", "spot" if bad else "good"))
    with (folder / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "class"), *rows])
    return folder
