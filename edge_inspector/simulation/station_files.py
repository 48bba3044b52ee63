"""The demo's station: the two files that any station has, written for the simulated line."""

from __future__ import annotations

from pathlib import Path

import edge_inspector
from edge_inspector.errors import EdgeInspectorError
from edge_inspector.simulation.gige.processes import camera_address
from edge_inspector.simulation.line import Line, camera_offset_mm
from edge_inspector.simulation.options import DemoOptions

_STATION = """\
[station]
name = "demo"
recipe = "recipe.toml"
models_dir = "{models}"
state_dir = "state"

[line]
counts_per_mm = {counts_per_mm}
speed_max_mm_s = {speed_max}
acceleration_max_mm_s2 = {acceleration_max}
gate_mm = {line.gate_mm}
reserve_ms = 100

[encoder]
driver = "s7"
read_point = 0.65  # python-snap7's server reads late in the round trip
{counter}settings = {{ host = "127.0.0.1", port = {ports[plc]} }}

[segmenter]
driver = "{segmenter}"
{segmenter_settings}
[web]
port = {ports[web]}

[archive]
{archive}

[[plcs]]
name = "plc"
driver = "s7"
interval_ms = 20
settings = {{ host = "127.0.0.1", port = {ports[plc]} }}

[[plcs]]
name = "broker"
driver = "mqtt"
interval_ms = 50
settings = {{ host = "127.0.0.1", port = {ports[broker]}, version = "{mqtt_version}" }}
"""

_CAMERA = """
[[cameras]]
name = "cam{number}"
driver = "{driver}"
offset_mm = {offset_mm}
mm_per_px = {mm_per_px}
{line_counts}{limits}settings = {{ {settings} }}
"""
_LIMITS = "exposure_us_limits = [20, 1000]\ngain_limits = [0.5, 4]\n"

_SIMULATED = 'line = "{line_file}", lane = {lane}, offset_mm = {offset_mm}{faults}'
_GIGE = (
    'address = "{address}", pixel_format = "{pixel_format}", demosaic = "vng", exposure_us = 200, '
    'trigger_source = "Line0", '
    'trigger_activation = "RisingEdge", chunk_encoder = "EncoderValue", packet_size = 1500, packet_socket = false'
)

_LINE_SCAN = ', roi = [0, 0, 256, 256], line_trigger_source = "Encoder0", line_trigger_divider = {counts}'

_RECIPE = """\
id = 1
name = "{name}"
model = "{model}"
views = [{views}]
part_length_mm = {line.part_length_mm}
min_pitch_mm = {min_pitch}
position_tolerance_mm = {tolerance_mm}
on_not_inspected = "reject"
review_band = {review_band}
{classes}{alarm}"""

# Pictures come in the order of their index, where all defects may be in a row. The simulated model rejects most parts.
_NO_REJECT_ALARM = """
[alarm]
rejects_in_a_row = 0
reject_share = 0
"""


def write_station_files(
    folder: Path, line_file: Path, line: Line, *, ports: dict[str, int], options: DemoOptions, mqtt_version: str = "5"
) -> Path:
    """Write station and recipe into `folder`. Returns the station file's path."""
    simulated = options.model_ms > 0
    model = options.model or ("magnetic-tile-1.6" if line.frames else "tile-1.1")
    station = _STATION.format(
        models=models_dir(),
        line=line,
        counts_per_mm=-line.counts_per_mm if line.falling else line.counts_per_mm,
        counter=f"counter_lowest = 0\ncounter_highest = {line.modulo - 1}\n" if line.modulo else "",
        ports=ports,
        speed_max=line.speed_mm_s * 1.1,
        acceleration_max=line.speed_mm_s * 4,
        segmenter="simulated" if simulated else options.runtime,
        segmenter_settings=(
            f"settings = {{ ms_per_frame = {options.model_ms}, fail_every = {options.model_fail_every} }}\n"
            if simulated
            else f"settings = {{ workers = {options.workers} }}\n"
            if options.workers
            else ""
        ),
        mqtt_version=mqtt_version,
        archive=options.archive or "images_mb = 256\nmin_free_mb = 256\naccepted_one_in = 10\n",
    )
    if options.shadow:
        name, _, precision = options.shadow.partition("/")
        station += f'\n[shadow]\nmodel = "{name}"\nsettings = {{ precision = "{precision or "int8"}" }}\n'
    for lane in range(line.lanes):
        station += _CAMERA.format(
            number=lane + 1,
            driver="genicam" if options.gige else "simulated",
            offset_mm=camera_offset_mm(lane),
            mm_per_px=0.2 if line.frames else 0.8,
            line_counts=f"line_counts = {_row_counts(line)}\n" if options.line_scan else "",
            limits="" if options.gige else _LIMITS,
            settings=_camera_settings(line_file, line, lane, options),
        )
    if options.record_mb:
        station += f"\n[record]\nbudget_mb = {options.record_mb}\n"
    if options.realtime:
        station += f"\n[realtime]\n{options.realtime}\n"
    recipe = _RECIPE.format(
        name="magnetic tile" if line.frames else "ceramic tile",
        model=model,
        views=", ".join(f'"cam{lane + 1}"' for lane in range(line.lanes)),
        line=line,
        min_pitch=max(line.pitch_mm * 0.9, line.part_length_mm),
        review_band=list(options.review_band),
        tolerance_mm=options.tolerance_mm,
        # Tests with the simulated model need no guard, and their lines must report that all is well.
        classes='[classes.defect]\nmin_area_mm2 = 20.0\n[picture]\nguard = "none"\n' if simulated else "",
        alarm=_NO_REJECT_ALARM if simulated or line.frames else "",
    )
    (folder / "station.toml").write_text(station)
    (folder / "recipe.toml").write_text(recipe)
    return folder / "station.toml"


def _camera_settings(line_file: Path, line: Line, lane: int, options: DemoOptions) -> str:
    if options.gige:
        shown = line.look.render(0, lane) if line.frames else None
        grey = shown is not None and shown.ndim == 2
        chosen = _GIGE.format(address=camera_address(lane), pixel_format="Mono8" if grey else "BayerRG8")
        return chosen + (_LINE_SCAN.format(counts=_row_counts(line)) if options.line_scan else "")
    faults = f", {options.camera_faults}" if options.camera_faults and lane == 0 else ""
    return _SIMULATED.format(line_file=line_file, lane=lane, offset_mm=camera_offset_mm(lane), faults=faults)


def _row_counts(line: Line) -> int:
    """Encoder counts from row to row for square pixels."""
    return round(0.8 * line.counts_per_mm)


def models_dir() -> Path:
    """The shipped models: inside an installed wheel, or beside the package in a checkout."""
    package = Path(edge_inspector.__file__).parent
    for folder in (package / "models", package.parent / "models"):
        if folder.is_dir():
            return folder
    raise EdgeInspectorError("the shipped models are missing from this installation")
