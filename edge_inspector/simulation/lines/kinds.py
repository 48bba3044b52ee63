"""The kinds of line that the demo can show, each with its station file and the process that plays the line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edge_inspector.simulation.camera_fire import OUTPUTS
from edge_inspector.simulation.line import Line, camera_offset_mm
from edge_inspector.simulation.lines.changeover_plc import add_second_product
from edge_inspector.simulation.station_files import models_dir

_STATION = """\
[station]
name = "demo"
recipe = "recipe.toml"
{kind.station}models_dir = "{models}"
state_dir = "state"

[line]
counts_per_mm = {scale}
speed_max_mm_s = {speed_max}
acceleration_max_mm_s2 = {acceleration_max}
gate_mm = {gate_mm}
reserve_ms = 150
promise = "{kind.promise}"

{kind.parts}
[encoder]
{encoder}

[segmenter]
driver = "{kind.model}"

[web]
port = {ports[web]}

[archive]
images_mb = 256
min_free_mb = 256
accepted_one_in = 10

{cameras}
{links}"""

_CAMERA = """\
[[cameras]]
name = "cam1"
driver = "simulated"
offset_mm = {offset_mm}
mm_per_px = 0.8
settings = {{ line = "{line_file}", lane = 0, offset_mm = {offset_mm}{look} }}
"""

_TURNING = """\
[[cameras]]
name = "cam"
driver = "simulated"
offset_mm = {offset_mm}
mm_per_px = 0.8
shots_mm = {shots}
settings = {{ line = "{line_file}", lane = 0, offset_mm = {offset_mm}, shots_mm = {shots}{faults} }}
"""

_WEB = """\
[roll]
piece_mm = {line.pitch_mm}
overlap_mm = 60

[[cameras]]
name = "cam1"               # an area camera: its pictures overlap by themselves
driver = "simulated"
offset_mm = 100.0
mm_per_px = 1.0
settings = {{ line = "{line_file}", lane = 0, offset_mm = 100.0{faults} }}

[[cameras]]
name = "cam2"               # a line camera: its pictures follow each other row by row
driver = "simulated"
offset_mm = 150.0
mm_per_px = 1.0
line_counts = 10
across_mm = 380.0
settings = {{ line = "{line_file}", lane = 1, offset_mm = 150.0, rows_mm = {line.pitch_mm} }}
"""

_WEB_CLASSES = """
[classes.defect]
min_area_mm2 = 20.0
[picture]
guard = "none"
[alarm]
rejects_in_a_row = 0
reject_share = 0
"""

_GRADES = """
[classes.stain]
min_confidence = 0.9
min_area_mm2 = 33.0
max_count = 9
[classes.scratch]
min_confidence = 0.9
min_area_mm2 = 50.0
max_count = 9

[[grades]]
name = "A"
[[grades]]
name = "B"
[grades.classes.stain]
max_count = 9
[grades.classes.scratch]
max_count = 9

[[regions.cam1]]
x_mm = 0.0
y_mm = 0.0
width_mm = 120.0
height_mm = 204.0
[[regions.cam1]]
points_mm = [[110, 0], [204, 0], [204, 204], [110, 204]]
[[regions.cam1]]            # the belt before the part
x_mm = 0.0
y_mm = 0.0
width_mm = 204.0
height_mm = 1.0
excluded = true
"""

_RECIPE = """\
id = 1
name = "ceramic tile"
model = "tile-1.1"
views = {views}
part_length_mm = {line.part_length_mm}
min_pitch_mm = {min_pitch}
position_tolerance_mm = {tolerance}
on_not_inspected = "reject"
"""

_BROKER = """\
[[plcs]]
name = "broker"
driver = "mqtt"
interval_ms = 10
[plcs.settings]
host = "127.0.0.1"
port = {ports[broker]}
version = "{mqtt_version}"
state_every_s = 0.2
{more}"""

_BROKER_BESIDE = """\
[[plcs]]
name = "broker"
driver = "mqtt"
settings = {{ host = "127.0.0.1", port = {ports[broker]}, version = "{mqtt_version}" }}
"""

_ENCODER = 'driver = "simulated"\nsettings = {{ line = "{line_file}", zero = {zero} }}'
_TIMED = (
    'driver = "constant-speed"\nsettings = {{ speed_mm_s = {line.speed_mm_s}, speed_error_percent = {error}, '
    "counts_per_mm = {line.counts_per_mm}, settle_ms = 1000 }}"
)
_BLOCKS_ENCODER = """driver = "s7"
read_point = 0.65
settings = {{ host = "127.0.0.1", port = {ports[plc]} }}"""
_BLOCKS = """\
[[plcs]]
name = "plc"
driver = "s7"
settings = {{ host = "127.0.0.1", port = {ports[plc]} }}

"""
_BY_NAME = (
    'settings = {{ host = "127.0.0.1", port = {ports[plc]}, tls = false, '
    'db_plc = "DB_Plc", db_edge = "DB_Edge", symbolic = true }}'
)
_COMMPLUS_ENCODER = f'driver = "s7commplus"\n{_BY_NAME}'
_COMMPLUS = f"""\
[[plcs]]
name = "plc"
driver = "s7commplus"
{_BY_NAME}

"""
_OUTPUT = """\
[[plcs]]
name = "gate"
driver = "modbus-output"
interval_ms = 5
settings = {{ host = "127.0.0.1", port = {ports[plc]}, fire = "holding 100", pulse_ms = 40 }}

"""
_SIMPLE = """\
[[plcs]]
name = "plc"
driver = "{driver}"
interval_ms = 10
[plcs.settings]
host = "127.0.0.1"
port = {ports[plc]}
{more}"""
_S7_PLACES = """\
trigger = "DB10.DBW0"
trigger_count = "DB10.DBD2 as dint"
alive = "DB10.DBW6"
running = "DB10.DBX20.0"
taken = "DB10.DBD16 as udint"
heartbeat = "DB11.DBW10"
scan_ms = 40
[plcs.settings.result]
part = "DB11.DBD0 as udint"
due = "DB11.DBD4 as dint"
decision = "DB11.DBW8"

"""
_S7_BY_TIME = _S7_PLACES.replace('trigger_count = "DB10.DBD2 as dint"\n', "")
_MODBUS_PLACES = """\
trigger = "holding 0"
trigger_count = "holding 1 as dint"
alive = "holding 3"
running = "holding 10.0"
taken = "holding 8 as udint"
heartbeat = "holding 105"
scan_ms = 40
[plcs.settings.result]
part = "holding 100 as udint"
due = "holding 102 as dint"
decision = "holding 104"

"""
_SIMPLE_ENCODER = (
    'driver = "{driver}"\nsettings = {{ host = "127.0.0.1", port = {ports[plc]}, count = "{place}", scan_ms = 40 }}'
)
_BY_CAMERA = '[parts]\nannounced_by = "cam1"\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class LineKind:
    """One kind of line. `process` is the module that plays it, and `port` the one that it serves or uses.

    `places_mm` is the way from the photo-eye to each of the `views`, if there is more than the one of `cam1`. `fires`:
    the PLC fires each camera by count. `web`: there are no parts. `recipe` is added to the recipe, `station` to the
    station's own table. `grades` has the way of each grade's gate, and `finish` is called with the folder at the end.
    """

    what: str
    process: str
    port: str
    promise: str
    encoder: str
    links: str
    more: str = ""
    parts: str = ""
    arguments: tuple[str, ...] = ()
    at_eye: bool = False
    latches: bool = False
    still: bool = False
    way_mm: float = 1200.0
    pace: float = 1.0
    places_mm: tuple[float, ...] = ()
    cameras: str = _CAMERA
    views: tuple[str, ...] = ("cam1",)
    fires: bool = False
    tolerance_mm: float = 10.0
    model: str = "onnx"
    web: bool = False
    recipe: str = ""
    station: str = ""
    grades: tuple[tuple[str, float], ...] = ()
    finish: Callable[[Path], None] | None = None


_GATEWAY = "edge_inspector.simulation.lines.gateway"

_BY_MESSAGES: Mapping[str, LineKind] = {
    "mqtt": LineKind(
        what="MQTT announces and decides, an encoder follows the belt",
        process=_GATEWAY,
        port="broker",
        promise="counted",
        encoder=_ENCODER,
        links=_BROKER,
        more="triggers = true\nline = true\n",
        arguments=("--announces", "mqtt", "--gate", "count", "--counts", "yes"),
    ),
    "mqtt-timed": LineKind(
        what="MQTT announces and decides, no encoder",
        process=_GATEWAY,
        port="broker",
        promise="timed",
        encoder=_TIMED,
        links=_BROKER,
        more="triggers = true\nline = true\ngate_time = true\ntrigger_clock_ms = 3\n",
        arguments=("--announces", "mqtt", "--gate", "time"),
        way_mm=900.0,
        tolerance_mm=60.0,
    ),
    "camera": LineKind(
        what="the camera announces, the encoder is wired to it, the verdict goes out by MQTT",
        process=_GATEWAY,
        port="broker",
        promise="counted",
        encoder='driver = "camera-chunk"\nsettings = {{ camera = "cam1" }}',
        links=_BROKER,
        parts=_BY_CAMERA,
        more="line = true\n",
        arguments=("--announces", "camera", "--gate", "count"),
        at_eye=True,
        latches=True,
    ),
    "camera-output": LineKind(
        what="the camera announces, the encoder is wired to it, a remote output fires the gate",
        process=_GATEWAY,
        port="broker",
        promise="timed",
        encoder='driver = "camera-chunk"\nsettings = {{ camera = "cam1", settle_ms = 1000 }}',
        links=_OUTPUT + _BROKER,
        more="line = true\n",
        parts=_BY_CAMERA,
        arguments=("--announces", "camera", "--gate", "output", "--io", "{ports[plc]}"),
        at_eye=True,
        latches=True,
    ),
    "camera-timed": LineKind(
        what="the camera announces, no encoder, the verdict goes out by MQTT with a time for the gate",
        process=_GATEWAY,
        port="broker",
        promise="timed",
        encoder=_TIMED,
        links=_BROKER,
        parts=_BY_CAMERA,
        more="line = true\ngate_time = true\n",
        arguments=("--announces", "camera", "--gate", "time"),
        at_eye=True,
        way_mm=900.0,
        tolerance_mm=60.0,
    ),
}


def _simple(driver: str, what: str, places: str, encoder_place: str) -> LineKind:
    return LineKind(
        what=what,
        process="edge_inspector.simulation.lines.simple_plc",
        port="plc",
        promise="counted",
        encoder=_SIMPLE_ENCODER.replace("{driver}", driver).replace("{place}", encoder_place),
        links=_SIMPLE.replace("{driver}", driver) + _BROKER_BESIDE,
        more=places,
        arguments=("--protocol", driver.partition("-")[0]),
        pace=0.5,
        tolerance_mm=40.0,
    )


def _above(number: int) -> str:
    """One of several cameras that see the same lane."""
    text = _CAMERA.replace('"cam1"', f'"cam{number}"').replace("{look}", "")
    return text.replace("{offset_mm}", f"{camera_offset_mm(number - 1)}")


_TWO_ABOVE_EACH_OTHER = (_above(1), _above(2))


def _fired(lane: int) -> str:
    """A camera on an output of the PLC."""
    place = camera_offset_mm(lane)
    text = _CAMERA.replace('"cam1"', f'"cam{lane + 1}"').replace("lane = 0", f"lane = {lane}")
    return text.replace("{offset_mm}", f"{place}").replace("{look}", f", fired_by = {{line.fire_ports[{lane}]}}")


KINDS: Mapping[str, LineKind] = {
    **_BY_MESSAGES,
    "bench": LineKind(
        what="a bench without a belt: a call, a picture, an answer",
        process="edge_inspector.simulation.lines.bench",
        port="broker",
        promise="bench",
        encoder='driver = "no-belt"',
        links=_BROKER,
        parts='[parts]\nannounced_by = "cam1"\non_call = true\n',
        more="commands = true\n",
        at_eye=True,
        still=True,
        pace=0.5,
    ),
    "s7-simple": _simple("s7-simple", "an S7 PLC as it is, without a block of ours", _S7_PLACES, "DB10.DBD8 as dint"),
    "two-plcs": replace(
        _simple("s7-simple", "an S7 PLC has the photo-eye, another one the encoder", _S7_BY_TIME, ""),
        encoder=_SIMPLE_ENCODER.replace("{driver}", "modbus-simple")
        .replace("{ports[plc]}", "{ports[other]}")
        .replace("{place}", "holding 4 as dint"),
        arguments=("--protocol", "s7", "--beside", "{ports[other]}"),
        pace=0.25,
        tolerance_mm=90.0,
    ),
    "s7commplus": LineKind(
        what="an S7 PLC without PUT/GET and with optimised blocks, over S7CommPlus",
        process="edge_inspector.simulation.lines.s7commplus_plc",
        port="plc",
        promise="acknowledged",
        encoder=_COMMPLUS_ENCODER,
        links=_COMMPLUS + _BROKER_BESIDE,
    ),
    "plc-camera": LineKind(
        what="the PLC fires eight cameras by count, up to one scan late",
        process="edge_inspector.simulation.plc",
        port="plc",
        promise="acknowledged",
        encoder=_BLOCKS_ENCODER,
        links=_BLOCKS + _BROKER_BESIDE,
        cameras="\n".join(map(_fired, range(OUTPUTS))),
        views=tuple(f"cam{lane + 1}" for lane in range(OUTPUTS)),
        fires=True,
        pace=0.25,
        tolerance_mm=20.0,
    ),
    "shots": LineKind(
        what="one camera takes three pictures of each part: two with different lights, one further on",
        process="edge_inspector.simulation.plc",
        port="plc",
        promise="acknowledged",
        encoder=_BLOCKS_ENCODER,
        links=_BLOCKS + _BROKER_BESIDE,
        cameras=_TURNING,
        places_mm=(300.0, 302.0, 360.0),
        views=("cam-1", "cam-2", "cam-3"),
    ),
    "grades": LineKind(
        what="good parts of two grades, each with its own gate, judged in several areas of the picture",
        process="edge_inspector.simulation.lines.grades_plc",
        port="plc",
        promise="acknowledged",
        encoder=_BLOCKS_ENCODER,
        links=_BLOCKS + _BROKER_BESIDE,
        recipe=_GRADES,
        pace=0.5,
        grades=(("A", 500.0), ("B", 800.0)),
    ),
    "changeover": LineKind(
        what="two products by turns, with their own models, cameras and exposures",
        process="edge_inspector.simulation.lines.changeover_plc",
        port="plc",
        promise="acknowledged",
        encoder=_BLOCKS_ENCODER,
        links=_BLOCKS + _BROKER_BESIDE,
        station='recipes = ["second.toml"]\n',
        cameras="\n".join(_TWO_ABOVE_EACH_OTHER),
        finish=add_second_product,
        pace=0.5,
    ),
    "web": LineKind(
        what="a continuous web, seen by an area camera and a line camera",
        process=_GATEWAY,
        port="broker",
        promise="counted",
        encoder=_ENCODER,
        links=_BROKER,
        more="line = true\n",
        arguments=("--announces", "camera", "--gate", "count"),
        cameras=_WEB,
        views=("cam1", "cam2"),
        places_mm=(100.0, 150.0),
        way_mm=4000.0,
        pace=2.5,
        tolerance_mm=10.0,
        model="simulated",
        web=True,
    ),
    "modbus-simple": _simple("modbus-simple", "a Modbus PLC as it is", _MODBUS_PLACES, "holding 4 as dint"),
}

LANES = "lanes"  # two lines of the usual kind on one PLC (simulation/lines/lanes.py)
SPEED_ERROR_PERCENT = 2.5  # the simulated belt's ripple is one percent


def write_kind(
    kind: LineKind,
    folder: Path,
    line_file: Path,
    line: Line,
    *,
    ports: Mapping[str, int],
    mqtt_version: str,
    faults: str = "",
) -> None:
    """Write station and recipe of a kind into `folder`. `faults` are those of the camera."""
    zero = line.counter_zero(1)
    offset_mm = line.offset_mm(0)
    words = {"line": line, "line_file": line_file, "zero": zero, "ports": ports, "error": SPEED_ERROR_PERCENT}
    station = _STATION.format(
        kind=kind,
        models="models" if kind.finish else models_dir(),
        scale=1.0 if kind.still else line.counts_per_mm,
        speed_max=1000.0 if kind.still else line.speed_mm_s * 1.1,
        acceleration_max=line.speed_mm_s * 4,
        gate_mm=2000.0 if kind.still else line.gate_mm,
        encoder=kind.encoder.format(**words),
        links=kind.links.format(mqtt_version=mqtt_version, more=kind.more.format(**words), **words),
        cameras=kind.cameras.format(
            look=_look(kind, zero),
            offset_mm=offset_mm,
            shots=[round(place - kind.places_mm[0], 3) for place in kind.places_mm],
            faults=f", {faults}" if faults else "",
            **words,
        ),
        offset_mm=offset_mm,
        **words,
    )
    recipe = _RECIPE.format(
        line=line,
        min_pitch=max(line.pitch_mm * 0.9, line.part_length_mm),
        tolerance=kind.tolerance_mm,
        views=json.dumps(kind.views),
    )
    (folder / "station.toml").write_text(station)
    (folder / "recipe.toml").write_text(recipe + (_WEB_CLASSES if kind.web else kind.recipe))
    if kind.finish is not None:
        kind.finish(folder)


def _look(kind: LineKind, zero: int) -> str:
    return f", latch_zero = {zero}" if kind.latches else ", free_hz = 20" if kind.still else ""
