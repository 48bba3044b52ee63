"""A recorded shift is judged again: as it was to the byte, or by something else.

The shifts in tests/assets hold verdicts of this version. If a change of arithmetic is wanted, write them anew and
review the difference: `edge-inspector replay SHIFT --copy NEW --rejudged`, then put NEW in its place.
"""

import base64
import gzip
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks.replay_shift import CHANGED, changed_model
from edge_inspector.cli import main
from edge_inspector.codes import CommandName, Decision
from edge_inspector.errors import ConfigError
from edge_inspector.inspection.challenge import ChallengePart, ChallengeRules
from edge_inspector.replay.comparing import Comparison, text_of
from edge_inspector.replay.judging import Rejudging
from edge_inspector.segmenters.manifest import read_manifest
from edge_inspector.shifts.coding import as_json, from_json
from edge_inspector.shifts.files import Shift, ShiftWriter
from edge_inspector.shifts.tape import AskedCommand, JudgeStep, KeptItem

ROOT = Path(__file__).parents[2]
SHIFT = ROOT / "tests" / "assets" / "shift"
ASSETS = ROOT / "tests" / "assets"
RED, RED_PIXELS = 210, 4000
FAULTS = ROOT / "tests" / "assets" / "shift-with-faults"
MODELS = ["--models-dir", str(ROOT / "models")]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIFT, tmp_path / "shift"))


def judged(shift: Shift, change: Callable[[JudgeStep], JudgeStep] = lambda step: step) -> Comparison:
    found = Comparison()
    found.take(Rejudging(shift.head).run(map(change, shift.steps())))
    return found


@pytest.mark.parametrize("folder", [SHIFT, FAULTS], ids=["shift", "shift-with-faults"])
def test_the_judge_says_the_same_to_the_byte(folder: Path) -> None:
    found = judged(Shift(folder))
    assert found.pairs
    assert found.unequal == []


def test_the_recorded_shift_has_every_decision() -> None:
    found = [pair.some.decision for pair in (judged(Shift(FAULTS)).pairs | judged(Shift(SHIFT)).pairs).values()]
    assert set(found) == set(Decision)


def test_another_instant_gives_another_verdict() -> None:
    def later(step: JudgeStep) -> JudgeStep:
        return replace(step, readings=tuple(each + 1 for each in step.readings))

    found = judged(Shift(SHIFT), later)
    assert len(found.unequal) == len(found.pairs)
    assert found.changed == []


def test_without_the_encoder_no_part_is_inspected() -> None:
    found = judged(Shift(SHIFT), lambda step: replace(step, samples=()))
    assert {pair.some.decision for pair in found.pairs.values() if pair.now} == {Decision.NOT_INSPECTED}


def test_a_camera_that_was_lost_is_the_reason_again() -> None:
    (pair,) = (each for each in judged(Shift(FAULTS)).pairs.values() if each.some.decision is Decision.NOT_INSPECTED)
    assert pair.then is not None
    assert text_of(pair.then) == text_of(pair.now)


def test_the_model_finds_the_same_in_the_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    # Another processor may round otherwise, so the gate compares decisions and classes, not bytes.
    assert main(["replay", str(SHIFT), *MODELS, "--expect", str(SHIFT / "expected.jsonl")]) == 0
    assert "0 parts are not judged as expected" in capsys.readouterr().out


def test_views_can_be_taken_as_they_were(capsys: pytest.CaptureFixture[str]) -> None:
    expected = str(FAULTS / "expected.jsonl")
    assert main(["replay", str(FAULTS), "--recorded-views", "--expect", expected]) == 0
    assert main(["replay", str(FAULTS), "--recorded-views"]) == 0
    assert "31 of 31 verdicts are equal to the byte" in capsys.readouterr().out


def test_other_limits_change_the_parts_that_they_should(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limits, report = tmp_path / "limits.toml", tmp_path / "report.html"
    limits.write_text("[classes.chip]\nmin_area_mm2 = 100000.0\n")
    assert main(["replay", str(SHIFT), *MODELS, "--limits", str(limits), "--report", str(report)]) == 0
    told = capsys.readouterr().out
    assert "part 4: REJECT (defect) then, ACCEPT (none) now" in told
    assert "part 7" not in told, "it has a crack, too"
    assert "That costs 50 at most" in told
    page = report.read_text()
    assert "Part 4: REJECT" in page
    (shown,) = re.findall(r"data:image/png;base64,([^\"]+)", page)
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(shown), np.uint8), cv2.IMREAD_COLOR)
    assert (picture == (255, 64, 0)).all(axis=2).any(), "what was a defect then is circled in blue"


def test_the_report_of_a_replay_is_pdf_if_its_name_says_so(tmp_path: Path) -> None:
    pytest.importorskip("fpdf")
    report = tmp_path / "report.pdf"
    assert main(["replay", str(FAULTS), "--recorded-views", "--report", str(report)]) == 0
    assert report.read_bytes().startswith(b"%PDF-")


def red_above(folder: Path, least: int, pixels: int) -> Path:
    """A model that knows one thing: regions of so many pixels at least that are at least so red, by 2 x 2 pixels."""
    folder.mkdir()
    content = (ASSETS / "two-classes.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(content)
    (folder / "manifest.toml").write_text(
        f"""format = 1
name = "red"
version = "1.0"
licence = "Apache-2.0"
description = "for tests"
classes = ["dark", "red"]
input = {{ height = 32, width = 48, channels = 3 }}
output = {{ stride = 2 }}
[files.int8]
path = "model.onnx"
sha256 = "{hashlib.sha256(content).hexdigest()}"
[limits.dark]
min_confidence = 1.0
min_area_px = 1e9
[limits.red]
min_confidence = {least / 255}
min_area_px = {pixels}
"""
    )
    return folder


def red_parts(least: int, pixels: int) -> set[int]:
    """The parts that such a model must reject, worked out from their pictures without any code of the station."""
    found = set()
    for number, path in enumerate(sorted((SHIFT / "pictures" / "cam1").iterdir()), 1):
        red = cv2.imread(str(path))[:, :, 2].astype(np.float64)
        means = red.reshape(red.shape[0] // 2, 2, red.shape[1] // 2, 2).mean(axis=(1, 3)).astype(np.uint8)
        stats = cv2.connectedComponentsWithStats((means >= least).astype(np.uint8), connectivity=8)[2]
        if len(stats) > 1 and stats[1:, cv2.CC_STAT_AREA].max() * 4 >= pixels:
            found.add(number)
    return found


def test_another_model_changes_the_parts_that_a_fresh_look_changes(
    tmp_path: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = red_above(tmp_path / "red-1.0", RED, RED_PIXELS)
    head = json.loads((copy / "head.json").read_text())
    (copy / "head.json").write_text(json.dumps(head | {"settings": '{"overlap_px": 8}'}))
    assert main(["replay", str(copy), "--model", str(model)]) == 0
    told = capsys.readouterr().out
    before = {
        line["part"][2]: line["decision"]
        for line in map(json.loads, (SHIFT / "expected.jsonl").read_text().splitlines())
    }
    now = {part: "REJECT" if part in red_parts(RED, RED_PIXELS) else "ACCEPT" for part in before}
    changed = sorted(part for part in before if now[part] != before[part])
    named = re.findall(r"part (\d+): (\w+) \(\w+\) then, (\w+) \(\w+\) now", told)
    assert named == [(str(part), before[part], now[part]) for part in changed]
    assert {now[part] for part in changed} == {"ACCEPT", "REJECT"}, "both ways, and not all parts"
    assert 0 < len(changed) < len(before)


def test_the_model_of_the_benchmark_is_another_one(tmp_path: Path) -> None:
    changed = read_manifest(changed_model(tmp_path) / CHANGED)
    shipped = read_manifest(ROOT / "models" / "tile-1.1")
    assert (changed.name, changed.version) == ("tile", "9.9")
    assert changed.files["int8"].sha256 == shipped.files["fp32"].sha256
    assert changed.limits["crack"].min_area_px > shipped.limits["crack"].min_area_px


def test_another_recipe_judges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'id = 1\nname = "x"\nmodel = "tile-1.1"\nviews = ["cam1"]\npart_length_mm = 200\nmin_pitch_mm = 360\n'
        "position_tolerance_mm = 10\n[classes.chip]\nmin_area_mm2 = 0\nmax_count = 9\n"
        "[classes.crack]\nmin_area_mm2 = 0\nmax_count = 9\n"
    )
    assert main(["replay", str(SHIFT), *MODELS, "--recipe", str(recipe)]) == 0
    assert "2 of 8 decisions have changed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"id": 2}, "2 is no recipe of the record. There are: 1"),
        ({"views": ["cam9"]}, "the cameras of the record are: cam1"),
        ({"classes": {"dent": {"min_area_mm2": 1}}}, "dent"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(
    tmp_path: Path, recipe: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = {
        "id": 1,
        "name": "x",
        "model": "tile-1.1",
        "views": ["cam1"],
        "part_length_mm": 200,
        "min_pitch_mm": 360,
        "position_tolerance_mm": 10,
    }
    lines = {key: json.dumps(value) for key, value in (usual | recipe).items() if key != "classes"}
    text = "".join(f"{key} = {value}\n" for key, value in lines.items())
    text += "".join(f"[classes.{name}]\nmin_area_mm2 = 1\n" for name in recipe.get("classes", {}))
    (tmp_path / "recipe.toml").write_text(text)
    assert main(["replay", str(SHIFT), *MODELS, "--recipe", str(tmp_path / "recipe.toml")]) == 2
    assert words in capsys.readouterr().err


def test_a_part_that_is_not_as_expected_fails_the_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = tmp_path / "expected.jsonl"
    assert main(["replay", str(FAULTS), "--recorded-views", "--update-expected", str(expected)]) == 0
    assert expected.read_text() == (FAULTS / "expected.jsonl").read_text()
    lines = expected.read_text().splitlines()
    expected.write_text("\n".join([lines[0].replace("ACCEPT", "REJECT"), *lines[2:]]) + "\n")
    assert main(["replay", str(FAULTS), "--recorded-views", "--expect", str(expected)]) == 1
    told = capsys.readouterr().out
    assert "REJECT (none) is expected, and it is ACCEPT (none)" in told
    assert "no verdict is expected" in told
    assert "2 parts are not judged as expected" in told


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[]",
        '{"part": 1}',
        '{"part": [1, 1, 1], "decision": 2, "reason": "NONE", "defects": {}}',
        '{"part": [1, 1, 1], "decision": "ACCEPT", "reason": null, "defects": {}}',
        '{"part": [1, 1, 1], "decision": "ACCEPT", "reason": "NONE", "defects": 3}',
    ],
)
def test_a_file_that_expects_nothing_is_refused(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "expected").write_text(text)
    assert main(["replay", str(FAULTS), "--recorded-views", "--expect", str(tmp_path / "expected")]) == 2
    assert "is no file that --update-expected wrote" in capsys.readouterr().err


def test_a_missing_picture_is_told_and_its_view_stays(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = sorted((copy / "pictures" / "cam1").glob("*"))
    pictures[0].unlink()
    pictures[1].write_bytes(b"no picture")
    assert main(["replay", str(copy), *MODELS, "--expect", str(copy / "expected.jsonl")]) == 0
    assert "2 views are as recorded: their pictures are missing" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--report", "--update-expected"])
def test_a_file_that_cannot_be_written_is_an_error_in_one_line(
    tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(FAULTS), "--recorded-views", option, str(tmp_path / "nowhere" / "file")]) == 1
    told = capsys.readouterr().err
    assert "cannot be written: No such file or directory" in told
    assert told.count("\n") == 1


def test_a_view_of_no_recipe_stays_as_it_was(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = gzip.decompress((copy / "steps.jsonl.gz").read_bytes())
    begun = lines.replace(b'"recipe_id":1', b'"recipe_id":0', 1)
    assert begun != lines
    (copy / "steps.jsonl.gz").write_bytes(gzip.compress(begun))
    assert main(["replay", str(copy), *MODELS, "--expect", str(copy / "expected.jsonl")]) == 0
    assert "8 parts in" in capsys.readouterr().out


def packed(lines: list[bytes]) -> bytes:
    return gzip.compress(b"".join(lines))


def test_a_record_that_is_cut_off_is_used_up_to_there(copy: Path) -> None:
    steps = copy / "steps.jsonl.gz"
    steps.write_bytes(steps.read_bytes()[: steps.stat().st_size // 2])
    shift = Shift(copy)
    found = judged(shift)
    assert 0 < len(found.pairs) < 8
    assert found.unequal == []
    assert "cut off after" in shift.remarks[0]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"nonsense\n", "line 3"),
        (b'{"kind": 5}\n', "kind must be of type str"),
        (b'{"other": 5}\n', "a key that this version does not know: other"),
        (b'{"items": [{}]}\n', "an item must be a view"),
        (b'{"items": [{"view": {"camera": "x", "frame_id": 1, "captured_ns": 1}}]}\n', "'x' is no camera"),
        (b'{"items": [{"view": {"camera": "cam1", "frame_id": 1, "captured_ns": 1, "recipe_id": 9}}]}\n', "9 is no"),
        (b'{"samples": [{"count": 1}]}\n', "lacks device_ns"),
        (b'{"samples": 1}\n', "must be a list"),
        (b'{"around": {"model": 1}}\n', "must be an object"),
        (b"[" * 100_000 + b"\n", "line 3"),
    ],
)
def test_a_damaged_line_ends_the_record(copy: Path, line: bytes, words: str) -> None:
    steps = copy / "steps.jsonl.gz"
    lines = gzip.decompress(steps.read_bytes()).splitlines(keepends=True)
    steps.write_bytes(packed([*lines[:2], line, *lines[2:]]))
    shift = Shift(copy)
    assert len(list(shift.steps())) == 2
    assert words in shift.remarks[0]


def test_damage_inside_the_file_is_told(copy: Path) -> None:
    steps = copy / "steps.jsonl.gz"
    content = bytearray(steps.read_bytes())
    content[len(content) // 2] ^= 0xFF
    steps.write_bytes(bytes(content))
    shift = Shift(copy)
    judged(shift)
    assert shift.remarks


def test_a_line_without_end_is_not_read_into_memory(copy: Path) -> None:
    (copy / "steps.jsonl.gz").write_bytes(gzip.compress(b" " * 100_000_000))
    shift = Shift(copy)
    assert list(shift.steps()) == []
    assert "too long" in shift.remarks[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "is of format 2, and this version reads format 1"),
        ({"geometry": 5}, "geometry must be an object"),
        ({"judged": []}, "first_recipe 1 is none of its recipes"),
        ({"scales": {"../../etc": [1, 1]}}, "the same cameras, with proper names"),
        ({"scales": {"cam1": [0, 1]}}, "must be above 0"),
        ({"first_recipe": 7}, "7 is none of its recipes"),
        ({"boot_id": "x"}, "boot_id must be of type int"),
    ],
)
def test_another_first_page_is_refused(copy: Path, change: dict[str, Any], words: str) -> None:
    head = json.loads((copy / "head.json").read_text())
    (copy / "head.json").write_text(json.dumps(head | change))
    with pytest.raises(ConfigError, match=words):
        Shift(copy)


def test_a_folder_that_is_no_shift_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(tmp_path)]) == 2
    assert "Is this the folder of a shift?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("machine", "abacus", "the machine is another one: abacus then"),
        ("version", "0.0.1", "the version is another one: 0.0.1 then"),
        ("runtime", "onnxruntime 0.1", "the runtime is another one: onnxruntime 0.1 on cpu then"),
        ("sha256", "0" * 64, "the model's file is another one: 000"),
    ],
)
def test_what_is_another_one_is_named_with_what_may_differ(
    copy: Path, key: str, value: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    head = json.loads((copy / "head.json").read_text())
    (head if key in head else head["model"])[key] = value
    (copy / "head.json").write_text(json.dumps(head))
    main(["replay", str(copy), *MODELS])
    told = capsys.readouterr().out
    assert words in told
    assert "parts close to a limit, may differ" in told


def test_a_copy_leaves_out_names_and_pictures(tmp_path: Path) -> None:
    head = json.loads((SHIFT / "head.json").read_text())
    named = Path(shutil.copytree(SHIFT, tmp_path / "named"))
    settings = {"servers": ["SECRET:8001"], "engine_cache": "/home/SECRET", "token_file": "SECRET", "workers": 2}
    secret = {"station": "SECRET", "models_dir": "/home/SECRET", "settings": json.dumps(settings)}
    (named / "head.json").write_text(json.dumps(head | secret))
    arguments = ["replay", str(named), "--copy", str(tmp_path / "copy"), "--anonymous", "--without-pictures"]
    assert main(arguments) == 0
    assert "SECRET" not in (tmp_path / "copy" / "head.json").read_text()
    assert not (tmp_path / "copy" / "pictures").exists()
    assert json.loads(Shift(tmp_path / "copy").head.settings) == {"workers": 2}
    found = judged(Shift(tmp_path / "copy"))
    assert len(found.pairs) == 8
    assert found.unequal == []
    assert main(arguments) == 2, "nothing is overwritten"


def with_part_ids(step: JudgeStep) -> JudgeStep:
    return replace(step, items=tuple(map(item_with_part_ids, step.items)))


def item_with_part_ids(item: KeptItem) -> KeptItem:
    if item.plc is None:
        return item
    triggers = tuple(replace(each, part_id=f"SECRET{each.part_seq % 3}") for each in item.plc.triggers)
    return KeptItem(plc=replace(item.plc, triggers=triggers))


def test_a_copy_leaves_out_the_numbers_of_parts_and_the_names_of_challenge_parts(tmp_path: Path) -> None:
    shift = Shift(SHIFT)
    secret = ChallengePart(recipe=1, name="SECRET", expect="accept")
    head = replace(shift.head, challenge=ChallengeRules(parts={1: (secret, secret)}, timeout_ns=10**12))
    begun = KeptItem(command=AskedCommand("page:SECRET", "SECRET", CommandName.CHALLENGE))
    start, *rest = map(with_part_ids, shift.steps())
    asked = [start, replace(rest[0], items=(begun, *rest[0].items)), *rest[1:]]
    writer = ShiftWriter(tmp_path / "named", head)
    for step in Rejudging(head).rejudged(asked):
        writer.step(step)
    writer.end("", 0)
    assert b"SECRET" in gzip.decompress((tmp_path / "named" / "steps.jsonl.gz").read_bytes())

    assert main(["replay", str(tmp_path / "named"), "--copy", str(tmp_path / "copy"), "--anonymous"]) == 0
    for path in (tmp_path / "copy").iterdir():
        text = path.read_bytes()
        assert b"SECRET" not in (gzip.decompress(text) if path.suffix == ".gz" else text), path
    found = judged(Shift(tmp_path / "copy"))
    assert found.unequal == []
    verdicts = [pair.some for pair in found.pairs.values()]
    assert [each.challenge for each in verdicts].count("master-1") == 2
    assert len({each.part.part_id for each in verdicts}) == 3, "equal names stay equal"


@pytest.mark.parametrize(("options", "how"), [([], MODELS), (["--without-pictures"], ["--recorded-views"])])
def test_one_command_makes_a_test_of_a_field_report(
    tmp_path: Path, options: list[str], how: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report"
    assert main(["replay", str(SHIFT), "--copy", str(report), "--anonymous", *options]) == 0
    assert f"--expect {report / 'expected.jsonl'}" in capsys.readouterr().out
    assert (report / "expected.jsonl").read_text() == (SHIFT / "expected.jsonl").read_text()
    assert main(["replay", str(report), *how, "--expect", str(report / "expected.jsonl")]) == 0
    assert "0 parts are not judged as expected" in capsys.readouterr().out


def test_every_step_is_the_same_after_writing_and_reading() -> None:
    for step in Shift(FAULTS).steps():
        assert from_json(JudgeStep, json.loads(json.dumps(as_json(step)))) == step


def test_a_copy_can_have_the_verdicts_of_now(tmp_path: Path) -> None:
    lines = gzip.decompress((FAULTS / "steps.jsonl.gz").read_bytes()).replace(b'"grade":"A"', b'"grade":"Z"')
    older = Path(shutil.copytree(FAULTS, tmp_path / "older"))
    (older / "steps.jsonl.gz").write_bytes(gzip.compress(lines))
    assert judged(Shift(older)).unequal
    assert main(["replay", str(older), "--copy", str(tmp_path / "newer"), "--rejudged"]) == 0
    found = judged(Shift(tmp_path / "newer"))
    assert (len(found.pairs), found.unequal) == (31, [])
