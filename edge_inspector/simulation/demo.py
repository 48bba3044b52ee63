"""The demo: a simulated line around a real daemon, with real protocols in between."""

from __future__ import annotations

import json
import os
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
from typing import Any

from edge_inspector.cameras.folder import load_index
from edge_inspector.driver_table import DEFAULT_RUNTIME
from edge_inspector.errors import ConfigError, DeviceError, EdgeInspectorError, Fault
from edge_inspector.simulation.broker import DemoBroker
from edge_inspector.simulation.gige.processes import CameraProcesses
from edge_inspector.simulation.line import Line, camera_offset_mm
from edge_inspector.simulation.recorder import Recorder
from edge_inspector.simulation.report import measure, read_ledger, recovery_s
from edge_inspector.simulation.scoreboard import Scoreboard
from edge_inspector.simulation.station_files import Variant, models_dir, write_station_files
from edge_inspector.simulation.tiles import write_textures
from edge_inspector.store.users import Role, new_user, write_users

_READY_S = 60.0
_DEGRADED_S = 10.0
_STOP_S = 10.0
USER, PASSWORD = "demo", "demo-line"  # for the page, which only this machine can reach
_DOWN_S = {"plc": 5.0, "broker": 5.0, "daemon": 1.0, "camera": 3.0}  # how long a killed process stays dead


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """The options of the command line. 0, empty and None mean the default."""

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
    lead_s: float = 0.5  # from "ready" until the belt starts
    camera_faults: str = ""
    model_fail_every: int = 0
    gige: bool = False
    loss: float = 0.0
    shadow: str = ""
    archive: str = ""  # lines of the station file's table, instead of the demo's own
    distinct: int = 0
    realtime: str = ""  # lines for the station file's table of that name
    runtime: str = DEFAULT_RUNTIME  # the segmenter's driver
    workers: int = 0  # the model's threads
    line_scan: bool = False
    review_band: tuple[float, float] = (0.4, 0.6)
    dim_from: int = -1  # a part number from 0. From there on the light is weaker


def run_demo(options: DemoOptions) -> int:
    """Run the line, show the score, write the report. 1 if promise 1 was broken.

    Raises ConfigError for impossible options before anything starts.
    """
    if faults := [*_contradictions(options), *_missing(options)]:
        raise ConfigError(faults)
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-inspector-demo-")))
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
    """The processes of one run and their files."""

    def __init__(self, options: DemoOptions, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.ports = {name: free_port() for name in ("plc", "broker", "web")}
        self.station_ports = dict(self.ports)  # the addresses in the station file, where a proxy may stand in between
        self.daemon_environment: dict[str, str] = {}
        self.broker_lines: tuple[str, ...] = ("allow_anonymous true",)
        self.lanes = options.cameras or (1 if options.frames else 4)
        self.line = self._line()
        self.ledger = folder / "ledger.jsonl"
        self.ledger.unlink(missing_ok=True)
        (folder / "started").unlink(missing_ok=True)
        self.cameras = CameraProcesses(folder / "line.json", self.lanes if options.gige else 0, options.loss)
        self._boots = 0
        self._dead: set[str] = set()
        self._kills = sorted(_parse_kill(kill) for kill in options.kills)
        self._began_s = time.monotonic()

    @property
    def page(self) -> str:
        """The address of the operator page."""
        return f"http://127.0.0.1:{self.ports['web']}/"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start all processes, and end all of them afterwards, whatever happens."""
        with ExitStack() as stack:
            self.broker = DemoBroker(self.ports["broker"], self.folder, extra=self.broker_lines)
            stack.callback(self.broker.stop)
            self.broker.start()
            self.recorder = Recorder(self.ports["broker"], self.broker.mqtt_version)
            stack.callback(self.recorder.stop)
            line_file = self.folder / "line.json"
            self.line.write(line_file)
            self._write_files(line_file)
            stack.callback(self.cameras.stop)
            self.cameras.start()
            stack.callback(lambda: end_process(self.plc))
            self.plc = self._start_plc()
            self.daemon = self._start_daemon()
            stack.callback(lambda: end_process(self.daemon))
            self._await_station()
            self.line.start(time.monotonic_ns() + int(self.options.lead_s * 1e9))
            yield

    def play(self) -> None:
        """Let the line run until its last part is past the gate, or Ctrl-C. Kill the processes named in the options."""
        board = Scoreboard(
            self.line, self.broker.kind, self.folder, f"{self.page}   log in as {USER}, password {PASSWORD}"
        )
        last_ns = self.line.belt.time_at(self.line.eye_mm(self.line.parts - 1) + self.line.gate_mm + 300)
        kills = list(self._kills)
        first_ns = self.line.belt.time_at(self.line.eye_mm(0))
        revive: list[tuple[float, str]] = []
        try:
            while time.monotonic_ns() < last_ns + 500_000_000:
                since_s = (time.monotonic_ns() - first_ns) / 1e9
                if kills and kills[0][0] <= since_s:
                    what = kills.pop(0)[1]
                    self.kill(what)
                    revive.append((since_s + _DOWN_S[what], what))
                if revive and revive[0][0] <= since_s:
                    self.revive(revive.pop(0)[1])
                self._check_daemon()
                board.show(self.ledger, self.recorder)
                time.sleep(0.25)
        except KeyboardInterrupt:
            board.note("running the line empty ...")
            self.plc.send_signal(signal.SIGUSR1)
            time.sleep(self.line.gate_mm / self.line.speed_mm_s + 0.5)

    def _await_station(self) -> None:
        """Wait until it is ready, or permanently degraded: a camera or the broker may be missing on purpose."""
        begun_s = time.monotonic()
        while (waited_s := time.monotonic() - begun_s) < _READY_S:
            self._check_daemon()
            state = self._health().get("state")
            if state == "ready" or (state == "degraded" and waited_s > _DEGRADED_S):
                return
            time.sleep(0.05)
        raise EdgeInspectorError(f"the station was not ready within {_READY_S:g} s; {self._last_words()}")

    def _health(self) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['web']}/healthz", timeout=1) as answer:
                return dict(json.loads(answer.read()))
        except (OSError, ValueError):
            return {}

    def finish(self) -> dict[str, object]:
        """Stop the daemon, wait for the last messages on every link, and measure."""
        time.sleep(0.3)
        metrics = self._scrape()
        (self.folder / "metrics.txt").write_text(metrics)
        begun_ns = time.monotonic_ns()
        self.daemon.send_signal(signal.SIGTERM)
        try:
            code = self.daemon.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            raise EdgeInspectorError(
                f"the daemon did not stop within {_STOP_S:g} s of SIGTERM; {self._last_words()}"
            ) from None
        stop_s = (time.monotonic_ns() - begun_ns) / 1e9
        time.sleep(0.3)
        end_process(self.plc)
        if not self.ledger.exists():
            raise EdgeInspectorError("the simulated PLC never came to run: this machine is too busy for the demo")
        report = measure(self.line, read_ledger(self.ledger), self.recorder.verdicts(), metrics)
        ready_ns = self.cameras.revived_ns
        report |= {
            "camera_recovery_s": None if ready_ns is None else recovery_s(self.recorder.verdicts(), "cam1", ready_ns),
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
        textures = "" if frames else str(self.folder / "textures.npz")
        if textures:
            write_textures(Path(textures), options.seed)  # before the time until the belt starts begins to run
        return Line(
            seed=options.seed,
            start_ns=0,
            started_by=str(self.folder / "started"),
            speed_mm_s=options.speed_mm_s,
            pitch_mm=options.pitch_mm or pitch_mm,
            part_length_mm=length_mm,
            parts=options.parts or 1_000_000,
            lanes=self.lanes,
            gate_mm=camera_offset_mm(self.lanes - 1) + 1200.0 * max(1.0, options.speed_mm_s / 2000.0),
            counts_per_mm=10.0,
            frames=frames,
            distinct=options.distinct,
            dim_from=options.dim_from,
            textures=textures,
        )

    def _write_files(self, line_file: Path) -> None:
        options = self.options
        if not (self.folder / "users").exists():
            write_users(self.folder / "users", {USER: new_user(USER, Role.ADMIN, PASSWORD)})
        write_station_files(
            self.folder,
            line_file,
            self.line,
            ports=self.station_ports,
            variant=Variant(
                mqtt_version=self.broker.mqtt_version,
                model=options.model,
                model_ms=options.model_ms,
                model_fail_every=options.model_fail_every,
                camera_faults=options.camera_faults,
                gige=options.gige,
                shadow=options.shadow,
                archive=options.archive,
                line_scan=options.line_scan,
                review_band=options.review_band,
                realtime=options.realtime,
                runtime=options.runtime,
                workers=options.workers,
            ),
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

    def _start_daemon(self) -> subprocess.Popen[bytes]:
        with (self.folder / "daemon.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "edge_inspector", "run", str(self.folder / "station.toml")],
                stderr=log,
                stdout=log,
                start_new_session=True,
                env={**os.environ, **self.daemon_environment},
            )

    def kill(self, what: str) -> None:
        """Kill plc, broker, daemon or the first camera, as a power cut would."""
        if what == "broker":
            self.broker.kill()
            return
        if what == "camera":
            self.cameras.kill(0)
            return
        process = self.plc if what == "plc" else self.daemon
        process.kill()
        process.wait()
        self._dead.add(what)

    def revive(self, what: str) -> None:
        """Start again what `kill` ended."""
        self._dead.discard(what)
        if what == "plc":
            self.plc = self._start_plc()
            self.cameras.reset_encoders()
        elif what == "camera":
            self.cameras.revive(0)
        elif what == "daemon":
            self.daemon = self._start_daemon()
        else:
            self.broker.restart()

    def _check_daemon(self) -> None:
        if self.daemon.poll() is not None and "daemon" not in self._dead:
            raise EdgeInspectorError(f"the daemon ended with code {self.daemon.returncode}; {self._last_words()}")

    def _last_words(self) -> str:
        return "its last lines:\n" + "\n".join((self.folder / "daemon.log").read_text().splitlines()[-10:])

    def _scrape(self) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['web']}/metrics", timeout=1) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""


def _contradictions(options: DemoOptions) -> Iterator[Fault]:
    for kill in options.kills:
        what, _, at = kill.partition("@")
        if what not in _DOWN_S or not at.replace(".", "", 1).isdecimal():
            yield Fault(f"--kill {kill}", f"say {', '.join(_DOWN_S)} and a time in seconds, as in plc@20")
    if not options.gige and (options.loss or any(kill.startswith("camera@") for kill in options.kills)):
        yield Fault("--loss and --kill camera", "need --gige: only those cameras are processes")
    if options.line_scan and (not options.gige or options.frames):
        yield Fault("--line-scan", "needs --gige, and the rendered parts")


def _missing(options: DemoOptions) -> Iterator[Fault]:
    for key, name in (("--model", options.model), ("--shadow", options.shadow.partition("/")[0])):
        if name and not (models_dir() / name / "manifest.toml").is_file():
            yield Fault(key, f"there is no {name} in {models_dir()}")
    try:
        if options.frames:
            load_index(options.frames)
    except DeviceError as error:
        yield Fault("--frames", str(error))
    try:
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
        if options.report:
            options.report.open("a").close()
    except OSError as error:
        yield Fault(str(error.filename), f"cannot be written: {error.strerror}")


def _parse_kill(text: str) -> tuple[float, str]:
    what, _, at = text.partition("@")
    return float(at), what


def free_port() -> int:
    """A TCP port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end_process(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end, and kill it after five seconds. May be called twice."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
