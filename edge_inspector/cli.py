"""The command line: the arguments of every command, and the function that each command calls."""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from edge_inspector import __version__
from edge_inspector.driver_table import DEFAULT_RUNTIME, RUNTIMES
from edge_inspector.errors import ConfigError, EdgeInspectorError, Fault
from edge_inspector.texts import without_passwords
from edge_inspector.training.arguments import add_model_commands

_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 -- argparse has no other name

_RUNTIME = f"segmenter driver (default: {DEFAULT_RUNTIME})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0: done. 1: failed. 2: wrong configuration or command line.
    """
    given = _parser().parse_args(arguments)
    try:
        code: int = given.command(given)
        return code
    except ConfigError as error:
        for fault in error.faults:
            print(without_passwords(str(fault)), file=sys.stderr)
        count = len(error.faults)
        print(f"{count} fault{'s' if count != 1 else ''} found; nothing was started", file=sys.stderr)
        return 2
    except EdgeInspectorError as error:
        print(without_passwords(str(error)), file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edge-inspector", description="Real-time inspection at a production line.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    _add_station(commands)
    _add_cameras(commands)
    _add_history(commands)
    add_model_commands(commands.add_parser("model", help="train, quantise, judge and compare models"))
    _add_demo(commands)
    _add_bench(commands)
    return parser


def _add_station(commands: _Commands) -> None:
    run = commands.add_parser("run", help="run a station until SIGTERM or Ctrl-C")
    run.add_argument("station", type=Path, metavar="STATION.toml", help="the station file")
    run.set_defaults(command=_run)

    check = commands.add_parser("check", help="check a station's files, cameras, PLC and broker")
    check.add_argument("station", type=Path, metavar="STATION.toml", help="the station file")
    check.set_defaults(command=_check)

    doctor = commands.add_parser("doctor", help="find problems of this machine that would disturb a station")
    doctor.add_argument(
        "station", nargs="?", type=Path, metavar="STATION.toml", help="also check what this station needs"
    )
    doctor.set_defaults(command=_doctor)

    user = commands.add_parser("user", help="add, remove or list users of the operator page")
    user.add_argument("action", choices=["add", "remove", "list"], metavar="ACTION", help="add, remove or list")
    user.add_argument("name", nargs="?", default="", metavar="NAME", help="the user to add or remove")
    user.add_argument(
        "--role",
        choices=["viewer", "reviewer", "admin"],
        default="viewer",
        help="viewer may look, reviewer may also mark parts, admin may also command the station (default: viewer)",
    )
    user.add_argument(
        "--station",
        type=Path,
        default=Path("/etc/edge-inspector/station.toml"),
        metavar="STATION.toml",
        help="the station file (default: /etc/edge-inspector/station.toml)",
    )
    user.set_defaults(command=_user)

    shadow = commands.add_parser("shadow", help="let the shadow model judge, or undo that")
    shadow.add_argument(
        "action",
        choices=["promote", "rollback"],
        metavar="ACTION",
        help="promote swaps the model of the recipes with the shadow model, rollback swaps them back",
    )
    shadow.add_argument("station", type=Path, metavar="STATION.toml", help="the station file")
    shadow.set_defaults(command=_shadow)

    schema = commands.add_parser("schema", help="print the JSON Schema of MQTT messages, station file and recipe")
    schema.add_argument(
        "name",
        nargs="?",
        choices=["verdict", "state", "command_result", "command", "station", "recipe"],
        metavar="NAME",
        help="verdict, state, command, command_result, station or recipe (default: all, in one document)",
    )
    schema.set_defaults(command=_schema)


def _add_cameras(commands: _Commands) -> None:
    cameras = commands.add_parser("cameras", help="list the cameras found on the network and on USB")
    cameras.add_argument("which", nargs="*", metavar="WHICH", help="serial numbers or addresses (default: all)")
    cameras.add_argument(
        "--snapshot", type=Path, metavar="DIR", help="also take a picture with each camera, as DIR/SERIAL.png"
    )
    cameras.set_defaults(command=_cameras)

    focus = commands.add_parser("focus", help="show sharpness and exposure live while you adjust a lens")
    focus.add_argument(
        "which",
        type=_name,
        metavar="CAMERA",
        help="address, serial number, device or URL (with --station: the camera's name)",
    )
    focus.add_argument(
        "--station", type=Path, metavar="STATION.toml", help="take the camera's settings from this station file"
    )
    focus.add_argument("--triggered", action="store_true", help="wait for the configured trigger (default: run freely)")
    focus.add_argument(
        "--latency",
        action="store_true",
        help="measure latency_ms instead: this screen flashes and the camera must see it",
    )
    focus.add_argument("--count", type=_whole, default=0, help="stop after this many lines (default: until Ctrl-C)")
    focus.set_defaults(command=_focus)


def _add_demo(commands: _Commands) -> None:
    demo = commands.add_parser("demo", help="run a simulated line: PLC, broker, station and scoreboard")
    demo.add_argument("--parts", type=_whole, default=0, help="stop after this many parts (default: until Ctrl-C)")
    demo.add_argument(
        "--cameras", type=_whole, default=0, help="number of cameras side by side (default: 4, with --frames 1)"
    )
    demo.add_argument("--speed-mm-s", type=_positive, default=2000.0, help="belt speed (default: 2000)")
    demo.add_argument("--pitch-mm", type=_positive, default=0.0, help="distance between parts (default: 400)")
    demo.add_argument("--frames", type=Path, metavar="DIR", help="use real images as parts: a folder with index.csv")
    demo.add_argument(
        "--model", default="", help="model folder name (default: tile-1.1, with --frames magnetic-tile-1.6)"
    )
    demo.add_argument("--runtime", choices=list(RUNTIMES), default=DEFAULT_RUNTIME, help=_RUNTIME)
    demo.add_argument("--workers", type=_whole, default=0, help="threads of the model (default: one per core)")
    demo.add_argument(
        "--model-ms",
        type=_positive,
        default=0.0,
        help="use a simulated model that takes this long per frame, to test overload",
    )
    demo.add_argument(
        "--kill",
        action="append",
        default=[],
        metavar="WHAT@S",
        help="kill plc, broker, daemon or camera (kill -9) S seconds after the first part. It starts again 5 s later, "
        "the daemon after 1 s, a camera after 3 s",
    )
    demo.add_argument(
        "--gige",
        action="store_true",
        help="send the frames over GigE Vision, from simulated cameras on 127.0.0.2 and up",
    )
    demo.add_argument(
        "--loss", type=_fraction, default=0.0, help="with --gige: lose this fraction of the packets, as 0.005"
    )
    demo.add_argument(
        "--shadow",
        default="",
        metavar="MODEL",
        help="let a second model look at the pictures in spare time, as tile-1.1/fp32",
    )
    demo.add_argument(
        "--line-scan",
        action="store_true",
        help="with --gige: use line-scan cameras, whose rows are triggered by the encoder",
    )
    demo.add_argument(
        "--dim-from",
        type=_whole,
        default=-1,
        metavar="PART",
        help="let a lamp fail from this part on: 15 %% less light",
    )
    demo.add_argument("--seed", type=_seed, default=7, help="seed of the simulated belt and parts (default: 7)")
    demo.add_argument("--report", type=Path, metavar="FILE", help="write the measured figures as JSON")
    demo.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="keep the files of the run in this folder (default: a temporary folder)",
    )
    demo.set_defaults(command=_demo)


def _add_bench(commands: _Commands) -> None:
    bench = commands.add_parser("bench", help="measure how fast this machine is, on the simulated line")
    bench.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="throughput, latency, growth, position, realtime, footprint, allocations (default: all, about 35 minutes)",
    )
    bench.add_argument("--model", default="tile-1.1", help="model folder name (default: tile-1.1)")
    bench.add_argument("--runtime", choices=list(RUNTIMES), default=DEFAULT_RUNTIME, help=_RUNTIME)
    bench.add_argument("--seconds", type=_positive, default=12.0, help="duration of each run of the line (default: 12)")
    bench.add_argument(
        "--repeats", type=_whole, default=3, help="rounds: each variant runs once per round (default: 3)"
    )
    bench.add_argument(
        "--out", type=Path, default=Path("bench"), metavar="DIR", help="folder for the JSON files (default: bench)"
    )
    bench.add_argument("--budgets", type=Path, metavar="FILE", help="fail if a figure exceeds its budget in this file")
    bench.set_defaults(command=_bench)


def _add_history(commands: _Commands) -> None:
    trace = commands.add_parser(
        "trace", help="show everything that happened to one part, from the photo-eye to every link"
    )
    trace.add_argument("station", type=Path, metavar="STATION", help="the station file, or its state folder")
    trace.add_argument(
        "part", metavar="PART", help="number of the part: the PLC's, or with # that of the results file, as #4711"
    )
    trace.set_defaults(command=_trace)

    export = commands.add_parser("export", help="write results as tables, or pictures as training data")
    export.add_argument("station", type=Path, metavar="STATION", help="the station file, or its state folder")
    export.add_argument(
        "--from", dest="since", type=_utc, metavar="UTC", help="start of the period, as 2026-11-21 or 2026-11-21T06:00"
    )
    export.add_argument(
        "--to", dest="until", type=_utc, metavar="UTC", help="end of the period, which is itself left out"
    )
    export.add_argument(
        "--format",
        choices=["csv", "parquet", "index", "coco"],
        default="csv",
        help="csv and parquet export all tables, index and coco export pictures with masks and labels (default: csv)",
    )
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to write into")
    export.set_defaults(command=_export)

    reference = commands.add_parser("reference", help="learn the reference of the drift watch from judged parts")
    reference.add_argument("station", type=Path, metavar="STATION", help="the station file, or its state folder")
    reference.add_argument(
        "--recipe", type=_whole, metavar="ID", help="id of the recipe (default: the recipe of the last part)"
    )
    reference.add_argument(
        "--from", dest="since", type=_utc, metavar="UTC", help="start of the period, as 2026-11-21T06:00"
    )
    reference.add_argument(
        "--to", dest="until", type=_utc, metavar="UTC", help="end of the period, which is itself left out"
    )
    reference.set_defaults(command=_reference)

    guard = commands.add_parser(
        "guard", help="teach the picture guard with good parts, so that it refuses other pictures"
    )
    guard.add_argument("station", type=Path, metavar="STATION.toml", help="the station file")
    guard.add_argument("--recipe", type=_whole, required=True, metavar="ID", help="id of the recipe of these parts")
    guard.add_argument(
        "--pictures",
        type=Path,
        metavar="DIR",
        help="folder with one camera's pictures of good parts (default: the archive's pictures of accepted parts)",
    )
    guard.add_argument(
        "--camera", metavar="NAME", help="camera that took --pictures, if the station has several cameras"
    )
    guard.set_defaults(command=_guard)


def _run(given: argparse.Namespace) -> int:
    from edge_inspector.daemon import Daemon, load_patiently  # noqa: PLC0415 -- other commands start without it
    from edge_inspector.runtime.logs import set_up_logging  # noqa: PLC0415

    set_up_logging()
    return Daemon(load_patiently(given.station)).run()


def _check(given: argparse.Namespace) -> int:
    from edge_inspector.check import check_station  # noqa: PLC0415

    return check_station(given.station)


def _doctor(given: argparse.Namespace) -> int:
    from edge_inspector.doctor import examine  # noqa: PLC0415

    return examine(given.station)


def _cameras(given: argparse.Namespace) -> int:
    from edge_inspector.find import find_cameras  # noqa: PLC0415

    return find_cameras(given.which, given.snapshot)


def _trace(given: argparse.Namespace) -> int:
    from edge_inspector.config import read_state_dir  # noqa: PLC0415
    from edge_inspector.history.trace import trace  # noqa: PLC0415
    from edge_inspector.store.results_file import results_path  # noqa: PLC0415

    print(trace(results_path(read_state_dir(given.station)), given.part))
    return 0


def _export(given: argparse.Namespace) -> int:
    from edge_inspector.config import read_state_dir  # noqa: PLC0415
    from edge_inspector.history.export import export  # noqa: PLC0415
    from edge_inspector.store.results_file import results_path  # noqa: PLC0415

    results = results_path(read_state_dir(given.station))
    for what, count in export(results, given.out, given.format, since=given.since, until=given.until).items():
        print(f"{count:10} {what}")
    return 0


def _reference(given: argparse.Namespace) -> int:
    from edge_inspector.config import read_state_dir  # noqa: PLC0415
    from edge_inspector.history.reference import learn_reference  # noqa: PLC0415

    learnt = learn_reference(read_state_dir(given.station), given.recipe, given.since, given.until)
    print(f"recipe {learnt.recipe_id}: {learnt.parts} parts, {learnt.reject_rate:.1%} rejected")
    for each in learnt.distributions:
        print(f"{each.count:10} {each.subject} {each.quantity}")
    return 0


def _guard(given: argparse.Namespace) -> int:
    from edge_inspector.history.teach import teach_guard  # noqa: PLC0415
    from edge_inspector.inspection.picture_guard import blind_to  # noqa: PLC0415

    for camera, guard in teach_guard(given.station, given.recipe, given.pictures, given.camera).items():
        passing = ", ".join(blind_to(guard))
        weak = f"; it cannot tell these from a part: {passing}" if passing else ""
        print(f"recipe {given.recipe}, {camera}: taught from {guard.parts} pictures{weak}")
    return 0


def _user(given: argparse.Namespace) -> int:
    from edge_inspector.accounts import add_user, list_users, remove_user  # noqa: PLC0415

    if given.action == "list":
        return list_users(given.station)
    if given.action == "remove":
        return remove_user(given.station, given.name)
    return add_user(given.station, given.name, given.role)


def _shadow(given: argparse.Namespace) -> int:
    from edge_inspector.promotion import promote, roll_back  # noqa: PLC0415

    return promote(given.station) if given.action == "promote" else roll_back(given.station)


def _focus(given: argparse.Namespace) -> int:
    from edge_inspector.focus import show_focus  # noqa: PLC0415

    return show_focus(given.which, given.station, given.count, triggered=given.triggered, latency=given.latency)


def _schema(given: argparse.Namespace) -> int:
    from edge_inspector.schema import every_schema, schema  # noqa: PLC0415

    print(json.dumps(schema(given.name) if given.name else every_schema(), indent=2, ensure_ascii=False))
    return 0


def _bench(given: argparse.Namespace) -> int:
    from edge_inspector.simulation.bench.effort import Effort  # noqa: PLC0415
    from edge_inspector.simulation.bench.measures import BENCHMARKS  # noqa: PLC0415
    from edge_inspector.simulation.bench.run import run_bench  # noqa: PLC0415

    unknown = [name for name in given.names if name not in BENCHMARKS]
    if unknown:
        raise ConfigError(
            [Fault("bench", f"no benchmark {name!r}; there are: {', '.join(BENCHMARKS)}") for name in unknown]
        )
    effort = Effort(model=given.model, runtime=given.runtime, seconds=given.seconds, repeats=given.repeats)
    with _unwound_by_sigterm():
        return run_bench(given.names, effort, given.out, given.budgets)


def _demo(given: argparse.Namespace) -> int:
    from edge_inspector.simulation.demo import DemoOptions, run_demo  # noqa: PLC0415

    options = DemoOptions(
        parts=given.parts,
        cameras=given.cameras,
        speed_mm_s=given.speed_mm_s,
        pitch_mm=given.pitch_mm,
        frames=given.frames,
        model=given.model,
        runtime=given.runtime,
        workers=given.workers,
        model_ms=given.model_ms,
        kills=tuple(given.kill),
        seed=given.seed,
        report=given.report,
        keep=given.keep,
        gige=given.gige,
        loss=given.loss,
        shadow=given.shadow,
        line_scan=given.line_scan,
        dim_from=given.dim_from,
    )
    with _unwound_by_sigterm():
        return run_demo(options)


@contextmanager
def _unwound_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the command like Ctrl-C does, including all processes that it started."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _whole(text: str) -> int:
    number = int(text)
    if not 1 <= number < 1 << 31:
        raise argparse.ArgumentTypeError("must be at least 1 and below 2^31")
    return number


def _seed(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must be at least 0")
    return number


def _name(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def _utc(text: str) -> datetime:
    try:
        given = datetime.fromisoformat(text)
        return given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date as 2026-11-21 or 2026-11-21T06:00") from error


def _fraction(text: str) -> float:
    number = float(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError("must be at least 0 and below 1")
    return number


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError("must be greater than 0, and finite")
    return number
