"""A wrong station is refused before anything starts: every fault at once, each with its key path, and no traceback."""

from dataclasses import replace
from pathlib import Path

import pytest

from edge_inspector.cameras.folder import FolderCamera
from edge_inspector.cameras.genicam_settings import GenicamSettings
from edge_inspector.cameras.opencv import OpenCvCamera
from edge_inspector.cli import main
from edge_inspector.errors import ConfigError
from edge_inspector.inspection.counter import Counter
from edge_inspector.simulation.camera import SimulatedCamera
from edge_inspector.station.load import Station, load_station
from edge_inspector.wiring.line import line_geometry

STATION = """\
[station]
name = "press-3"
recipe = "recipe.toml"

[line]
counts_per_mm = 10
speed_max_mm_s = 1000
gate_mm = 900

[encoder]
driver = "s7"
settings = { host = "192.0.2.1" }

[segmenter]
driver = "simulated"

[web]
port = 9200

[[cameras]]
name = "left"
driver = "opencv"
offset_mm = 200
mm_per_px = 0.2
settings = { source = "/dev/video0" }

[[cameras]]
name = "right"
driver = "opencv"
offset_mm = 300
mm_per_px = 0.4
settings = { source = "/dev/video1" }

[[plcs]]
name = "plc"
driver = "s7"
settings = { host = "192.0.2.1" }

[[plcs]]
name = "broker"
driver = "mqtt"
settings = { host = "192.0.2.2" }
"""
RECIPE = """\
id = 4
name = "tile"
model = "none-1.0"
views = ["left", "right"]
part_length_mm = 100
min_pitch_mm = 120
position_tolerance_mm = 5
[classes.defect]
min_area_mm2 = 2
"""

# What is replaced in the station file, and the key path and the words of the one fault that must follow.
WRONG = {
    "unknown key": ("gate_mm = 900", "gate_mm = 900\nfast = 3", "line.fast", "unknown key. Keys here: accel"),
    "unknown table": ("[web]", "[wheel]", "wheel", "unknown table. Keys here: archive, bucket, cameras,"),
    "missing key": ("gate_mm = 900\n", "", "line.gate_mm", "is missing. Write gate_mm = ..., a number above 0"),
    "wrong type": ("gate_mm = 900", 'gate_mm = "far"', "line.gate_mm", "must be a number above 0 (is 'far')"),
    "wrong unit of size": (
        "port = 9200",
        "port = 92000",
        "web.port",
        "must be a whole number from 1 to 65535 (is 92000)",
    ),
    "not a finite number": (
        "gate_mm = 900",
        "gate_mm = inf",
        "line.gate_mm",
        "must be a number above 0 and finite (is inf)",
    ),
    "a counter that does not count": ("counts_per_mm = 10", "counts_per_mm = 0", "line.counts_per_mm", "must be more"),
    "a counter upside down": (
        'driver = "s7"\nsettings = { host = "192.0.2.1" }\n\n[segmenter]',
        'driver = "s7"\ncounter_lowest = 9\ncounter_highest = 9\nsettings = { host = "192.0.2.1" }\n\n[segmenter]',
        "encoder.counter_highest",
        "must be more than encoder.counter_lowest",
    ),
    "a counter too narrow for the way to the gate": (
        'driver = "s7"\nsettings = { host = "192.0.2.1" }\n\n[segmenter]',
        'driver = "s7"\ncounter_lowest = 0\ncounter_highest = 9999\nsettings = { host = "192.0.2.1" }\n\n[segmenter]',
        "line.gate_mm",
        "are 10000 counts, the encoder's counter has only 10000: let the PLC count on in 32 bits",
    ),
    "a counter of more than a DINT": (
        'driver = "s7"\nsettings = { host = "192.0.2.1" }\n\n[segmenter]',
        'driver = "s7"\ncounter_highest = 4294967295\nsettings = { host = "192.0.2.1" }\n\n[segmenter]',
        "encoder.counter_highest",
        "must be a whole number from -2147483648 to 2147483647",
    ),
    "no number at all": ("offset_mm = 300", "offset_mm = nan", "cameras.1.offset_mm", "(is nan)"),
    "name that no topic or label can carry": (
        '"press-3"',
        '"press 3/#"',
        "station.name",
        "must be at most 32 of the letters",
    ),
    "unknown camera driver": (
        '"opencv"',
        '"webcam"',
        "cameras.0.driver",
        "unknown driver 'webcam'. There are: basler, folder,",
    ),
    "unknown encoder driver": (
        '"s7"',
        '"ls7366"',
        "encoder.driver",
        "unknown driver 'ls7366'. There are: camera-chunk, constant-speed, modbus, ",
    ),
    "unknown segmenter driver": (
        '"simulated"',
        '"magic"',
        "segmenter.driver",
        "unknown driver 'magic'. There are: kserve, onnx",
    ),
    "unknown link driver": (
        '"mqtt"',
        '"profinet"',
        "plcs.1.driver",
        "unknown driver 'profinet'. There are: modbus, modbus-output, modbus-simple, mqtt, s7, s7-simple, s7commplus",
    ),
    "broker that no name server can be asked for": (
        '"192.0.2.2"',
        '"broker..plant"',
        "plcs.1.settings.host",
        "cannot be a host's name",
    ),
    "unknown key of a driver": (
        '"/dev/video1"',
        '"/dev/video1", zoom = 3',
        "cameras.1.settings.zoom",
        "unknown key. Keys here: backend,",
    ),
    "missing key of a driver": (
        'source = "/dev/video1"',
        "width = 640",
        "cameras.1.settings.source",
        'is missing. Write source = "..."',
    ),
    "wrong value of a driver": (
        '"192.0.2.2"',
        '"192.0.2.2", port = 0',
        "plcs.1.settings.port",
        "must be a whole number from 1 to 65535 (is 0)",
    ),
    "unknown key of the segmenter": (
        'driver = "simulated"',
        'driver = "simulated"\nsettings = { threads = 2 }',
        "segmenter.settings.threads",
        "unknown key. Keys here: fail_every,",
    ),
    "two cameras on one device": (
        "/dev/video1",
        "/dev/video0",
        "cameras.1.settings",
        "/dev/video0 is already used by camera 'left'",
    ),
    "two PLCs": ('"mqtt"', '"s7"', "plcs.1.driver", "a second PLC: at most one PLC"),
    "two brokers with one outbox": (
        'driver = "mqtt"\n',
        'driver = "mqtt"\nsettings = { host = "192.0.2.9" }\n[[plcs]]\nname = "other"\ndriver = "mqtt"\n',
        "plcs.2.settings.outbox",
        "'outbox' is that of another broker of this station: what waits for one broker must not be sent to the other",
    ),
    "one broker twice": (
        'driver = "mqtt"\n',
        'driver = "mqtt"\nsettings = { host = "192.0.2.2", outbox = "c" }\n[[plcs]]\nname = "other"\ndriver = "mqtt"\n',
        "plcs.2.settings.host",
        "'192.0.2.2' is that of another broker of this station: it is one broker",
    ),
    "a gate beyond the counter": (
        "gate_mm = 900",
        "gate_mm = 1e308",
        "line.gate_mm",
        "the way to the gate is more than an encoder of 32 bits can count",
    ),
    "a speed in metres": (
        "speed_max_mm_s = 1000",
        "speed_max_mm_s = 0.6",
        "line.speed_max_mm_s",
        "0.6 mm/s cannot be the greatest speed of a belt (1 to 20000): metres for millimetres?",
    ),
    "a speed in micrometres": (
        "speed_max_mm_s = 1000\n",
        "speed_max_mm_s = 600000\nreserve_ms = 5\n",
        "line.speed_max_mm_s",
        "600000 mm/s cannot be the greatest speed of a belt (1 to 20000): micrometres for millimetres?",
    ),
    "a gate in metres": (
        "gate_mm = 900",
        "gate_mm = 0.9",
        "line.gate_mm",
        "0.9 mm cannot be the way from a photo-eye to a gate (1 to 100000): metres for millimetres?",
    ),
    "a gate in micrometres": (
        "gate_mm = 900",
        "gate_mm = 900000",
        "line.gate_mm",
        "micrometres for millimetres?",
    ),
    "a reserve that is longer than the way": (
        "gate_mm = 900",
        "gate_mm = 900\nreserve_ms = 900",
        "line.reserve_ms",
        "in 900 ms at line.speed_max_mm_s = 1000 the belt goes 900 mm, and the gate is at line.gate_mm = 900",
    ),
    "counts per metre": (
        "counts_per_mm = 10",
        "counts_per_mm = 100001",
        "line.counts_per_mm",
        "100001 counts in a millimetre are more than any belt's encoder has: counts per metre?",
    ),
    "an encoder coarser than the tolerance": (
        "counts_per_mm = 10",
        "counts_per_mm = 0.2",
        "recipe.toml: position_tolerance_mm",
        "5 mm can never be held: one encoder count is 5 mm (1 / line.counts_per_mm). Write at least 10, or",
    ),
    "a camera that runs freely and too slowly": (
        'source = "/dev/video0"',
        'source = "/dev/video0", fps = 30',
        "cameras.0.settings",
        "position_tolerance_mm = 5 of recipe.toml covers only 10 mm, so parts are missed. Trigger the camera, raise",
    ),
    "two links of one name": ('name = "broker"', 'name = "plc"', "plcs.1.name", "'plc' is used twice"),
    "camera behind the decision line": (
        "offset_mm = 300",
        "offset_mm = 800",
        "cameras.1.offset_mm",
        "'right' at 800 mm is not before the decision line at 800 mm",
    ),
    "line-scan camera that sees the part's end behind the decision line": (
        "offset_mm = 300",
        "offset_mm = 750\nline_counts = 8",
        "cameras.1.offset_mm",
        "is not before the decision line at 800 mm",
    ),
    "unknown driver of the shadow": (
        "[web]",
        '[shadow]\nmodel = "none-2.0"\ndriver = "magic"\n\n[web]',
        "shadow.driver",
        "unknown driver 'magic'. There are: kserve, onnx",
    ),
    "shadow without a model": ("[web]", "[shadow]\n\n[web]", "shadow.model", 'is missing. Write model = "..."'),
    "shadow model that is not there": (
        "[web]",
        '[shadow]\nmodel = "none-2.0"\n\n[web]',
        "{folder}/models/none-2.0/manifest.toml",
        "there is no such file",
    ),
    "album without room": (
        "[web]",
        "[archive]\nalbum_mb = 0\n\n[web]",
        "archive.album_mb",
        "must be a whole number from 1 to 65536",
    ),
    "recipe missing": ("recipe.toml", "gone.toml", "{folder}/gone.toml", "cannot be read: "),
    "not TOML": ("[line]", "[line", "{folder}/station.toml", "is not TOML: "),
}
WRONG_RECIPE = {
    "view without a camera": (
        '["left", "right"]',
        '["left", "right", "top"]',
        "recipe.toml: views",
        "no camera is called 'top'. There are: left, right",
    ),
    "camera not in the recipe": (
        '["left", "right"]',
        '["left"]',
        "cameras.1.name",
        "'right' is not in the recipe's views",
    ),
    "class that the model does not know": (
        "min_area_mm2 = 2",
        "min_area_mm2 = 2\n[classes.dent]\nmin_area_mm2 = 2",
        "recipe.toml: classes.dent",
        "the model knows only: defect",
    ),
    "class without limits": (
        "[classes.defect]\nmin_area_mm2 = 2",
        "",
        "recipe.toml: classes.defect",
        "is missing, and the model suggests no limits for it",
    ),
    "fault within the recipe": (
        "id = 4",
        "id = 0",
        "{folder}/recipe.toml: id",
        "must be a whole number from 1 to 65535 (is 0)",
    ),
    "recipe not TOML": ("id = 4", "id = = 4", "{folder}/recipe.toml", "is not TOML: "),
}


def write(folder: Path, station: str = STATION, recipe: str = RECIPE) -> Path:
    (folder / "recipe.toml").write_text(recipe, encoding="utf-8")
    (folder / "station.toml").write_text(station, encoding="utf-8")
    return folder / "station.toml"


def faults(path: Path) -> dict[str, str]:
    with pytest.raises(ConfigError) as raised:
        load_station(path)
    assert str(raised.value) == "\n".join(map(str, raised.value.faults))
    return {fault.where: fault.what for fault in raised.value.faults}


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


def loaded(path: Path) -> Station:
    return load_station(path)


def test_a_good_station_loads_with_its_defaults(tmp_path: Path) -> None:
    station = loaded(write(tmp_path))
    assert station.file.station.name == "press-3"
    assert station.recipe.id == 4
    assert station.limits["defect"].min_area_mm2 == 2
    assert station.state_dir == tmp_path / "state"
    assert station.file.line.reserve_ms == 100
    assert [settings.device for settings in station.camera_settings] == ["/dev/video0", "/dev/video1"]
    assert station.segmenter.info.name == "simulated"
    assert len(station.plc_settings) == 2


def test_a_shadow_has_the_limits_of_each_recipe_for_the_classes_that_it_knows(tmp_path: Path) -> None:
    (tmp_path / "second.toml").write_text(SECOND_RECIPE.replace("min_area_mm2 = 2", "min_area_mm2 = 9"))
    shadow = '[shadow]\nmodel = "none-2.0"\ndriver = "simulated"\n\n[web]'
    station = loaded(write(tmp_path, changed(WITH_SECOND, "[web]", shadow)))
    assert station.shadow is not None
    assert {each: criteria.limits["defect"].min_area_mm2 for each, criteria in station.shadow.recipes.items()} == {
        4: 2,
        5: 9,
    }
    assert loaded(write(tmp_path)).shadow is None


def test_check_looks_at_the_shadow_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = changed(STATION, "[web]", '[shadow]\nmodel = "none-2.0"\ndriver = "simulated"\n\n[web]')
    for host in ("192.0.2.1", "192.0.2.2"):
        text = text.replace(host, "127.0.0.1")
    text = text.replace('{ host = "127.0.0.1" }', '{ host = "127.0.0.1", port = 9 }')
    assert main(["check", str(write(tmp_path, text))]) == 1, "nothing listens there"
    told = capsys.readouterr().out
    assert "ok    shadow" in told
    assert "FAIL  encoder" in told


def test_a_loaded_station_cannot_be_changed(tmp_path: Path) -> None:
    station = loaded(write(tmp_path))
    with pytest.raises(ValueError, match="frozen"):
        station.file.line.gate_mm = 5.0
    assert replace(station) == station


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_station_file_is_refused_with_the_key_at_fault(tmp_path: Path, case: str) -> None:
    old, new, where, what = WRONG[case]
    found = faults(write(tmp_path, changed(STATION, old, new)))
    assert list(found) == [where.format(folder=tmp_path)]
    assert what in found[where.format(folder=tmp_path)]


@pytest.mark.parametrize("case", WRONG_RECIPE)
def test_a_recipe_that_does_not_fit_is_refused_with_the_key_at_fault(tmp_path: Path, case: str) -> None:
    old, new, where, what = WRONG_RECIPE[case]
    found = faults(write(tmp_path, recipe=changed(RECIPE, old, new)))
    assert list(found) == [where.format(folder=tmp_path)]
    assert what in found[where.format(folder=tmp_path)]


def test_two_cameras_of_one_name_are_refused(tmp_path: Path) -> None:
    found = faults(write(tmp_path, changed(STATION, 'name = "right"', 'name = "left"')))
    assert found["cameras.1.name"] == "'left' is used twice"


def test_the_first_link_must_be_the_one_that_announces_parts(tmp_path: Path) -> None:
    plc, broker = STATION.index('[[plcs]]\nname = "plc"'), STATION.index('[[plcs]]\nname = "broker"')
    swapped = STATION[:plc] + STATION[broker:] + STATION[plc:broker]
    assert "must be a PLC" in faults(write(tmp_path, swapped))["plcs.0.driver"]


@pytest.mark.parametrize("table", ["cameras", "plcs"])
def test_a_station_without_cameras_or_links_is_refused(tmp_path: Path, table: str) -> None:
    head, *tables = STATION.split("[[")
    station = head + "".join("[[" + each for each in tables if not each.startswith(table))
    assert faults(write(tmp_path, station)) == {table: f"is missing. Write [[{table}]]"}
    assert "must be a list, and not empty" in faults(write(tmp_path, f"{table} = []\n" + station))[table]


def test_a_station_file_that_is_missing_or_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "gone.toml"
    assert faults(path)[str(path)].startswith("cannot be read: ")
    path.write_bytes(b"\xff\xfe\x00")
    assert faults(path)[str(path)].startswith("is not TOML: ")
    assert faults(tmp_path)[str(tmp_path)].startswith("cannot be read: ")


def test_all_faults_of_the_station_file_are_told_at_once(tmp_path: Path) -> None:
    station = changed(changed(changed(STATION, "900", '"far"'), "9200", "0"), "mm_per_px = 0.4", "mm_per_px = 0")
    assert list(faults(write(tmp_path, station))) == ["line.gate_mm", "cameras.1.mm_per_px", "web.port"]


def test_all_faults_between_station_drivers_and_recipe_are_told_at_once(tmp_path: Path) -> None:
    station = changed(changed(STATION, '"mqtt"', '"profinet"'), "/dev/video1", "/dev/video0")
    station = changed(station, "offset_mm = 300", "offset_mm = 3000")
    recipe = changed(changed(RECIPE, '"right"]', '"top"]'), "classes.defect", "classes.dent")
    assert sorted(faults(write(tmp_path, station, recipe))) == [
        "cameras.1.name",
        "cameras.1.offset_mm",
        "cameras.1.settings",
        "plcs.1.driver",
        "recipe.toml: classes.defect",
        "recipe.toml: classes.dent",
        "recipe.toml: views",
    ]


@pytest.mark.parametrize("command", ["run", "check"])
def test_the_commands_name_every_fault_on_stderr_and_exit_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    station = changed(changed(STATION, '"mqtt"', '"profinet"'), "/dev/video1", "/dev/video0")
    assert main([command, str(write(tmp_path, station))]) == 2
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert (
        lines[0] == "plcs.1.driver ('broker'): unknown driver 'profinet'. There are: "
        "modbus, modbus-output, modbus-simple, mqtt, s7, s7-simple, s7commplus"
    )
    assert lines[1] == "cameras.1.settings ('right'): /dev/video0 is already used by camera 'left'"
    assert lines[2] == "2 faults found. Nothing was started"
    assert len(lines) == 3


@pytest.mark.parametrize("case", WRONG)
def test_no_wrong_station_ends_in_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    old, new, _, _ = WRONG[case]
    assert main(["check", str(write(tmp_path, changed(STATION, old, new)))]) == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert err.endswith("1 fault found. Nothing was started\n")


def test_a_wrong_command_line_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["inspect"])
    assert left.value.code == 2
    assert "invalid choice" in capsys.readouterr().err


SECOND_RECIPE = RECIPE.replace("id = 4", "id = 5").replace('["left", "right"]', '["right", "left"]')
WITH_SECOND = STATION.replace('"recipe.toml"', '"recipe.toml"\nrecipes = ["second.toml"]')


def test_every_recipe_that_may_be_selected_is_loaded_by_its_id(tmp_path: Path) -> None:
    (tmp_path / "second.toml").write_text(SECOND_RECIPE.replace("min_area_mm2 = 2", "min_area_mm2 = 9"))
    station = loaded(write(tmp_path, WITH_SECOND))
    assert station.recipe.id == 4
    assert list(station.recipes) == [4, 5]
    assert station.recipes[4].recipe is station.recipe
    assert station.recipes[5].limits["defect"].min_area_mm2 == 9


@pytest.mark.parametrize(
    ("old", "new", "where", "what"),
    [
        ("id = 5", "id = 4", "id", "4 is already the id of 'tile'"),
        (
            '["right", "left"]',
            '["right", "middle"]',
            "views",
            "no camera is called 'middle'. There are: left, right",
        ),
        ("classes.defect", "classes.dent", "classes.dent", "the model knows only: defect"),
    ],
)
def test_a_further_recipe_that_does_not_fit_is_refused(
    tmp_path: Path, old: str, new: str, where: str, what: str
) -> None:
    (tmp_path / "second.toml").write_text(changed(SECOND_RECIPE, old, new))
    assert faults(write(tmp_path, WITH_SECOND))[f"second.toml: {where}"] == what


def test_a_further_recipe_may_have_a_model_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "second.toml").write_text(changed(SECOND_RECIPE, '"none-1.0"', '"other-1.0"'))
    station = loaded(write(tmp_path, WITH_SECOND))
    assert list(station.models.infos) == ["none-1.0", "other-1.0"]
    assert station.segmenter.info is station.models.infos["none-1.0"]


def test_recipes_with_one_model_demand_one_file_of_it(tmp_path: Path) -> None:
    demand = f'model_sha256 = "{"ab" * 32}"'
    station = changed(WITH_SECOND, 'driver = "simulated"', 'driver = "onnx"')
    (tmp_path / "second.toml").write_text(changed(SECOND_RECIPE, 'name = "tile"', f'name = "tile"\n{demand}'))
    found = faults(write(tmp_path, station))
    assert found["second.toml: model_sha256"] == "must be that of recipe 4: one file of none-1.0 judges for both"


@pytest.mark.parametrize(
    ("table", "where"),
    [('[shadow]\nmodel = "x-1"\ndriver = "simulated"\n', "shadow"), ("[record]\nbudget_mb = 5\n", "record.budget_mb")],
)
def test_what_cannot_be_done_with_several_models_is_refused(tmp_path: Path, table: str, where: str) -> None:
    (tmp_path / "second.toml").write_text(changed(SECOND_RECIPE, '"none-1.0"', '"other-1.0"'))
    found = faults(write(tmp_path, WITH_SECOND + table))
    assert "while the recipes have several models (none-1.0, other-1.0)" in found[where]
    (tmp_path / "second.toml").write_text(SECOND_RECIPE)
    loaded(write(tmp_path, WITH_SECOND + table))


def test_a_further_recipe_may_need_other_cameras_and_each_camera_is_needed_by_one(tmp_path: Path) -> None:
    (tmp_path / "second.toml").write_text(changed(SECOND_RECIPE, '["right", "left"]', '["right"]'))
    path = write(tmp_path, WITH_SECOND)
    recipe = path.with_name("recipe.toml")
    recipe.write_text(changed(recipe.read_text(), '["left", "right"]', '["left"]'))
    assert [each.recipe.views for each in load_station(path).recipes.values()] == [["left"], ["right"]]
    (tmp_path / "second.toml").write_text(changed(SECOND_RECIPE, '["right", "left"]', '["left"]'))
    assert faults(path) == {"cameras.1.name": "'right' is not in the recipe's views: nothing would look at its frames"}


def test_further_recipes_are_held_against_the_line_too_and_what_is_wrong_with_both_is_told_once(tmp_path: Path) -> None:
    strict = changed(SECOND_RECIPE, "position_tolerance_mm = 5", "position_tolerance_mm = 0.1")
    (tmp_path / "second.toml").write_text(strict)
    station = changed(WITH_SECOND, 'source = "/dev/video0"', 'source = "/dev/video0", fps = 150')
    station = changed(station, "offset_mm = 300", "offset_mm = 800")
    with pytest.raises(ConfigError) as raised:
        load_station(write(tmp_path, station))
    first, *second = raised.value.faults
    assert first.where == "cameras.1.offset_mm"
    assert [fault.where for fault in second] == ["second.toml: position_tolerance_mm", "cameras.0.settings"]
    assert "position_tolerance_mm = 0.1 of second.toml covers only 0.2 mm" in second[1].what


def test_a_camera_that_is_too_slow_is_told_what_it_does_and_what_it_must_do(tmp_path: Path) -> None:
    found = faults(write(tmp_path, changed(STATION, 'source = "/dev/video0"', 'source = "/dev/video0", fps = 30')))
    assert found["cameras.0.settings"].startswith(
        "camera 'left' takes a picture every 33.3 mm at line.speed_max_mm_s = 1000, but position_tolerance_mm = 5 of"
    )
    assert "raise its rate (30 per second) to 100 or lower speed_max_mm_s" in found["cameras.0.settings"]


def test_a_camera_whose_pictures_lie_as_near_as_the_tolerance_covers_is_allowed(tmp_path: Path) -> None:
    loaded(write(tmp_path, changed(STATION, 'source = "/dev/video0"', 'source = "/dev/video0", fps = 100')))
    lines = changed(STATION, 'source = "/dev/video0"', 'source = "/dev/video0", fps = 30')
    loaded(write(tmp_path, changed(lines, "offset_mm = 200", "offset_mm = 200\nline_counts = 8")))


FREE = {
    "folder": (FolderCamera.Settings(path=Path("p"), interval_ms=20), 50.0),
    "folder, as fast as asked": (FolderCamera.Settings(path=Path("p"), interval_ms=0), None),
    "opencv": (OpenCvCamera.Settings(source="/dev/video0", fps=60), 60.0),
    "opencv, not said": (OpenCvCamera.Settings(source="/dev/video0"), None),
    "genicam": (GenicamSettings(serial="1", frame_rate=30), 30.0),
    "genicam, not said": (GenicamSettings(serial="1"), None),
    "genicam, triggered": (GenicamSettings(serial="1", frame_rate=30, trigger_source="Line0"), None),
    "genicam, row by row": (GenicamSettings(serial="1", frame_rate=30, line_trigger_source="Line0"), None),
    "genicam, its own features": (GenicamSettings(serial="1", frame_rate=30, features={"TriggerMode": "On"}), None),
    "simulated": (SimulatedCamera.Settings(line=Path("l"), offset_mm=1), None),
}


@pytest.mark.parametrize("case", FREE)
def test_a_camera_says_how_fast_it_runs_by_itself(case: str) -> None:
    chosen, hz = FREE[case]
    assert chosen.free_running_hz == hz


def test_faults_of_all_recipes_and_the_station_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "second.toml").write_text(changed(SECOND_RECIPE, "part_length_mm = 100", "part_length_mm = 0"))
    station = changed(WITH_SECOND, '"second.toml"', '"second.toml", "gone.toml"')
    recipe = changed(RECIPE, "min_pitch_mm = 120", "min_pitch_mm = -1")
    expected = {
        f"{tmp_path}/recipe.toml: min_pitch_mm",
        f"{tmp_path}/second.toml: part_length_mm",
        f"{tmp_path}/gone.toml",
    }
    assert set(faults(write(tmp_path, station, recipe))) == expected
    assert set(faults(write(tmp_path, changed(station, "port = 9200", "port = 0"), recipe))) == {"web.port", *expected}


def test_a_counter_that_falls_is_described_by_the_sign_and_nothing_else_changes(tmp_path: Path) -> None:
    described = changed(STATION, "counts_per_mm = 10", "counts_per_mm = -10")
    described = changed(described, 'driver = "s7"', 'driver = "s7"\ncounter_lowest = 0\ncounter_highest = 65535')
    described = changed(described, "mm_per_px = 0.2", "mm_per_px = 0.2\nline_counts = 4")
    file = loaded(write(tmp_path, described)).file
    assert file.counter == Counter(0, 65_535, falling=True)
    assert file.line.scale == 10
    assert file.mm_per_row(file.cameras[0]) == 0.4
    geometry = line_geometry(loaded(write(tmp_path, described)))
    rising = line_geometry(loaded(write(tmp_path)))
    assert replace(geometry, counter=Counter()) == rising
    assert geometry.counter == file.counter


FIRST = "[features.left]\nfocus_absolute = 30\n"


def test_a_station_may_have_a_broker_of_the_plant_and_one_in_a_cloud(tmp_path: Path) -> None:
    other = '[[plcs]]\nname = "cloud"\ndriver = "mqtt"\nsettings = { host = "192.0.2.9", outbox = "cloud" }\n'
    assert loaded(write(tmp_path, STATION + other)).roles.vital == {"plc"}


def test_recipes_say_what_their_product_needs(tmp_path: Path) -> None:
    (tmp_path / "second.toml").write_text(SECOND_RECIPE + "[features.left]\nfocus_absolute = 40\n")
    path = write(tmp_path, WITH_SECOND)
    path.with_name("recipe.toml").write_text(RECIPE + FIRST)
    assert loaded(path).recipes[5].recipe.features == {"left": {"focus_absolute": 40}}


@pytest.mark.parametrize(
    ("station", "second", "where", "what"),
    [
        (WITH_SECOND, "", "second.toml: features.left", "focus_absolute missing: another recipe sets it"),
        (WITH_SECOND, "[features.lef]\nx = 1\n" + FIRST, "second.toml: features.lef", "no camera is called 'lef'"),
        (
            changed(WITH_SECOND, 'source = "/dev/video0"', 'source = "x.avi"'),
            FIRST,
            "recipe.toml: features.left",
            "driver 'opencv' cannot set features",
        ),
        (
            WITH_SECOND + "[realtime]\ncamera_processes = true\n",
            FIRST,
            "recipe.toml: features.left",
            "cannot be set in a camera process",
        ),
    ],
)
def test_features_that_cannot_be_kept_are_refused(
    tmp_path: Path, station: str, second: str, where: str, what: str
) -> None:
    (tmp_path / "second.toml").write_text(SECOND_RECIPE + second)
    path = write(tmp_path, station)
    path.with_name("recipe.toml").write_text(RECIPE + FIRST)
    assert faults(path)[where].startswith(what)
