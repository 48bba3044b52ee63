"""The demo: a simulated line around a real daemon, with real protocols in between."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_inspector.errors import EdgeInspectorError
from edge_inspector.simulation.broker import DemoBroker
from edge_inspector.simulation.line import Line, camera_offset_mm
from edge_inspector.simulation.recorder import Recorder
from edge_inspector.simulation.report import measure, read_ledger
from edge_inspector.simulation.scoreboard import Scoreboard
from edge_inspector.simulation.station_files import write_station_files

_LEAD_S = 5.0  # the daemon's start: imports, model, warm-up
_DOWN_S = 5.0  # how long a killed peer stays dead


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line asks for; 0, empty and None mean the default."""

    parts: int = 0
    cameras: int = 0
    speed_mm_s: float = 2000.0
    pitch_mm: float = 0.0
    frames: Path | None = None
    model: str = ""
    model_ms: float = 0.0
    kills: tuple[str, ...] = ()
    seed: int = 7
    report: Path | None = None
    keep: Path | None = None


def run_demo(options: DemoOptions) -> int:
    """Run the line, show the score, write the report. 1 when promise 1 was broken."""
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-inspector-demo-")))
        folder.mkdir(parents=True, exist_ok=True)
        demo = Demo(options, folder.resolve())
        stack.enter_context(demo.running())
        demo.play()
        report = demo.finish()
    Scoreboard.summary(report)
    if options.report:
        options.report.write_text(json.dumps(report, indent=1) + "\n")
    broken = report["unaccounted"] or report["duplicates"] or report["gate_wrong_part"]
    return 1 if broken else 0


class Demo:
    """The processes of one run and what they leave behind."""

    def __init__(self, options: DemoOptions, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.ports = {name: free_port() for name in ("plc", "broker", "web")}
        self.lanes = options.cameras or (1 if options.frames else 4)
        self.line = self._line()
        self.ledger = folder / "ledger.jsonl"
        self.ledger.unlink(missing_ok=True)
        self._boots = 0
        self._began_s = time.monotonic()

    @contextmanager
    def running(self) -> Iterator[None]:
        """All processes up; all of them ended afterwards, whatever happens."""
        with ExitStack() as stack:
            self.broker = DemoBroker(self.ports["broker"], self.folder)
            stack.callback(self.broker.stop)
            self.broker.start()
            self.recorder = Recorder(self.ports["broker"], self.broker.mqtt_version)
            stack.callback(self.recorder.stop)
            line_file = self.folder / "line.json"
            self.line.write(line_file)
            options = self.options
            station = write_station_files(
                self.folder, line_file, self.line, self.ports, self.broker.mqtt_version, options.model, options.model_ms
            )
            stack.callback(lambda: _end(self.plc))
            self.plc = self._start_plc()
            log = stack.enter_context((self.folder / "daemon.log").open("w"))
            self.daemon = subprocess.Popen(
                [sys.executable, "-m", "edge_inspector", "run", str(station)], stderr=log, stdout=log
            )
            stack.callback(lambda: _end(self.daemon))
            yield

    def play(self) -> None:
        """Let the line run until its last part is past the gate, or Ctrl-C; kill what is to be killed."""
        board = Scoreboard(self.line, self.broker.kind, self.folder)
        last_ns = self.line.belt.time_at(self.line.eye_mm(self.line.parts - 1) + self.line.gate_mm + 300)
        kills = sorted((float(at), what) for what, _, at in (kill.partition("@") for kill in self.options.kills))
        first_ns = self.line.belt.time_at(self.line.eye_mm(0))
        revive: list[tuple[float, str]] = []
        try:
            while time.monotonic_ns() < last_ns + 500_000_000:
                since_s = (time.monotonic_ns() - first_ns) / 1e9
                if kills and kills[0][0] <= since_s:
                    what = kills.pop(0)[1]
                    self._kill(what)
                    revive.append((since_s + _DOWN_S, what))
                if revive and revive[0][0] <= since_s:
                    self._revive(revive.pop(0)[1])
                self._check_daemon()
                board.show(self.ledger, self.recorder, self._scrape())
                time.sleep(0.25)
        except KeyboardInterrupt:
            board.note("running the line empty ...")
            self.plc.send_signal(signal.SIGUSR1)
            time.sleep(self.line.gate_mm / self.line.speed_mm_s + 0.5)

    def finish(self) -> dict[str, object]:
        """Stop the daemon, wait for the last words on every link, and measure."""
        time.sleep(0.3)
        metrics = self._scrape()
        begun_ns = time.monotonic_ns()
        self.daemon.send_signal(signal.SIGTERM)
        code = self.daemon.wait(10)
        stop_s = (time.monotonic_ns() - begun_ns) / 1e9
        time.sleep(0.3)
        _end(self.plc)
        report = measure(self.line, read_ledger(self.ledger), self.recorder.verdicts(), metrics)
        report |= {
            "broker": self.broker.kind,
            "cameras": self.lanes,
            "speed_mm_s": self.line.speed_mm_s,
            "pitch_mm": self.line.pitch_mm,
            "seed": self.line.seed,
            "daemon_exit_code": code,
            "daemon_stop_s": round(stop_s, 3),
            "duration_s": round(time.monotonic() - self._began_s, 1),
        }
        return report

    def _line(self) -> Line:
        options = self.options
        frames = str(options.frames.resolve()) if options.frames else ""
        length_mm, pitch_mm = (60.0, 200.0) if frames else (200.0, 400.0)
        return Line(
            seed=options.seed,
            start_ns=time.monotonic_ns() + int(_LEAD_S * 1e9),
            speed_mm_s=options.speed_mm_s,
            pitch_mm=options.pitch_mm or pitch_mm,
            part_length_mm=length_mm,
            parts=options.parts or 1_000_000,
            lanes=self.lanes,
            gate_mm=camera_offset_mm(self.lanes - 1) + 1200.0 * max(1.0, options.speed_mm_s / 2000.0),
            counts_per_mm=10.0,
            frames=frames,
        )

    def _start_plc(self) -> subprocess.Popen[bytes]:
        self._boots += 1
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "edge_inspector.simulation.plc",
                str(self.folder / "line.json"),
                str(self.ports["plc"]),
                str(self.ledger),
                "--boot",
                str(self._boots),
            ],
            start_new_session=True,
        )

    def _kill(self, what: str) -> None:
        if what == "plc":
            self.plc.kill()
            self.plc.wait()
        elif what == "broker":
            self.broker.kill()
        else:
            raise EdgeInspectorError(f"--kill {what}: there are plc and broker")

    def _revive(self, what: str) -> None:
        if what == "plc":
            self.plc = self._start_plc()
        else:
            self.broker.restart()

    def _check_daemon(self) -> None:
        if self.daemon.poll() is not None:
            tail = "\n".join((self.folder / "daemon.log").read_text().splitlines()[-10:])
            raise EdgeInspectorError(f"the daemon ended with code {self.daemon.returncode}; its last lines:\n{tail}")

    def _scrape(self) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['web']}/metrics", timeout=1) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""


def free_port() -> int:
    """A TCP port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
