"""What a typical mistake in a station file or recipe is answered with: each message says what to type."""

from pathlib import Path

import pytest

from edge_inspector.errors import ConfigError
from edge_inspector.station.load import load_station

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

[[cameras]]
name = "top"
driver = "opencv"
offset_mm = 200
mm_per_px = 0.2
settings = { source = "/dev/video0" }

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
views = ["top"]
part_length_mm = 100
min_pitch_mm = 120
position_tolerance_mm = 5
[classes.defect]
min_area_mm2 = 2
"""

# What is written wrongly into the station file, and the whole of what is said. {} is the file's folder.
LINKS = "modbus, modbus-output, modbus-simple, mqtt, s7, s7-simple, s7commplus"
STATION_SAYS = {
    "a mistyped key is one message, not two": (
        "mm_per_px = 0.2",
        "mm_per_pixel = 0.2",
        "cameras.0.mm_per_pixel ('top'): unknown key. Did you mean mm_per_px?",
    ),
    "a mistyped key that need not be": (
        "gate_mm = 900",
        "gate_mm = 900\nreserv_ms = 50",
        "line.reserv_ms: unknown key. Did you mean reserve_ms?",
    ),
    "a key without its unit": (
        '"/dev/video0"',
        '"/dev/video0", exposure = 500',
        "cameras.0.settings.exposure ('top'): unknown key. Did you mean exposure_us?",
    ),
    "a key of another product": (
        'host = "192.0.2.2"',
        'host = "192.0.2.2", tls = true',
        "plcs.1.settings.tls ('broker'): unknown key. Did you mean tls_ca_file?",
    ),
    "a key in another unit": (
        '"/dev/video0"',
        '"/dev/video0", exposure_ms = 5',
        "cameras.0.settings.exposure_ms ('top'): unknown key. Did you mean exposure_us? It is in us, not in ms",
    ),
    "a key that nothing is like": (
        'host = "192.0.2.2"',
        'host = "192.0.2.2", urgent = true',
        (
            "plcs.1.settings.urgent ('broker'): unknown key. Keys here: birth, client_id, commands, connect_timeout_s, "
            "gate_time, host, inflight, keepalive_s, line, line_silent_s, numbered, outbox, outbox_max_rows, "
            "packet_max_bytes, page, password_file, place, port, retain, site, sparkplug_group, state_every_s, "
            "tls_ca_file, tls_cert_file, tls_key_file, tls_system_ca, topic, topic_prefix, transport, "
            "trigger_clock_ms, trigger_delay_ms, triggers, username, version, websocket_path"
        ),
    ),
    "a driver's setting beside settings": (
        "mm_per_px = 0.2",
        "mm_per_px = 0.2\nexposure_us = 500",
        "cameras.0.exposure_us ('top'): belongs to the driver's settings: write settings = { exposure_us = ... }",
    ),
    "a mistyped table": ("[encoder]", "[encodr]", "encodr: unknown table. Did you mean [encoder]?"),
    "a mistyped list of tables": ("[[cameras]]", "[[camera]]", "camera: unknown key. Did you mean [[cameras]]?"),
    "a missing key": ("gate_mm = 900\n", "", "line.gate_mm: is missing. Write gate_mm = ..., a number above 0"),
    "a missing text": ('name = "press-3"\n', "", 'station.name: is missing. Write name = "..."'),
    "a missing table": (
        '[encoder]\ndriver = "s7"\nsettings = { host = "192.0.2.1" }\n',
        "",
        "encoder: is missing. Write [encoder]",
    ),
    "one bracket for two": (
        "[[cameras]]",
        "[cameras]",
        "cameras: write [[cameras]], in two brackets: there may be several",
    ),
    "two brackets for one": ("[line]", "[[line]]", "line: write [line], in one pair of brackets: there is only one"),
    "a decimal comma": (
        "mm_per_px = 0.2",
        "mm_per_px = 0,2",
        "{}/station.toml: is not TOML: line 21: write 0.2, not 0,2",
    ),
    "a decimal comma in settings": (
        '"/dev/video0"',
        '"/dev/video0", fps = 7,5',
        "{}/station.toml: is not TOML: line 22: write 7.5, not 7,5",
    ),
    "a Windows path": (
        '"recipe.toml"',
        r'"C:\line\recipe.toml"',
        (
            '{}/station.toml: is not TOML: line 3: write "C:/line/recipe.toml", '
            "or 'C:\\line\\recipe.toml' in single quotes"
        ),
    ),
    "a Windows path with a known escape": (
        '"recipe.toml"',
        r'"C:\temp"',
        (
            "{}/station.toml: station.recipe: is not a path, because a backslash in double quotes is not kept: "
            "write \"C:/temp\", or 'C:\\temp' in single quotes"
        ),
    ),
    "a Windows path with \\U": (
        '"recipe.toml"',
        r'"C:\Users\eva\recipe.toml"',
        (
            '{}/station.toml: is not TOML: line 3: write "C:/Users/eva/recipe.toml", '
            "or 'C:\\Users\\eva\\recipe.toml' in single quotes"
        ),
    ),
    "Python's True": (
        'host = "192.0.2.2"',
        'host = "192.0.2.2", commands = True',
        "{}/station.toml: is not TOML: line 32: write true, not True",
    ),
    "yes": (
        'host = "192.0.2.2"',
        'host = "192.0.2.2", commands = yes',
        "{}/station.toml: is not TOML: line 32: write true, not yes",
    ),
    "true in other words": (
        'host = "192.0.2.2"',
        'host = "192.0.2.2", commands = "perhaps"',
        "plcs.1.settings.commands ('broker'): must be true or false (is 'perhaps')",
    ),
    "a text without quotes": (
        'driver = "opencv"',
        "driver = opencv",
        '{}/station.toml: is not TOML: line 19: write "opencv", in quotes',
    ),
    "a path without quotes": (
        '"recipe.toml"',
        "/etc/recipe.toml",
        '{}/station.toml: is not TOML: line 3: write "/etc/recipe.toml", in quotes',
    ),
    "a number with its unit": (
        "gate_mm = 900",
        "gate_mm = 900 mm",
        "{}/station.toml: is not TOML: line 8: write 900 alone, without mm: the unit is in the key's name",
    ),
    "a number in quotes with its unit": (
        "gate_mm = 900",
        'gate_mm = "900 mm"',
        "line.gate_mm: must be a number above 0 (is '900 mm'). Write 900, without quotes and without mm",
    ),
    "a number in quotes with a comma": (
        "mm_per_px = 0.2",
        'mm_per_px = "0,2"',
        "cameras.0.mm_per_px ('top'): must be a number above 0 (is '0,2'). Write 0.2, without quotes",
    ),
    "a number without its zero": (
        "mm_per_px = 0.2",
        "mm_per_px = .2",
        "{}/station.toml: is not TOML: line 21: write 0.2, with a digit before the point",
    ),
    "a number with a point at its end": (
        "gate_mm = 900",
        "gate_mm = 900.",
        "{}/station.toml: is not TOML: line 8: write 900.0, with a digit after the point",
    ),
    "a number with a zero before it": (
        "gate_mm = 900",
        "gate_mm = 0900",
        "{}/station.toml: is not TOML: line 8: write 900, without a zero before it",
    ),
    "nothing": (
        "gate_mm = 900",
        "gate_mm = 900\nreserve_ms = None",
        "{}/station.toml: is not TOML: line 9: leave the key out: None is not a value",
    ),
    "a colon": (
        "gate_mm = 900",
        "gate_mm: 900",
        "{}/station.toml: is not TOML: line 8: write gate_mm = 900, with = and not :",
    ),
    "a space in a key": (
        "gate_mm = 900",
        "gate mm = 900",
        "{}/station.toml: is not TOML: line 8: write key = value. A key has the letters A-Z a-z, digits, _ and - only",
    ),
    "quotes from a word processor": (
        '"opencv"',
        "\u201eopencv\u201c",
        "{}/station.toml: is not TOML: line 19: write plain quotes, \" or ', not typographic ones",
    ),
    "a missing quote": ('"opencv"', '"opencv', "{}/station.toml: is not TOML: line 19: a quote is missing at the end"),
    "a missing bracket": ("[line]", "[line", "{}/station.toml: is not TOML: line 5: a ] is missing at the end"),
    "settings over two lines": (
        '{ source = "/dev/video0" }',
        '{ source = "/dev/video0",\n fps = 5 }',
        "{}/station.toml: is not TOML: line 22: write all that is between { and } in one line",
    ),
    "a table twice": (
        "[encoder]",
        "[line]",
        (
            "{}/station.toml: is not TOML: line 10: [line] is there twice: write it once. "
            "If several are allowed, write [[line]] each time"
        ),
    ),
    "one table of several with one bracket": (
        '[[plcs]]\nname = "broker"',
        '[plcs]\nname = "broker"',
        (
            "{}/station.toml: is not TOML: line 29: [plcs] is there twice: write it once. "
            "If several are allowed, write [[plcs]] each time"
        ),
    ),
    "a key twice": (
        "gate_mm = 900",
        "gate_mm = 900\ngate_mm = 901",
        "{}/station.toml: is not TOML: line 9: gate_mm is there twice: remove one",
    ),
    "what no hint fits": (
        "gate_mm = 900",
        "gate_mm =",
        "{}/station.toml: is not TOML: line 8: Invalid value: gate_mm =",
    ),
    "a value out of its range": (
        "gate_mm = 900",
        "gate_mm = 900\nreserve_ms = 1",
        "line.reserve_ms: must be a number from 5 to 5000 (is 1)",
    ),
    "a value out of a driver's range": (
        '"/dev/video0"',
        '"/dev/video0", exposure_us = 150',
        "cameras.0.settings.exposure_us ('top'): must be a whole number of at least 100 and a multiple of 100 (is 150)",
    ),
    "a text of another length": (
        '"/dev/video0"',
        '"/dev/video0", fourcc = "MJPEG"',
        "cameras.0.settings.fourcc ('top'): must be text in quotes of 4 characters (is 'MJPEG')",
    ),
    "one of a few words": (
        '"/dev/video0"',
        '"/dev/video0", backend = "gstreemer"',
        (
            "cameras.0.settings.backend ('top'): must be 'v4l2' or 'ffmpeg' or 'gstreamer' (is 'gstreemer'). "
            "Did you mean 'gstreamer'?"
        ),
    ),
    "a number for a text": (
        'host = "192.0.2.2"',
        'host = "192.0.2.2", version = 5',
        "plcs.1.settings.version ('broker'): must be '5' or '3.1.1' (is 5). Write \"5\"",
    ),
    "a name with a space": (
        '"press-3"',
        '"Line 1 / test"',
        (
            "station.name: must be at most 32 of the letters A-Z a-z, digits, - and _, and begin with a letter "
            "or digit "
            "(is 'Line 1 / test')"
        ),
    ),
    "host and port in one": (
        'settings = { host = "192.0.2.1" }\n\n[[plcs]]\nname = "broker"',
        'settings = { host = "192.0.2.1:102" }\n\n[[plcs]]\nname = "broker"',
        (
            "plcs.0.settings.host ('plc'): write host and port apart: host = \"192.0.2.1\", port = 102 "
            "(is '192.0.2.1:102')"
        ),
    ),
    "a URL for a host": (
        'host = "192.0.2.2"',
        'host = "mqtt://192.0.2.2:1883"',
        (
            "plcs.1.settings.host ('broker'): must be a name or address alone: write host and port apart: "
            "host = \"192.0.2.2\", port = 1883 (is 'mqtt://192.0.2.2:1883')"
        ),
    ),
    "an address in brackets": (
        'host = "192.0.2.2"',
        'host = "[2001:db8::1]"',
        "plcs.1.settings.host ('broker'): write host = \"2001:db8::1\", without brackets (is '[2001:db8::1]')",
    ),
    "a host with a space": (
        'host = "192.0.2.2"',
        'host = "192.0.2.2 "',
        "plcs.1.settings.host ('broker'): cannot be a host's name: there is a space in it (is '192.0.2.2 ')",
    ),
    "a USB camera": (
        '"opencv"',
        '"usb"',
        (
            "cameras.0.driver ('top'): unknown driver 'usb'. There are: basler, folder, genicam, gentl, opencv, "
            "simulated. "
            'For USB cameras, network streams and video files write driver = "opencv"'
        ),
    ),
    "a driver in capitals": (
        'driver = "mqtt"',
        'driver = "MQTT"',
        f"plcs.1.driver ('broker'): unknown driver 'MQTT'. There are: {LINKS}. Did you mean 'mqtt'?",
    ),
    "a PLC that no driver speaks to": (
        'name = "plc"\ndriver = "s7"',
        'name = "plc"\ndriver = "ethernetip"',
        (
            f"plcs.0.driver ('plc'): unknown driver 'ethernetip'. There are: {LINKS}. "
            "For any other PLC, let the PLC serve Modbus TCP. The registers are in docs/plc.md"
        ),
    ),
    "a table where a text belongs": (
        '"press-3"',
        '{ called = "press-3" }',
        "station.name: must be at most 32 of the letters A-Z a-z, digits, - and _, and begin with a letter or digit",
    ),
    "a text where a table belongs": (
        '{ source = "/dev/video0" }',
        '"/dev/video0"',
        "cameras.0.settings ('top'): must be a table (is '/dev/video0')",
    ),
}

RECIPE_SAYS = {
    "a view in capitals is one message, not two": (
        '["top"]\n',
        '["Top"]\n',
        "recipe.toml: views: no camera is called 'Top'. There are: top. Write 'top'",
    ),
    "one view without a list": (
        '["top"]\n',
        '"top"\n',
        "{}/recipe.toml: views: must be a list, and not empty (is 'top'). Write ['top']",
    ),
    "two brackets for one": (
        "min_area_mm2 = 2",
        "min_area_mm2 = 2\n[[picture]]\nmax_dark = 1.0",
        "{}/recipe.toml: picture: write [picture], in one pair of brackets: there is only one",
    ),
    "a mistyped side of the only area": (
        "min_area_mm2 = 2",
        "min_area_mm2 = 2\n[regions.top]\nx_mm = 0\ny_mm = 0\nwidht_mm = 40\nheight_mm = 30",
        "{}/recipe.toml: regions.top.widht_mm: unknown key. Did you mean width_mm?",
    ),
    "a mistyped side of one of several areas": (
        "min_area_mm2 = 2",
        "min_area_mm2 = 2\n[[regions.top]]\nx_mm = 0\ny_mm = 0\nwidth_mm = -40\nheight_mm = 30",
        "{}/recipe.toml: regions.top.0.width_mm: must be a number above 0 (is -40)",
    ),
    "a list without an area": (
        "min_area_mm2 = 2",
        "min_area_mm2 = 2\n[regions]\ntop = []",
        "{}/recipe.toml: regions.top: names no area: leave it out if the whole view is judged",
    ),
    "an area that is a number": (
        "min_area_mm2 = 2",
        "min_area_mm2 = 2\n[regions]\ntop = 40",
        "{}/recipe.toml: regions.top: must be a table or a list (is 40)",
    ),
    "a mistyped limit": (
        "min_area_mm2",
        "min_area_mm",
        "{}/recipe.toml: classes.defect.min_area_mm: unknown key. Did you mean min_area_mm2?",
    ),
    "a word that is none": (
        "id = 4",
        'id = 4\non_not_inspected = "Reject"',
        "{}/recipe.toml: on_not_inspected: must be 'reject' or 'accept' (is 'Reject'). Did you mean 'reject'?",
    ),
    "a review band of four": (
        "id = 4",
        "id = 4\nreview_band = [0,4, 0,6]",
        "{}/recipe.toml: review_band: must be a list of 2 entries",
    ),
    "a class of another model": (
        "[classes.defect]",
        "[classes.dent]",
        "recipe.toml: classes.dent: the model knows only: defect",
        "recipe.toml: classes.defect: is missing, and the model suggests no limits for it",
    ),
}


def said(folder: Path, station: str, recipe: str) -> list[str]:
    (folder / "recipe.toml").write_text(recipe, encoding="utf-8")
    path = folder / "station.toml"
    path.write_text(station, encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load_station(path)
    return [str(fault) for fault in raised.value.faults]


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize("case", STATION_SAYS)
def test_a_mistake_in_the_station_file_is_answered_with_what_to_type(tmp_path: Path, case: str) -> None:
    old, new, words = STATION_SAYS[case]
    assert said(tmp_path, changed(STATION, old, new), RECIPE) == [words.replace("{}", str(tmp_path), 1)]


@pytest.mark.parametrize("case", RECIPE_SAYS)
def test_a_mistake_in_the_recipe_is_answered_with_what_to_type(tmp_path: Path, case: str) -> None:
    old, new, *words = RECIPE_SAYS[case]
    assert said(tmp_path, STATION, changed(RECIPE, old, new)) == [each.replace("{}", str(tmp_path)) for each in words]


def test_a_model_without_its_version_is_answered_with_those_that_are_there(tmp_path: Path) -> None:
    for name in ("magnetic-tile-1.6", "tile-1.1"):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "manifest.toml").touch()
    station = changed(STATION, 'driver = "simulated"', 'driver = "onnx"')
    (told,) = said(tmp_path, station, changed(RECIPE, "none-1.0", "magnetic-tile"))
    assert told == (
        f"{tmp_path}/models/magnetic-tile/manifest.toml: there is no such file. Models there: magnetic-tile-1.6, "
        "tile-1.1. Did you mean 'magnetic-tile-1.6'?"
    )


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    for name, text in (("station.toml", STATION), ("recipe.toml", RECIPE)):
        (tmp_path / name).write_text(text.replace("\n", "\r\n"), encoding="utf-8-sig", newline="")
    assert load_station(tmp_path / "station.toml").file.station.name == "press-3"


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("utf-16", "it is saved as UTF-16. Save it as UTF-8"),
        ("cp1252", "line 2 has a character that is not UTF-8. Save the file as UTF-8"),
    ],
)
def test_a_file_in_another_encoding_is_answered_with_the_one_to_save_it_in(
    tmp_path: Path, encoding: str, words: str
) -> None:
    path = tmp_path / "station.toml"
    path.write_bytes("# 1\n# Prüfung\n".encode(encoding))
    with pytest.raises(ConfigError) as raised:
        load_station(path)
    assert [str(fault) for fault in raised.value.faults] == [f"{path}: is not TOML: {words}"]


def test_one_wrong_key_hides_no_fault_elsewhere(tmp_path: Path) -> None:
    station = changed(STATION, "gate_mm = 900", "gate_mm = -900")
    station = changed(station, '[segmenter]\ndriver = "simulated"', '[segmenter]\ndriver = "magic"')
    station = changed(station, '"/dev/video0"', '"/dev/video0", fps = 0')
    found = said(tmp_path, station, changed(RECIPE, '"top"', '"rear"'))
    assert [each.split(":")[0] for each in found] == [
        "line.gate_mm",
        "segmenter.driver",
        "cameras.0.settings.fps ('top')",
        "recipe.toml",
        "cameras.0.name ('top')",
    ]


def test_a_wrong_segmenter_beside_another_wrong_key_is_told(tmp_path: Path) -> None:
    station = changed(changed(STATION, "gate_mm = 900", "gate_mm = -900"), 'driver = "simulated"', "queue_frames = 1")
    station = changed(station, "queue_frames = 1", "settings = { precision = 'int9' }\nqueue_frames = 1")
    assert [each.split(":")[0] for each in said(tmp_path, station, RECIPE)] == [
        "line.gate_mm",
        "segmenter.settings.precision",
    ]
