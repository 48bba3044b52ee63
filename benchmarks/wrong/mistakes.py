"""The right station, and every mistake that the campaign tries."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

from benchmarks.chaos.line import preload_clock, step_clock
from benchmarks.chaos.proxy import Proxy, Weather
from benchmarks.wrong.station import RIGHT, Mistake, WrongStation
from edge_inspector.inspection.picture_guard import PictureGuard, guard_path, learn, signature
from edge_inspector.runtime.clock import utc_of
from edge_inspector.simulation.broker import DemoBroker
from edge_inspector.simulation.demo import end_process, free_port
from edge_inspector.store.guards import write_guard

Edit = Callable[[WrongStation], object]

_STATION, _RECIPE = "station.toml", "recipe.toml"
_BLIND = ("line_blind", "parts_not_inspected")
_DAY_S = 86_400


def _station(old: str, new: str) -> Edit:
    return lambda station: station.rewrite(_STATION, old, new)


def _recipe(old: str, new: str) -> Edit:
    return lambda station: station.rewrite(_RECIPE, old, new)


def _rejects_everything(station: WrongStation) -> None:
    station.rewrite(_RECIPE, "min_area_mm2 = 20.0", "min_area_mm2 = 0.0\nmin_confidence = 0.0")
    # The simulated line has more bad parts than a real one, so its station files switch the alarm off.
    station.rewrite(_RECIPE, "rejects_in_a_row = 0\nreject_share = 0\n", "")


def _scaled(factor: float) -> Edit:
    """The station file's counts_per_mm is wrong by a factor. Everything else is right."""

    def edit(station: WrongStation) -> None:
        right = station.line.counts_per_mm * (-1 if station.line.falling else 1)
        station.rewrite(_STATION, f"counts_per_mm = {right}", f"counts_per_mm = {right * factor:g}")

    return edit


def _of_32_bits(station: WrongStation) -> None:
    """The station file does not say that the counter has fewer than 32 bits."""
    width = f"counter_lowest = 0\ncounter_highest = {station.line.modulo - 1}\n"
    station.rewrite(_STATION, width, "")


def _camera(settings: str) -> Edit:
    return _station("lane = 0,", f"lane = 0, {settings},")


def _model(settings: str) -> Edit:
    return _station("ms_per_frame = 2.0,", f"ms_per_frame = 2.0, {settings},")


def _slow_model(station: WrongStation) -> None:
    station.rewrite(_STATION, "ms_per_frame = 2.0,", "ms_per_frame = 400.0,")


def _encoder_at(port: int, station: WrongStation) -> None:
    settings = 'settings = {{ host = "127.0.0.1", port = {} }}\n\n[segmenter]'
    station.rewrite(_STATION, settings.format(station.ports["plc"]), settings.format(port))


def _plc_at(port: int, station: WrongStation) -> None:
    settings = 'interval_ms = 20\nsettings = {{ host = "127.0.0.1", port = {}'
    station.rewrite(_STATION, settings.format(station.ports["plc"]), settings.format(port))


def _plc_blocks(numbers: str) -> Edit:
    return _station("interval_ms = 20\nsettings = { host", f"interval_ms = 20\nsettings = {{ {numbers}, host")


def _broker_at(port: int, station: WrongStation) -> None:
    station.rewrite(_STATION, f"port = {station.ports['broker']}, version", f"port = {port}, version")


def _encoder_elsewhere(station: WrongStation) -> None:
    """The encoder's record is read from another PLC."""
    port = free_port()
    other = station.folder / "other-plc.jsonl"
    command = [sys.executable, "-m", "edge_inspector.simulation.plc", str(station.folder / "line.json"), str(port)]
    process = subprocess.Popen([*command, str(other), "--boot", "2"], start_new_session=True)
    station.helpers.append(partial(end_process, process))
    _encoder_at(port, station)


def _slow_gateway(delay_s: float, station: WrongStation) -> None:
    """A slow gateway lies between station and encoder."""
    proxy = Proxy(station.ports["plc"], "gateway")
    proxy.set(Weather("delay", 1.0, delay_s))
    station.helpers.append(proxy.stop)
    _encoder_at(proxy.port, station)


def _second_station(station: WrongStation) -> None:
    """A spare box with a copy of the files uses the same PLC."""
    copy = station.folder / "spare"
    copy.mkdir()
    for name in (_STATION, _RECIPE):
        shutil.copy(station.folder / name, copy)
    text = (copy / _STATION).read_text()
    text = text.replace(f"port = {station.ports['web']}", f"port = {free_port()}").replace('"demo"', '"spare"')
    (copy / _STATION).write_text(text)
    with (copy / "daemon.log").open("wb") as log:
        command = [sys.executable, "-m", "edge_inspector", "run", str(copy / _STATION)]
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    station.helpers.append(partial(end_process, process))


def _page_port_taken(station: WrongStation) -> None:
    held = socket.socket()
    held.bind(("127.0.0.1", station.ports["web"]))
    held.listen()
    station.helpers.append(held.close)


def _odd_broker(*lines: str) -> Edit:
    """The station uses another broker than the recorder, with these lines in its configuration."""

    def edit(station: WrongStation) -> None:
        folder = station.folder / "odd-broker"
        folder.mkdir()
        broker = DemoBroker(free_port(), folder, extra=lines)
        broker.start()
        station.helpers.append(broker.stop)
        _broker_at(broker.port, station)

    return edit


def _state_is_a_file(station: WrongStation) -> None:
    (station.folder / "state").write_text("not a folder")


def _state_removed(station: WrongStation) -> None:
    shutil.rmtree(station.folder / "state")


def _store_is_garbage(station: WrongStation) -> None:
    (station.folder / "state").mkdir()
    (station.folder / "state" / "results.sqlite").write_bytes(b"garbage" * 1000)


def _outbox_is_a_folder(station: WrongStation) -> None:
    (station.folder / "state" / "outbox.sqlite").mkdir(parents=True)


def _step_clock(seconds: int) -> Edit:
    return lambda station: step_clock(station.folder, seconds)


def preload_clock_of(station: WrongStation) -> None:
    """Give the daemon a wall clock that the campaign can step."""
    station.daemon_environment |= preload_clock(station.folder)


def _unguarded(station: WrongStation) -> None:
    """The pictures show no part, and the guard was never taught."""
    station.rewrite(_RECIPE, 'guard = "none"', 'guard = "taught"')
    station.rewrite(_STATION, "lane = 0,", "lane = 0, blank_from = 8,")


def _guarded(station: WrongStation) -> None:
    """The pictures show no part, and the guard knows what a part looks like."""
    _unguarded(station)
    good = [signature(part) for part in station.good_parts(24)]
    guard = PictureGuard(recipe_id=1, taught_utc=utc_of(time.monotonic_ns()), cameras={"cam1": learn(good)})
    (station.folder / "state").mkdir()
    write_guard(guard_path(station.folder / "state", 1), guard)


def _odd(name: str) -> Edit:
    return lambda station: station.plc_oddity(name)


RIGHT_ONES = (
    Mistake(RIGHT, "as it should be"),
    Mistake(RIGHT, "a counter that falls, and is said to", world={"falling": True}),
    Mistake(RIGHT, "a counter modulo 20000, and said to be", world={"modulo": 20_000}),
    Mistake(RIGHT, "one count for each millimetre", world={"counts_per_mm": 1.0}),
)


def _kill_plc(station: WrongStation) -> None:
    station.kill("plc")


_TOLD_BY_KIND = (*_BLIND, "line_mismatch", "plc_triggers_lost")

OTHER_LINES = (
    # Each kind of line, and what its own way of telling can get wrong.
    *(
        Mistake(RIGHT, f"the line {kind}, as it should be", kind=kind)
        for kind in ("s7-simple", "modbus-simple", "two-plcs", "s7commplus", "mqtt", "camera", "shots", "bench")
    ),
    Mistake(
        "simple PLC",
        "its words are swapped",
        ("plc_numbers", "plc_triggers_lost", "line_mismatch", "encoder_lost", *_BLIND),
        _station('count = "holding 4 as dint"', 'count = "holding 4 as dint", word_order = "low-first"'),
        kind="modbus-simple",
    ),
    Mistake(
        "simple PLC",
        "the counter of parts is another value",
        ("plc_numbers", "plc_triggers_lost", *_BLIND),
        _station('trigger = "DB10.DBW0"', 'trigger = "DB10.DBW6"'),
        kind="s7-simple",
    ),
    Mistake(
        "simple PLC",
        "a block that is not there",
        ("plc_lost",),
        _station('"DB11.DBD0 as udint"', '"DB12.DBD0 as udint"'),
        kind="s7-simple",
    ),
    Mistake("simple PLC", "killed", ("plc_lost",), during=lambda station: station.kill("plc"), kind="s7-simple"),
    Mistake("simple PLC", "killed", ("plc_lost",), during=lambda station: station.kill("plc"), kind="modbus-simple"),
    Mistake("simple PLC", "its counter jumps", ("plc_numbers",), during=_odd("counter_jumps"), kind="s7-simple"),
    Mistake(
        "simple PLC", "its counter is set back", ("plc_numbers",), during=_odd("counter_set_back"), kind="modbus-simple"
    ),
    Mistake("simple PLC", "goes to STOP", ("plc_lost",), during=_odd("stopped"), kind="modbus-simple"),
    Mistake("two PLCs", "both are killed", ("plc_lost", "encoder_lost"), during=_kill_plc, kind="two-plcs"),
    Mistake(
        "two PLCs",
        "the encoder's words are swapped",
        ("encoder_lost", *_TOLD_BY_KIND),
        _station('count = "holding 4 as dint"', 'count = "holding 4 as dint", word_order = "low-first"'),
        kind="two-plcs",
    ),
    Mistake("two PLCs", "counts_per_mm wrong by 4", _TOLD_BY_KIND, _scaled(4), kind="two-plcs"),
    Mistake("no PUT/GET", "killed", ("plc_lost",), during=_kill_plc, kind="s7commplus"),
    Mistake("no PUT/GET", "said to fall, but rises", ("line_mismatch",), _scaled(-1), kind="s7commplus"),
    Mistake(
        "no PUT/GET",
        "another DB number",
        ("plc_lost",),
        lambda station: station.rewrite(
            _STATION, f"port = {station.ports['plc']}, tls", f"db_plc = 200, port = {station.ports['plc']}, tls"
        ),
        kind="s7commplus",
    ),
    Mistake(
        "PLC fires the cameras",
        "one stands 50 mm further on",
        _BLIND,
        _station("offset_mm = 300.0\nmm_per_px", "offset_mm = 250.0\nmm_per_px"),
        kind="plc-camera",
    ),
    Mistake("shots", "one is missing", _BLIND, _camera("skip_every = 3"), kind="shots"),
    Mistake("shots", "one comes twice", _BLIND, _camera("double_every = 3"), kind="shots"),
    Mistake(
        "shots", "the camera is unplugged", ("camera_lost",), _camera("lost_from = 10, lost_until = 99"), kind="shots"
    ),
    Mistake(
        "bench",
        "the camera is unplugged",
        ("camera_lost",),
        lambda station: station.rewrite(
            _STATION, "lane = 0,", f'lane = 0, unplugged_by = "{station.folder}/unplugged",'
        ),
        during=lambda station: (station.folder / "unplugged").touch(),
        kind="bench",
    ),
    Mistake("bench", "its broker dies", ("broker_lost",), during=lambda station: station.kill("broker"), kind="bench"),
    Mistake(
        "gateway", "its numbers jump", ("plc_numbers", "plc_triggers_lost"), during=_odd("counter_jumps"), kind="mqtt"
    ),
    Mistake("gateway", "its numbers begin anew", ("plc_numbers",), during=_odd("counter_set_back"), kind="mqtt"),
    Mistake("gateway", "dies", ("plc_lost",), during=lambda station: station.kill("plc"), kind="mqtt"),
    Mistake("gateway", "its broker dies", ("broker_lost",), during=lambda station: station.kill("broker"), kind="mqtt"),
    Mistake("gateway", "counts_per_mm wrong by 4", _TOLD_BY_KIND, _scaled(4), kind="mqtt"),
    Mistake(
        "camera announces",
        "is unplugged",
        ("camera_lost",),
        _station("lane = 0,", "lane = 0, lost_from = 10, lost_until = 99,"),
        kind="camera",
    ),
    Mistake(
        "camera announces",
        "loses pictures",
        ("plc_triggers_lost", *_BLIND, "frame"),
        _station("lane = 0,", "lane = 0, incomplete_every = 4,"),
        kind="camera",
    ),
    Mistake(
        "camera announces",
        "nobody listens at the output",
        ("plc_lost",),
        lambda station: station.rewrite(_STATION, f"port = {station.ports['plc']}", f"port = {free_port()}"),
        kind="camera-output",
    ),
    Mistake(
        "constant speed",
        "nobody tells any more whether it runs",
        ("plc_lost",),
        during=lambda station: station.kill("plc"),
        kind="mqtt-timed",
    ),
    Mistake(
        "constant speed",
        "a fifth too slow in the file",
        _TOLD_BY_KIND,
        lambda station: station.rewrite(
            _STATION, f"speed_mm_s = {station.line.speed_mm_s}", f"speed_mm_s = {station.line.speed_mm_s * 0.8}"
        ),
        kind="mqtt-timed",
        may_do_no_harm=True,
    ),
    Mistake("web", "A and B swapped", ("web_backwards",), world={"falling": True}, kind="web"),
    Mistake("web", "said to fall, but rises", ("web_backwards",), _scaled(-1), kind="web"),
    Mistake("web", "counts_per_mm wrong by 4", _TOLD_BY_KIND, _scaled(4), kind="web"),
    Mistake(
        "web",
        "pieces shorter than the pictures' pace",
        _BLIND,
        _station("piece_mm = 500.0", "piece_mm = 470.0"),
        kind="web",
    ),
    Mistake("web", "pictures without an overlap", _BLIND, _station("overlap_mm = 60", "overlap_mm = 120"), kind="web"),
    Mistake(
        "web",
        "a camera loses pictures",
        ("incomplete", *_BLIND),
        _station("lane = 0,", "lane = 0, incomplete_every = 4,"),
        kind="web",
    ),
    Mistake(
        "web",
        "a camera is unplugged",
        ("camera_lost",),
        _station("lane = 0,", "lane = 0, lost_from = 10, lost_until = 99,"),
        kind="web",
    ),
    Mistake("web", "the broker dies", ("broker_lost",), during=lambda station: station.kill("broker"), kind="web"),
)

MISTAKES = (
    # The belt's position.
    Mistake("encoder", "A and B swapped: the counter falls", ("line_mismatch",), _scaled(-1), world={"falling": True}),
    Mistake("encoder", "said to fall, but rises", ("line_mismatch",), _scaled(-1)),
    *(
        Mistake(
            "encoder",
            f"counts_per_mm wrong by {factor:g}",
            ("line_mismatch", "counts_per_mm", "is not before"),
            _scaled(factor),
        )
        for factor in (0.25, 0.5, 2, 4, 0.1, 10, 0.001, 1000, 1 / 25.4, 25.4)
    ),
    Mistake(
        "encoder",
        "10 mm a count",
        ("position_tolerance_mm", "line_mismatch"),
        _scaled(0.01),
        world={"counts_per_mm": 0.1},
    ),
    Mistake("encoder", "a counter of 16 bits", ("line_mismatch",), _of_32_bits, world={"modulo": 65_536}, parts=50),
    Mistake("encoder", "a counter modulo 20000", ("line_mismatch",), _of_32_bits, world={"modulo": 20_000}),
    Mistake("encoder", "read from another PLC", ("line_mismatch",), _encoder_elsewhere),
    Mistake("encoder", "behind a gateway of 60 ms", ("line_mismatch",), partial(_slow_gateway, 0.06)),
    Mistake("encoder", "behind a gateway of 200 ms", ("line_mismatch", *_BLIND), partial(_slow_gateway, 0.2)),
    Mistake(
        "encoder",
        "asked once a second",
        ("line_mismatch", "encoder_lost", *_BLIND),
        _station('[encoder]\ndriver = "s7"\n', '[encoder]\ndriver = "s7"\ninterval_ms = 1000.0\n'),
    ),
    Mistake("encoder", "nobody listens", ("encoder_lost", *_BLIND), lambda station: _encoder_at(free_port(), station)),
    Mistake("encoder", "its clock is in milliseconds", ("line_mismatch", *_BLIND), oddity="clock_in_milliseconds"),
    Mistake("encoder", "its clock stands", ("encoder_lost", *_BLIND), during=_odd("clock_stands")),
    Mistake("encoder", "its count stands while parts come", ("line_mismatch", *_BLIND), during=_odd("count_stands")),
    Mistake("encoder", "its words are swapped", ("line_mismatch", *_BLIND), oddity="count_in_other_order"),
    Mistake("encoder", "of another run of the PLC", ("line_mismatch", *_BLIND), oddity="other_encoder_boot"),
    Mistake(
        "encoder",
        "speed_max in metres per second",
        ("speed_max_mm_s", "line_mismatch", *_BLIND),
        _station("speed_max_mm_s = 1650", "speed_max_mm_s = 1.65 #"),
    ),
    Mistake(
        "encoder",
        "speed_max a third of the belt's",
        ("line_mismatch",),
        _station("speed_max_mm_s = 1650", "speed_max_mm_s = 500 #"),
    ),
    # The PLC and who else writes there.
    Mistake("plc", "part counter set back", ("plc_numbers",), during=_odd("counter_set_back")),
    Mistake("plc", "one poisoned header", ("plc_numbers",), during=_odd("poisoned_header"), may_do_no_harm=True),
    Mistake("plc", "one forged verdict", ("other_writer",), during=_odd("forged_verdict")),
    Mistake("plc", "one verdict written over", ("other_writer",), during=_odd("verdict_written_over")),
    Mistake(
        "plc",
        "acknowledges what was never written",
        ("other_writer", "plc_numbers"),
        during=_odd("acknowledges_too_much"),
    ),
    Mistake("plc", "a foreign header again and again", ("other_writer",), during=_odd("foreign_header")),
    Mistake("plc", "a second station", ("other_writer",), during=_second_station),
    Mistake(
        "plc",
        "never acknowledges",
        ("plc_ring_full", "other_writer", "verdict_late"),
        oddity="never_acknowledges",
        parts=45,
    ),
    Mistake("plc", "layout 2", ("plc_lost",), oddity="layout_two"),
    Mistake("plc", "boot_id 0", ("plc_lost",), oddity="no_boot_id"),
    Mistake("plc", "goes to STOP", ("plc_lost",), during=_odd("stopped")),
    Mistake("plc", "killed", ("plc_lost",), during=lambda station: station.kill("plc")),
    Mistake("plc", "another DB number", ("plc_lost",), _plc_blocks("db_plc = 200")),
    Mistake("plc", "both DBs swapped", ("plc_lost",), _plc_blocks("db_plc = 101, db_edge = 100")),
    Mistake("plc", "nobody listens", ("plc_lost",), lambda station: _plc_at(free_port(), station)),
    Mistake("plc", "enable is off", ("switched_off",), oddity="disabled"),
    Mistake("plc", "enable goes off", ("switched_off",), during=_odd("disabled")),
    Mistake("plc", "expects another recipe", ("recipe_mismatch",), oddity="other_recipe"),
    Mistake("plc", "the photo-eye bounces", ("line_mismatch", *_BLIND), oddity="photo_eye_bounces"),
    Mistake("plc", "triggers latched by another counter", ("line_mismatch", *_BLIND), oddity="latched_elsewhere"),
    # The cameras.
    Mistake("camera", "lost", ("camera_lost", *_BLIND), _camera("lost_from = 8, lost_until = 1000")),
    Mistake("camera", "every third picture damaged", _BLIND, _camera("incomplete_every = 3")),
    Mistake("camera", "stamps 200 ms late", ("line_mismatch", *_BLIND), _camera("stamp_late_ms = 200.0")),
    Mistake("camera", "stamps 333 ms late", _BLIND, _camera("stamp_late_ms = 333.0")),
    Mistake("camera", "stamps 1 s early", _BLIND, _camera("stamp_late_ms = -1000.0")),
    Mistake(
        "camera",
        "its offset is 50 mm short",
        _BLIND,
        _station("offset_mm = 300.0\nmm_per_px", "offset_mm = 250.0\nmm_per_px"),
    ),
    Mistake(
        "camera",
        "its offset is one pitch long",
        _BLIND,
        _station("offset_mm = 300.0\nmm_per_px", "offset_mm = 600.0\nmm_per_px"),
    ),
    Mistake(
        "camera",
        "its offset is in metres",
        _BLIND,
        _station("offset_mm = 300.0\nmm_per_px", "offset_mm = 0.3\nmm_per_px"),
    ),
    Mistake(
        "camera",
        "behind the gate",
        ("is not before",),
        _station("offset_mm = 300.0\nmm_per_px", "offset_mm = 1600.0\nmm_per_px"),
    ),
    Mistake("camera", "nothing guards against empty pictures", ("pictures_unguarded",), _unguarded),
    Mistake("camera", "pictures without a part", ("bad_pictures", *_BLIND), _guarded),
    Mistake("camera", "a lens cap", ("bad_pictures", *_BLIND), _camera("dark_from = 8")),
    Mistake("camera", "the same picture again and again", ("bad_pictures", *_BLIND), _camera("frozen_from = 8")),
    # The model and the recipe.
    *(
        Mistake("model", f"its masks are {says}", ("masks_silent",), _model(f'says = "{says}"'), parts=60)
        for says in ("binary", "class-map", "nothing")
    ),
    Mistake(
        "model",
        "fails at each call",
        ("inference_failed", "worker_failed", *_BLIND),
        lambda station: station.rewrite(_STATION, "fail_every = 0", "fail_every = 1"),
    ),
    Mistake("model", "far too slow", _BLIND, _slow_model),
    Mistake(
        "model",
        "rejects everything",
        ("many_rejects",),
        _rejects_everything,
    ),
    Mistake(
        "recipe",
        "no defect is large enough",
        ("masks_silent", "min_area_mm2"),
        _recipe("min_area_mm2 = 20.0", "min_area_mm2 = 1e6"),
        parts=120,
    ),
    Mistake(
        "recipe",
        "tolerance below one count",
        ("position_tolerance_mm",),
        _recipe("position_tolerance_mm = 10.0", "position_tolerance_mm = 0.05"),
    ),
    Mistake(
        "recipe",
        "tolerance of half a millimetre",
        ("line_mismatch", *_BLIND),
        _recipe("position_tolerance_mm = 10.0", "position_tolerance_mm = 0.5"),
    ),
    Mistake(
        "recipe", "pitch twice the line's", ("line_mismatch",), _recipe("min_pitch_mm = 270.0", "min_pitch_mm = 600.0")
    ),
    Mistake("recipe", "a camera that is not there", ("views",), _recipe('views = ["cam1"]', 'views = ["cam2"]')),
    Mistake(
        "recipe",
        "a region beside the picture",
        ("bad_pictures", *_BLIND),
        _recipe(
            "[classes.defect]", "[regions.cam1]\nx_mm = 900\ny_mm = 0\nwidth_mm = 10\nheight_mm = 10\n[classes.defect]"
        ),
    ),
    Mistake(
        "recipe",
        "a decimal comma",
        ("recipe.toml",),
        _recipe("position_tolerance_mm = 10.0", "position_tolerance_mm = 10,0"),
    ),
    Mistake(
        "recipe",
        "a sharpness that no picture has",
        ("bad_pictures", *_BLIND),
        _recipe('guard = "none"', 'guard = "none"\nmin_sharpness = 99.0'),
    ),
    # Broker, page, disk and clock: none of their faults may stop a verdict, all of them are reported.
    Mistake("broker", "killed", ("broker_lost",), during=lambda station: station.kill("broker")),
    Mistake("broker", "nobody listens", ("broker_lost",), lambda station: _broker_at(free_port(), station)),
    Mistake(
        "broker",
        "keeps no retained messages",
        ("broker_lost", "no_subscriber"),
        _odd_broker("allow_anonymous true", "retain_available false"),
    ),
    Mistake("broker", "asks for a name", ("broker_lost",), _odd_broker("allow_anonymous false")),
    Mistake(
        "broker",
        "takes small messages only",
        ("message_too_large", "broker_lost"),
        _odd_broker("allow_anonymous true", "max_packet_size 400"),
    ),
    Mistake("page", "its port is taken", ("page_lost",), _page_port_taken),
    Mistake(
        "page",
        "its address is not there",
        ("page_lost",),
        _station("[web]\n", '[web]\nhost = "192.0.2.7"\nallow_plain = true\n'),
    ),
    Mistake(
        "disk",
        "a file where the state folder should be",
        ("archive_incomplete", "state_lost", "outbox_full", "state"),
        _state_is_a_file,
    ),
    Mistake("disk", "the state folder is removed", ("state_lost",), during=_state_removed),
    Mistake("disk", "the store is garbage", ("state_lost",), _store_is_garbage),
    Mistake(
        "disk",
        "the outbox is a folder",
        ("state_lost", "outbox_full", "archive_incomplete", "broker_lost"),
        _outbox_is_a_folder,
    ),
    *(
        Mistake("clock", name, ("clock_stepped",), preload_clock_of, during=_step_clock(seconds))
        for name, seconds in (("steps 366 days ahead", 366 * _DAY_S), ("steps back to 1970", -56 * 365 * _DAY_S))
    ),
)
