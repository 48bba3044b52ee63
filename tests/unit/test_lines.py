"""Lines of every kind: who announces, who knows where the belt is, who gets the verdicts, and what that promises."""

import re
from pathlib import Path

import pytest

from edge_inspector.codes import ErrorCode, Promise, StationState
from edge_inspector.errors import ConfigError
from edge_inspector.pipeline import build
from edge_inspector.records import EncoderSample
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.lines.kinds import KINDS, LANES, write_kind
from edge_inspector.station.load import Station, load_station
from edge_inspector.watches.rolls import RollByBit
from edge_inspector.wiring.line import last_views, line_geometry

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "deploy" / "examples").glob("*.toml"))
STATIONS = [path for path in EXAMPLES if not path.name.startswith("recipe")]


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A folder with the examples, and with the models where they are here."""
    for path in EXAMPLES:
        text = path.read_text().replace("/opt/edge-inspector/models", str(ROOT / "models"))
        (tmp_path / path.name).write_text(text.replace("/var/lib/edge-inspector", str(tmp_path / "state")))
    return tmp_path


def changed(folder: Path, name: str, *changes: tuple[str, str]) -> Path:
    path = folder / f"{name}.toml"
    text = path.read_text()
    for old, new in changes:
        assert text.count(old) == 1, (old, text.count(old))
        text = text.replace(old, new)
    path.write_text(text)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as error:
        load_station(path)
    return str(error.value)


@pytest.mark.parametrize("path", STATIONS, ids=lambda path: path.stem)
def test_an_example_is_a_station_that_says_what_it_promises(example: Path, path: Path) -> None:
    station = load_station(example / path.name)
    assert station.file.line.promise is station.roles.promise


@pytest.mark.parametrize("path", STATIONS, ids=lambda path: path.stem)
def test_each_example_is_in_the_table_of_lines(path: Path) -> None:
    assert f"(../deploy/examples/{path.name})" in (ROOT / "docs" / "lines.md").read_text()


def test_each_kind_of_the_demo_is_in_the_table_of_lines() -> None:
    told = (ROOT / "docs" / "lines.md").read_text()
    assert [kind for kind in (*KINDS, LANES) if f"`{kind}`" not in told] == []


@pytest.mark.parametrize(
    ("offset_mm", "last"), [("402.5", {"side"}), ("257.0", {"top", "side"}), ("252.5", {"top", "side"})]
)
def test_a_part_is_complete_with_a_view_that_is_taken_last_or_just_before_it(
    example: Path, offset_mm: str, last: set[str]
) -> None:
    station = load_station(changed(example, "plc-camera", ("offset_mm = 402.5", f"offset_mm = {offset_mm}")))
    assert last_views(station) == {station.recipe.id: last}


@pytest.mark.parametrize("path", STATIONS, ids=lambda path: path.stem)
def test_some_view_completes_the_parts_of_each_recipe(example: Path, path: Path) -> None:
    station = load_station(example / path.name)
    found = last_views(station)
    assert {number: bool(views) for number, views in found.items()} == dict.fromkeys(station.recipes, True)
    assert all(views <= set(station.recipes[number].recipe.views) for number, views in found.items())


@pytest.mark.parametrize("kind", KINDS)
def test_the_demo_s_station_of_each_kind_is_one(tmp_path: Path, kind: str) -> None:
    line = Line(
        seed=1,
        start_ns=0,
        speed_mm_s=1000.0,
        pitch_mm=400.0,
        part_length_mm=200.0,
        parts=9,
        lanes=1,
        gate_mm=KINDS[kind].way_mm,
        counts_per_mm=10.0,
        cameras_at_eye=KINDS[kind].at_eye,
        fire_ports=tuple(range(5001, 5009)),
    )
    ports = {"plc": 1, "broker": 2, "web": 3, "other": 4}
    write_kind(KINDS[kind], tmp_path, tmp_path / "line.json", line, ports=ports, mqtt_version="5")
    assert load_station(tmp_path / "station.toml").roles.promise.value == KINDS[kind].promise


@pytest.mark.parametrize(
    ("name", "word", "why"),
    [
        ("mqtt", "acknowledged", "cannot promise 'acknowledged': nobody acknowledges the verdicts"),
        ("mqtt-timed", "counted", "positions follow from the time"),
        ("bench", "timed", "there is no belt and no gate"),
        ("s7commplus", "timed", "promises more than 'timed'"),
    ],
)
def test_a_word_that_does_not_fit_is_refused(example: Path, name: str, word: str, why: str) -> None:
    path = example / f"{name}.toml"
    path.write_text(re.sub(r'promise = "\w+"', f'promise = "{word}"', path.read_text()))
    told = refusal(path)
    assert why in told
    assert re.search(r'Write promise = "(counted|timed|bench|acknowledged)"', told)


def test_a_part_that_is_not_numbered_can_be_missed_unnoticed(example: Path) -> None:
    told = refusal(changed(example, "mqtt", ("triggers = true ", "numbered = false\ntriggers = true ")))
    assert "'broker' does not number the parts" in told
    assert 'Write promise = "uncounted"' in told


def test_a_camera_without_frame_numbers_announces_uncounted(example: Path) -> None:
    path = changed(example, "camera-output", ('driver = "genicam"', 'driver = "opencv"'))
    usb = '"opencv"\\noffset_mm = 0.0\\nmm_per_px = 0.1\\nsettings = { source = "/dev/video9" }'
    encoder = 'driver = "simulated"\\nsettings = { line = "x" }'
    text = re.sub(r'"opencv".*?\nsettings = \{[^}]*\}', usb, path.read_text(), flags=re.DOTALL)
    path.write_text(re.sub(r'driver = "constant-speed"\nsettings = \{[^}]*\}', encoder, text))
    told = refusal(path)
    assert "'top' does not number the parts" in told
    assert 'Write promise = "uncounted"' in told


def test_a_trigger_bit_counts_nothing(example: Path) -> None:
    told = refusal(
        changed(
            example,
            "s7-simple",
            ('trigger = "DB20.DBW0"', 'trigger = "DB20.DBX0.0"'),
            ('trigger_count = "DB20.DBD8 as dint"', "#"),
        )
    )
    assert 'Write promise = "uncounted"' in told


def test_without_an_encoder_somebody_must_tell_when_the_belt_stops(example: Path) -> None:
    told = refusal(changed(example, "mqtt-timed", ("line = true ", "line = false ")))
    assert "somebody must tell when the belt stops, and no link does" in told
    path = changed(example, "mqtt-timed", ("settle_ms = 2000", "never_stops = true"))
    assert load_station(path).roles.settle_s is None


def test_a_belt_that_is_known_too_badly_at_the_gate_is_refused(example: Path) -> None:
    told = refusal(changed(example, "mqtt-timed", ("speed_error_percent = 0.8", "speed_error_percent = 5")))
    assert "5 % of line.gate_mm = 600 are 30 mm at the gate" in told


def test_an_output_alone_is_told_and_nobody_need_listen_on_mqtt(example: Path) -> None:
    path = example / "camera-output.toml"
    output_alone, _, _ = path.read_text().partition('[[plcs]]\nname = "broker"')
    path.write_text(output_alone)
    assert [link.name for link in load_station(path).file.plcs] == ["gate"]


def test_the_gate_by_time_behind_an_encoder_in_the_camera_is_only_timed(example: Path) -> None:
    told = refusal(changed(example, "camera-chunk", ("state_every_s = 0.2", "gate_time = true\nline = true")))
    assert 'Write promise = "timed"' in told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ([("piece_mm = 500.0", "piece_mm = 495.0")], "pieces of the web may begin 485 mm behind each other"),
        ([("overlap_mm = 50.0 ", "overlap_mm = 501.0 ")], "is more than a piece, 500 mm"),
        ([("gate_mm = 4000.0 ", "gate_mm = 800.0 ")], "a piece has been seen 710 mm behind"),
        ([('driver = "mqtt"', 'driver = "s7"'), ("state_every_s = 0.2", ""), ("commands = true", "#")], "over mqtt"),
        ([("[roll] ", '[parts]\nannounced_by = "left"\n[roll] ')], "a web has no parts"),
        ([("across_mm = 0.0", "shots_mm = [0.0, 40.0]")], "one picture for each piece and camera"),
        ([('driver = "s7-simple"', 'driver = "no-belt" #'), ("settings = { host", "#")], "counts without pictures"),
    ],
)
def test_a_web_that_cannot_be_inspected_is_refused(example: Path, changes: list[tuple[str, str]], told: str) -> None:
    assert told in refusal(changed(example, "web", *changes))


def test_a_plc_cannot_take_verdicts_on_parts_of_others(example: Path) -> None:
    beside = '[[plcs]]\nname = "plc"\ndriver = "s7"\nsettings = { host = "192.168.0.9" }\n\n[[plcs]]\nname = "broker"'
    told = refusal(changed(example, "camera-chunk", ('[[plcs]]\nname = "broker"', beside)))
    assert "only on parts that its own PLC has announced" in told


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("s7-simple", 'driver = "s7-simple"\nsettings = {', 'driver = "s7-simple"\nsettings = { new_roll = "M1.0",'),
        ("modbus-simple", "scan_ms = 10 }", 'new_roll = "coil 1", scan_ms = 10 }'),
    ],
)
def test_a_bit_for_a_new_roll_is_for_webs_only(example: Path, name: str, old: str, new: str) -> None:
    assert "encoder.settings.new_roll: is only for a web" in refusal(changed(example, name, (old, new)))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("web", '"DB20.DBX8.0"', '"DB20.DBW8"'),
        ("modbus-simple", "scan_ms = 10 }", 'new_roll = "holding 3", scan_ms = 10 }'),
    ],
)
def test_a_new_roll_is_a_bit(example: Path, name: str, old: str, new: str) -> None:
    assert "new_roll must be a bit" in refusal(changed(example, name, (old, new)))


def test_a_grade_that_no_recipe_gives_has_no_gate(example: Path) -> None:
    grades = ("pulse_ms = 120", 'pulse_ms = 120\ngrades = { B = "coil 2", D = "coil 3" }')
    told = refusal(changed(example, "camera-output", grades))
    assert "grades.D ('gate'): no recipe gives this grade to a good part. There are: A, B" in told
    assert "grades.B" not in told
    recipe = example / "recipe.toml"
    recipe.write_text(recipe.read_text() + '\n[[grades]]\nname = "D"\n')
    told = refusal(example / "camera-output.toml")
    assert "grades.B ('gate'): no recipe gives this grade to a good part. There are: D" in told


def test_across_is_for_webs_only(example: Path) -> None:
    assert "needs the table [roll]" in refusal(
        changed(example, "mqtt", ("offset_mm = 250.0", "offset_mm = 250.0\nacross_mm = 5.0"))
    )


def test_the_pictures_of_a_web_overlap_and_its_first_camera_sets_the_pace(example: Path) -> None:
    station = load_station(example / "web.toml")
    web = line_geometry(station).web
    assert web is not None
    assert web.rows_mm == {"left": 250.0, "right": 250.0}, "50 mm of rows are carried over"
    assert web.across_mm == {"left": 0.0, "right": 490.0}


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("camera-chunk", [('announced_by = "top"', 'announced_by = "tob"')], "no link and no camera is called 'tob'"),
        ("camera-chunk", [("offset_mm = 0.0", "offset_mm = 5.0")], "must be 0: its picture is where all positions"),
        ("camera-chunk", [('name = "broker"', 'name = "top"')], "is the name of a link and of a camera"),
        ("camera-chunk", [('camera = "top"', 'camera = "side"')], "no camera is called 'side'"),
        ("mqtt", [("triggers = true ", "#")], "the first link must be a PLC"),
        ("bench", [("counts_per_mm = 1.0", "counts_per_mm = 10.0")], "one count is one millisecond"),
        ("bench", [('announced_by = "top"', 'announced_by = "broker"')], "'broker' does not announce parts"),
        ("camera-output", [("counts_per_mm = 10.0, n", "counts_per_mm = 5.0, n")], "must be that of [line], 10"),
    ],
)
def test_roles_that_nobody_can_take_are_refused(
    example: Path, name: str, changes: list[tuple[str, str]], told: str
) -> None:
    assert told in refusal(changed(example, name, *changes))


def built(station: Station) -> tuple[Conditions, dict[str, bool]]:
    conditions = Conditions()
    conditions.phase(StationState.READY)
    station.segmenter.open()
    try:
        reports = build(station, boot_id=1, conditions=conditions, first_recipe=station.recipe.id).report
    finally:
        station.segmenter.close()
    return conditions, {worker.stage._label: worker.vital for worker in reports}


def test_a_broker_that_is_the_only_link_is_vital(example: Path) -> None:
    conditions, vital = built(load_station(example / "mqtt.toml"))
    assert vital == {"broker": True}
    conditions.set(ErrorCode.BROKER_LOST, "broker", "gone")
    assert conditions.state is StationState.FAULT


@pytest.mark.parametrize(("name", "reads"), [("web", True), ("s7-simple", False)])
def test_the_bit_of_a_new_roll_is_read_with_the_encoder(example: Path, name: str, *, reads: bool) -> None:
    station = load_station(example / f"{name}.toml")
    station.segmenter.open()
    try:
        pipeline = build(station, boot_id=1, conditions=Conditions(), first_recipe=station.recipe.id)
    finally:
        station.segmenter.close()
    assert isinstance(pipeline.track[0].stage._encoder, RollByBit) is reads


def test_a_broker_beside_a_plc_is_not(example: Path) -> None:
    conditions, vital = built(load_station(example / "s7commplus.toml"))
    assert vital == {"plc": True, "broker": False}
    conditions.set(ErrorCode.BROKER_LOST, "broker", "gone")
    assert conditions.state is StationState.DEGRADED


def test_a_camera_that_announces_is_vital_and_another_is_not(example: Path) -> None:
    conditions, _ = built(load_station(example / "camera-chunk.toml"))
    conditions.set(ErrorCode.CAMERA_LOST, "side", "gone")
    assert conditions.state is StationState.DEGRADED
    conditions.set(ErrorCode.CAMERA_LOST, "top", "gone")
    assert conditions.state is StationState.FAULT


def test_promises_are_ranked_from_strong_to_weak() -> None:
    assert [each.value for each in sorted(Promise, key=lambda each: each.rank)] == [
        "acknowledged",
        "counted",
        "uncounted",
        "timed",
        "bench",
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ([("[0.0, 0.0, 80.0] ", "[0.0, 90.0, 80.0] ")], "cameras.0.shots_mm ('top'): must be in the order"),
        ([("[0.0, 0.0, 80.0] ", "[5.0] ")], "shots_mm"),
        ([("[0.0, 0.0, 80.0] ", "[0.0, 280.0] ")], "could be pictures of the next part. It must be more than 300"),
        ([("[0.0, 0.0, 80.0] ", "[0.0, 0.0, 610.0] ")], "'top' at 860 mm is not before the decision line"),
        ([("shots_mm = ", "# ")], "no camera is called 'top-1'"),
        (
            [('[[cameras]]\nname = "top"', '[parts]\nannounced_by = "top"\n\n[[cameras]]\nname = "top"')],
            "let another one",
        ),
    ],
)
def test_pictures_that_cannot_be_told_apart_are_refused(
    example: Path, changes: list[tuple[str, str]], told: str
) -> None:
    assert told in refusal(changed(example, "shots", *changes))


def test_a_camera_that_runs_freely_takes_no_pictures_of_one_part(example: Path) -> None:
    driver = 'driver = "opencv"\noffset_mm'
    free = 'settings = { source = "/dev/video0", fps = 30, latency_ms = 4.0 }'
    triggered = 'settings = { address = "192.168.1.20", trigger_source = "Line0", exposure_us = 200 }'
    path = changed(example, "shots", ('driver = "genicam"\noffset_mm', driver), (triggered, free))
    assert "must be triggered for each of them" in refusal(path)


def test_a_picture_has_a_name_that_no_camera_has(example: Path) -> None:
    other = '\n[[cameras]]\nname = "top-2"\ndriver = "genicam"\noffset_mm = 9\nmm_per_px = 0.1\n'
    other += 'settings = { address = "192.168.1.21" }\n'
    path = example / "shots.toml"
    path.write_text(path.read_text() + other)
    assert "its picture 'top-2' is also the name of a camera" in refusal(path)


def test_each_picture_is_a_view_with_its_own_way_from_the_photo_eye(example: Path) -> None:
    file = load_station(example / "shots.toml").file
    assert [(view.name, view.offset_mm, view.shots_mm) for view in file.views] == [
        ("top-1", 250.0, None),
        ("top-2", 250.0, None),
        ("top-3", 330.0, None),
    ]


def test_a_stop_voids_the_times_of_the_gate_also_while_a_shift_is_recorded(example: Path) -> None:
    path = changed(example, "mqtt-timed", ("[station]\n", "[record]\nbudget_mb = 100\n\n[station]\n"))
    station = load_station(path)
    station.segmenter.open()
    try:
        pipeline = build(station, boot_id=1, conditions=Conditions(), first_recipe=station.recipe.id)
    finally:
        station.segmenter.close()
    judge = pipeline.judge[0].stage
    told = pipeline.timeline  # what the links ask when a part is at the gate

    def run_until(stop_ms: int) -> None:
        for at_ns in range((stop_ms - 100) * 1_000_000, stop_ms * 1_000_000, 10_000_000):
            told.add(EncoderSample(at_ns // 1_000_000, at_ns, at_ns, at_ns, boot_id=1))
        judge.step()

    run_until(100)
    assert (told.epoch, judge._judge._timeline.epoch) == (1, 1)
    judge._judge._timeline.void()  # what the judge does at a stop
    run_until(200)
    assert (told.epoch, judge._judge._timeline.epoch) == (2, 2)
