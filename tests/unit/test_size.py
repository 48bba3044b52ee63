"""The calculator: its arithmetic against the formula of docs/sizing.md, and a station file against words."""

import math
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from edge_inspector.cli import main
from edge_inspector.commands import size_needs
from edge_inspector.commands.size_needs import Sized, SizedView
from edge_inspector.commands.size_words import Need, needs

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "sizing.md").read_text()
WORDS = ["--cameras", "4", "--size", "2048x2048", "--model", "tile-1.1", "--parts-per-s", "2", "--speed-mm-s", "500"]
WORDS += ["--way-mm", "900", "--ms", "7", "--cores", "16"]
VIEW = SizedView(name="top", width=2048, height=2048, windows=81, way_mm=900.0, wire_bytes=2048 * 2048)
LINE = Sized(
    views=[replace(VIEW, name=f"camera {number}") for number in range(4)],
    parts_per_s=2.0,
    speed_mm_s=500.0,
    reserve_ms=100.0,
    ms=7.0,
    places=16,
    cores=16,
    on_device=False,
    channels=3,
    mask_share=1.25,
    rejected=0.02,
    model_mb=10.0,
    album_mb=512,
    queue_frames=64,
    images_mb=8192,
    accepted_one_in=100,
    pictures_per_s=20.0,
    link_mbit=1000.0,
)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, str]]:
    """Exit code, and what was said by kind. Of several of one kind the last."""
    code = main(["size", *words])
    rows = re.findall(r"^(ok|NO) +(\w+) +(.*)$", capsys.readouterr().out, re.MULTILINE)
    return code, {kind: what for _, kind, what in rows}


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(main(["size", *words]))
    assert ended.value.code == 2
    told = capsys.readouterr()
    assert (told.out, "Traceback" in told.err) == ("", False)
    return told.err


def test_the_figures_are_those_of_the_formula() -> None:
    model = 2 * 324 * 0.007
    others = 0.1 + 2 * (0.002 + 4 * 0.004 + 4 * 2048 * 2048 * 1.2e-9)
    assert size_needs.model_load(LINE) == pytest.approx(model)
    assert size_needs.core_load(LINE) == pytest.approx(model + others)
    assert size_needs.cores_needed(LINE) == math.ceil((model + others) / 0.7)
    wire = 1.05 * 2048 * 2048 * 8 / 1e6
    assert size_needs.wire_ms(LINE, LINE.views[0]) == pytest.approx(wire)
    free = 1 - (model + others) / 16
    assert size_needs.verdict_ms(LINE, LINE.views[0]) == pytest.approx(wire + math.ceil(324 / 16) * 7 / free + 9)
    assert size_needs.left_ms(LINE, LINE.views[0]) == pytest.approx(900 / 500 * 1000 - 100)


def test_what_the_page_says_of_the_costs_is_what_the_code_has() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) ", PAGE, re.MULTILINE))
    constants = {name: value for name, value in vars(size_needs).items() if name.isupper() and not name.startswith("_")}
    constants.pop("PARTS_PER_S_MAX")
    assert {name: float(value) for name, value in rows.items()} == constants


def test_the_measured_line_of_the_benchmarks_is_foretold() -> None:
    """Two cameras, one core for the model, 10 ms a call: p99 of all but the model, and of inference."""
    line = replace(LINE, ms=10.0, places=1, on_device=True, views=[replace(VIEW, windows=1, wire_bytes=0)] * 2)
    for load, measured in {0.1: 8.8 + 17.9, 0.5: 18 + 14.8, 0.9: 159 + 16.8}.items():
        at = replace(line, parts_per_s=load * 1000 / 20)
        foretold = size_needs.verdict_ms(at, at.views[0])
        assert measured < foretold < 1.6 * measured
        assert f"{foretold:.0f}" in PAGE


def test_a_device_takes_the_model_from_the_cores() -> None:
    gpu = replace(LINE, on_device=True, places=1, ms=0.5, cores=2)
    assert size_needs.core_load(gpu) == pytest.approx(size_needs.other_load(LINE))
    assert size_needs.model_load(gpu) == pytest.approx(2 * 324 * 0.0005)
    assert size_needs.devices_needed(gpu) == 1
    assert size_needs.devices_needed(replace(gpu, ms=2.0)) == 2
    assert size_needs.devices_needed(LINE) == 0


def test_what_limits_is_where_it_stops_to_fit() -> None:
    for line in (LINE, replace(LINE, link_mbit=100.0), replace(LINE, views=[replace(VIEW, way_mm=120.0)])):
        name, most = min(size_needs.parts_per_s_max(line).items(), key=lambda each: each[1])
        for times, fits in ((0.98, True), (1.02, False)):
            at = line.faster(times * most / line.parts_per_s)
            ends = {
                "the processor": size_needs.core_load(at) <= 0.7 * at.cores,
                "the way to the gate": size_needs.slack_ms(at) >= 0,
                "the network of a camera": size_needs.wire_mbit(at, at.views[0]) <= 0.8 * at.link_mbit,
            }
            assert ends[name] is fits, (name, times)


def test_each_need_that_is_not_met_says_no() -> None:
    def grades(line: Sized) -> dict[str, bool]:
        found: dict[str, bool] = {}
        for need in needs(line, "m"):
            found[need.kind] = found.get(need.kind, True) and need.fits
        return found

    assert set(grades(LINE).values()) == {True}
    assert grades(replace(LINE, cores=4, places=4))["cores"] is False
    assert grades(replace(LINE, reserve_ms=1700.0))["time"] is False
    assert grades(replace(LINE, link_mbit=50.0))["network"] is False
    assert grades(replace(LINE, album_mb=32))["album"] is False
    assert grades(replace(LINE, on_device=True, places=1))["devices"] is False
    swamped = [need for need in needs(replace(LINE, cores=2, places=2), "m") if not need.fits]
    assert "never catches up" in next(need.what for need in swamped if need.kind == "time")


def test_pictures_are_kept_up_to_the_limits() -> None:
    assert size_needs.views_kept_per_s(replace(LINE, rejected=1.0, parts_per_s=100.0)) == pytest.approx(20.0)
    assert size_needs.views_kept_per_s(replace(LINE, rejected=0.0, accepted_one_in=0)) == 0
    assert Need("disk", "x").fits
    (disk,) = (need.what for need in needs(replace(LINE, rejected=0.0, accepted_one_in=0), "m") if need.kind == "disk")
    assert "images_mb" not in disk


def test_a_line_in_words_is_measured_in_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    code, told = said(capsys, *WORDS)
    assert code == 0
    assert set(told) == {"line", "model", "cores", "time", "memory", "disk", "network", "limit"}
    assert "4 views of each part with 16.8 megapixels together, in 324 windows" in told["line"]
    assert "7 ms for a window on one core, as you say" in told["model"]
    assert all(what.count(". ") == 0 for what in told.values()), "one sentence each"


def test_the_example_of_the_page_is_what_the_command_says(capsys: pytest.CaptureFixture[str]) -> None:
    command, output = re.findall(
        r"```sh\nedge-inspector (size --cameras 4 .*?)\n```\n\n```\n(.*?)```", PAGE, re.DOTALL
    )[0]
    assert main(shlex.split(command.replace("\\\n", " "))) == 0
    assert capsys.readouterr().out == output


def test_a_line_that_does_not_fit_has_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    code, told = said(capsys, *WORDS, "--cores", "2")
    assert code == 1
    assert "never catches up" in told["time"]


def test_the_model_is_measured_on_this_machine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_inspector.commands.size_line._SECONDS", 0.2)
    words = WORDS[: WORDS.index("--ms")]
    words[words.index("2048x2048")] = "256x256"
    _, told = said(capsys, *words, "--parts-per-s", "0.1")
    assert re.fullmatch(r"tile-1.1 int8: [\d.]+ ms for a window on one core, measured here", told["model"])
    assert "in 4 windows" in told["line"]


@pytest.fixture
def station(tmp_path: Path) -> Path:
    """The shipped station, with the shipped models."""
    for name in ("station.toml", "recipe.toml"):
        text = (ROOT / "deploy" / name).read_text().replace("/opt/edge-inspector/models", str(ROOT / "models"))
        (tmp_path / name).write_text(text.replace("/var/lib/edge-inspector", str(tmp_path / "state")))
    return tmp_path / "station.toml"


def test_a_station_file_says_the_same_as_its_figures_in_words(
    capsys: pytest.CaptureFixture[str], station: Path
) -> None:
    code, told = said(capsys, str(station), "--ms", "45", "--cores", "8")
    words = ["--cameras", "1", "--size", "1280x720", "--model", "magnetic-tile-1.6", "--parts-per-s", "5"]
    words += ["--speed-mm-s", "600", "--way-mm", "650", "--ms", "45", "--cores", "8"]
    _, in_words = said(capsys, *words)
    assert code == 0
    assert told["line"] == in_words["line"]
    assert "5 parts/s at 600 mm/s" in told["line"], "speed_max_mm_s through min_pitch_mm of the recipe"
    assert told["cores"] == in_words["cores"]
    left = re.search(r"after (\d+) ms", told["time"])
    assert left is not None
    assert int(left[1]) == round((900 - 250) / 600 * 1000 - 100)
    assert "network" not in told, "a USB camera"


def test_words_beside_a_station_file_replace_what_it_says(capsys: pytest.CaptureFixture[str], station: Path) -> None:
    _, told = said(capsys, str(station), "--ms", "45", "--size", "640x480", "--parts-per-s", "1", "--speed-mm-s", "100")
    assert "1 parts/s at 100 mm/s, one view of each part with 0.307 megapixels" in told["line"]


def test_a_station_that_does_not_say_how_large_its_pictures_are_is_asked(
    capsys: pytest.CaptureFixture[str], station: Path
) -> None:
    station.write_text(station.read_text().replace("width = 1280, height = 720, ", ""))
    told = refused(capsys, str(station), "--ms", "45")
    assert told.startswith(
        "cameras.top: the station file does not say how large its pictures are: add --size 2448x2048"
    )


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "--cameras, --size, --parts-per-s, --speed-mm-s, --way-mm, --model: needed if no station file"),
        ([*WORDS, "--gpus", "1", "--model", "nosuch"], "nosuch"),
        ([*WORDS[:-4], "--gpus", "1"], "--gpus: needs --ms"),
        (["/nosuch/station.toml"], "/nosuch/station.toml"),
    ],
)
def test_nonsense_is_refused_in_one_line(capsys: pytest.CaptureFixture[str], words: list[str], why: str) -> None:
    told = refused(capsys, *words)
    assert why in told
    assert len(told.splitlines()) <= 2, "the fault, and how many there are"


@pytest.mark.parametrize(
    "words",
    [
        ["--cameras", "0"],
        ["--cameras", "257"],
        ["--size", "2048"],
        ["--size", "0x100"],
        ["--size", "99999x1"],
        ["--size", "axb"],
        ["--parts-per-s", "0"],
        ["--speed-mm-s", "inf"],
        ["--ms", "nan"],
        ["--rejected", "2"],
        ["--cores", "-1"],
        ["--link-mbit", "-5"],
    ],
)
def test_a_value_that_cannot_be_is_refused(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    told = refused(capsys, *WORDS, *words)
    assert f"error: argument {words[0]}: " in told
    assert len(told.splitlines()) <= 2, "the usage, and what is wrong"


def test_what_the_station_says_already_is_refused_in_words(capsys: pytest.CaptureFixture[str], station: Path) -> None:
    assert "--cameras: the station file says it" in refused(capsys, str(station), "--cameras", "2")
