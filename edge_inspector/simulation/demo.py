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
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_inspector.cameras.folder import load_index
from edge_inspector.errors import ConfigError, DeviceError, EdgeInspectorError, Fault
from edge_inspector.simulation.broker import DemoBroker
from edge_inspector.simulation.ending import await_last_words, when_told
from edge_inspector.simulation.gige.processes import CameraProcesses
from edge_inspector.simulation.line import Line, camera_offset_mm
from edge_inspector.simulation.lines.kinds import KINDS, LANES, write_kind
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.simulation.recorder import Recorder
from edge_inspector.simulation.report import line_report, read_ledger, recovery_s
from edge_inspector.simulation.scoreboard import Scoreboard
from edge_inspector.simulation.signals import endings_wait
from edge_inspector.simulation.station_files import models_dir, write_station_files
from edge_inspector.simulation.tiles import write_textures
from edge_inspector.store.users import Role, new_user, write_users

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_READY_S = 60.0
_DEGRADED_S = 10.0
USER, PASSWORD = "demo", "demo-line"  # for the page, which only this machine can reach
_DOWN_S = {"plc": 5.0, "broker": 5.0, "daemon": 1.0, "camera": 3.0}  # how long a killed process stays dead


def run_demo(options: DemoOptions) -> int:
    """Run the line, show the score, write the report. 1 if promise 1 was broken.

    Raises ConfigError for impossible options before anything starts.
    """
    check_options(options)
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-inspector-demo-")))
        demo = Demo(options, folder.resolve())
        stack.enter_context(demo.running())
        demo.play()
        report = demo.finish()
    Scoreboard.summary(report)
    if options.report:
        options.report.write_text(json.dumps(report, indent=1) + "\n")
    gates = report["gate_wrong_part"] or report.get("sorted_wrong_part")
    return 1 if report["unaccounted"] or report["duplicates"] or gates else 0


def check_options(options: DemoOptions) -> None:
    """Raises ConfigError with all that is impossible."""
    if faults := [*_contradictions(options), *_missing(options)]:
        raise ConfigError(faults)


class Demo:
    """The processes of one run and their files."""

    stop_s = 10.0  # that the daemon may take to stop
    waits = False  # for other lines: somebody else starts the belt
    program: Sequence[str] = (sys.executable, "-m", "edge_inspector")

    def __init__(self, options: DemoOptions, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.ports = {name: free_port() for name in ("plc", "broker", "web", "other")}
        self.station_ports = dict(self.ports)  # the addresses in the station file, where a proxy may stand in between
        self.daemon_environment: dict[str, str] = {}
        self.daemon_command = "run"
        self.broker_lines: tuple[str, ...] = ("allow_anonymous true",)
        self.kind = KINDS[options.line] if options.line else None
        self.lanes = options.cameras or (len(self.kind.views) if self.kind else 1 if options.frames else 4)
        self.line = self._line()
        self.ledger = folder / "ledger.jsonl"
        self.ledger.unlink(missing_ok=True)
        (folder / "started").unlink(missing_ok=True)
        self.cameras = CameraProcesses(folder / "line.json", self.lanes if options.gige else 0, options.loss)
        self.ready_s = float("nan")
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
            with endings_wait():
                self.broker.start()
            self._put(self.broker.pid, self.options.world_cores)
            self.recorder = Recorder(self.ports["broker"], self.broker.mqtt_version)
            stack.callback(self.recorder.stop)
            line_file = self.folder / "line.json"
            self.line.write(line_file)
            self._write_files(line_file)
            stack.callback(self.cameras.stop)
            with endings_wait():
                self.cameras.start()
                self.plc = self._start_plc()
                stack.callback(lambda: end_process(self.plc))
                self.daemon = self._start_daemon()
                stack.callback(lambda: end_process(self.daemon))
            self._await_station()
            if not self.waits:
                self.start_belt()
            yield

    def start_belt(self) -> None:
        """Let the parts come."""
        self.line.start(time.monotonic_ns() + int(self.options.lead_s * 1e9))

    def play(self) -> None:
        """Let the line run until its last part is past the gate, or Ctrl-C. Kill the processes named in the options."""
        board = Scoreboard(
            self.line, self.broker.kind, self.folder, f"{self.page}   log in as {USER}, password {PASSWORD}"
        )
        last_ns = self.line.belt.time_at(self.line.eye_mm(self.line.parts - 1) + self.line.end_mm + 300)
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
            time.sleep(self.line.end_mm / self.line.speed_mm_s + 0.5)

    def _await_station(self) -> None:
        """Wait until it is ready, or permanently degraded: a camera or the broker may be missing on purpose."""
        begun_s = time.monotonic()
        while (waited_s := time.monotonic() - begun_s) < _READY_S:
            self._check_daemon()
            state = self._health().get("state")
            if state == "ready" or (state == "degraded" and waited_s > _DEGRADED_S):
                self.ready_s = age_s(self.daemon.pid)
                return
            time.sleep(0.02)
        raise EdgeInspectorError(f"the station was not ready within {_READY_S:g} s. {self._last_words()}")

    def _health(self) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['web']}/healthz", timeout=1) as answer:
                return dict(json.loads(answer.read()))
        except (OSError, ValueError):
            return {}

    def finish(self) -> dict[str, object]:
        """Stop the daemon, wait for the last messages on every link, and measure."""
        metrics = when_told(self._scrape, lambda: self.daemon.poll() is None)
        (self.folder / "metrics.txt").write_text(metrics)
        begun_ns = time.monotonic_ns()
        self.daemon.send_signal(signal.SIGTERM)
        try:
            code = self.daemon.wait(self.stop_s)
        except subprocess.TimeoutExpired:
            raise EdgeInspectorError(
                f"the daemon did not stop within {self.stop_s:g} s of SIGTERM. {self._last_words()}"
            ) from None
        stop_s = (time.monotonic_ns() - begun_ns) / 1e9
        await_last_words(self.recorder, self.ledger)
        self._stop_plc()
        if not self.ledger.exists():
            raise EdgeInspectorError("the simulated PLC did not start: this machine is too busy for the demo")
        report = line_report(self.line, read_ledger(self.ledger), self.recorder.verdicts(), metrics)
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
        web = self.kind is not None and self.kind.web
        if web:
            length_mm, pitch_mm = 450.0, 500.0
        textures = "" if frames or web else str(self.folder / "textures.npz")
        if textures:
            write_textures(Path(textures), options.seed)  # before the time until the belt starts begins to run
        line = Line(
            seed=options.seed,
            start_ns=0,
            started_by=str(self.folder / "started"),
            speed_mm_s=options.speed_mm_s * (self.kind.pace if self.kind else 1.0),
            pitch_mm=options.pitch_mm or pitch_mm,
            part_length_mm=options.part_length_mm or length_mm,
            parts=options.parts or 1_000_000,
            lanes=self.lanes,
            gate_mm=self._way_to_gate(),
            places_mm=self.kind.places_mm if self.kind is not None else (),
            fire_ports=tuple(free_port() for _ in range(self.lanes))
            if self.kind is not None and self.kind.fires
            else (),
            grades=self.kind.grades if self.kind is not None else (),
            cameras_at_eye=self.kind is not None and self.kind.at_eye,
            counts_per_mm=10.0,
            frames=frames,
            distinct=options.distinct,
            dim_from=options.dim_from,
            textures=textures,
            web=web,
        )
        if not options.distinct or options.gige:
            return line
        line.prepare(self.folder / "prepared", options.tiles)
        return replace(line, prepared=str(self.folder / "prepared"))

    def _way_to_gate(self) -> float:
        if self.kind is None:
            return camera_offset_mm(self.lanes - 1) + 1200.0 * max(1.0, self.options.speed_mm_s / 2000.0)
        return self.kind.way_mm

    def _write_files(self, line_file: Path) -> None:
        options = self.options
        if not (self.folder / "users").exists():
            write_users(self.folder / "users", {USER: new_user(USER, Role.ADMIN, PASSWORD)})
        if self.kind is not None:
            version = self.broker.mqtt_version
            write_kind(
                self.kind,
                self.folder,
                line_file,
                self.line,
                ports=self.station_ports,
                mqtt_version=version,
                faults=options.camera_faults,
            )
            return
        write_station_files(
            self.folder,
            line_file,
            self.line,
            ports=self.station_ports,
            options=options,
            mqtt_version=self.broker.mqtt_version,
        )

    def _put(self, pid: int, cores: Collection[int]) -> None:
        """Keep a process that has just started on these cores, if there are any."""
        if cores:
            os.sched_setaffinity(pid, cores)

    def _start_plc(self) -> subprocess.Popen[bytes]:
        self._boots += 1
        kind = self.kind
        plc = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "edge_inspector.simulation.plc" if kind is None else kind.process,
                str(self.folder / "line.json"),
                str(self.ports["plc" if kind is None else kind.port]),
                str(self.ledger),
                "--boot",
                str(self._boots),
                *([] if kind is None else [each.format(ports=self.ports) for each in kind.arguments]),
            ],
            start_new_session=True,
        )
        self._put(plc.pid, self.options.world_cores)
        return plc

    def _stop_plc(self) -> None:
        end_process(self.plc)

    def _start_daemon(self) -> subprocess.Popen[bytes]:
        with (self.folder / "daemon.log").open("a") as log:
            daemon = subprocess.Popen(
                [*self.program, self.daemon_command, str(self.folder / "station.toml")],
                stderr=log,
                stdout=log,
                start_new_session=True,
                env={**os.environ, **self.daemon_environment},
            )
        world = self.options.world_cores
        self._put(daemon.pid, os.sched_getaffinity(0) - set(world) if world else ())
        return daemon

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
        with endings_wait():
            self._revive(what)

    def _revive(self, what: str) -> None:
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
            raise EdgeInspectorError(f"the daemon ended with code {self.daemon.returncode}. {self._last_words()}")

    def _last_words(self) -> str:
        return "Its last lines:\n" + "\n".join((self.folder / "daemon.log").read_text().splitlines()[-10:])

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
    if options.line and options.line not in (*KINDS, LANES):
        yield Fault(f"--line {options.line}", f"there are: {', '.join((*KINDS, LANES))}")
    if options.line == LANES and any(not kill.startswith("daemon@") for kill in options.kills):
        yield Fault("--line lanes", "kills only daemon@S, the station of the first lane")
    if options.line and (options.gige or options.frames or options.line_scan or options.model_ms):
        yield Fault("--line", "goes with none of --gige, --frames, --line-scan and --model-ms")
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


def age_s(pid: int) -> float:
    """The age of the process, to 10 ms."""
    began_ticks = int(stat_of(Path(f"/proc/{pid}"))[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - began_ticks / TICKS_PER_S


def stat_of(process: Path) -> list[str]:
    """The fields after the name in the process's, or the thread's, stat file."""
    return (process / "stat").read_text().rpartition(")")[2].split()


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
