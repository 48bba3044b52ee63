"""The command that proposes limits: from pictures, from the parts of a station, and what it refuses."""

import csv
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.dark_model import RECIPE, dark_model
from support.page import station_files
from support.verdicts import BOOT, placed, verdict

from edge_inspector.cli import main
from edge_inspector.codes import Decision
from edge_inspector.inspection.recipe import read_recipe
from edge_inspector.records import ChallengeRun, ChallengeSeen
from edge_inspector.station.calibrating import model_id
from edge_inspector.station.load import Station, load_station
from edge_inspector.store import audit
from edge_inspector.store.challenges import append_challenge, stored
from edge_inspector.store.logbook import LogbookReader, LogbookWriter, logbook_path
from edge_inspector.store.pictures import picture_stem
from edge_inspector.store.promises import kept_promise
from edge_inspector.store.results import Results
from edge_inspector.store.results_file import images_dir, results_path
from edge_inspector.store.results_writer import ResultsWriter, StoredVerdict

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LOOSE = ["--false-rejects", "0.1", "--confidence", "0.9"]  # needs 22 parts


def plates(folder: Path, sides: list[int]) -> Path:
    """Bright pictures, each with a dark square of this side."""
    folder.mkdir()
    for number, side in enumerate(sides):
        image = np.random.default_rng(number).integers(150, 160, (64, 64), dtype=np.uint8)
        image[4 : 4 + side, 4 : 4 + side] = 20
        cv2.imwrite(str(folder / f"p{number}.png"), image)
    return folder


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    models = dark_model(tmp_path / "models")
    good = plates(tmp_path / "good", [number % 5 for number in range(30)])
    return ["calibrate", str(tmp_path / "recipe.toml"), "--models", str(models), "--good", str(good), *LOOSE]


def test_pictures_of_good_parts_give_limits_and_those_of_bad_ones_say_what_they_cost(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = plates(tmp_path / "bad", [3, 5, 5, 12])
    assert main([*words, "--bad", str(bad), "--min-confidence", "0.6"]) == 0
    said = capsys.readouterr().out
    assert "30 good parts, 4 bad parts, and 0 that cannot be judged" in said
    assert "at most 10 % of good parts are rejected, with 90 % confidence" in said
    assert "good parts rejected: now 0, then 0 of 30" in said
    assert "bad parts rejected: now 1, then 3 of 4 (recall 0.194 to 0.994 with 95 % confidence)" in said
    limits = said[said.index("[classes") :]
    (tmp_path / "recipe.toml").write_text(f"{RECIPE}{limits}")
    found = read_recipe(tmp_path / "recipe.toml").classes["dark"]
    assert (found.min_area_mm2, found.min_confidence) == (16.01, 0.6)


def test_a_list_says_which_pictures_count(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "list.csv").open("w", newline="") as file:
        rows = [(f"p{number}.png", "dark" if number % 5 == 4 else "good") for number in range(29)]
        csv.writer(file).writerows([("image", "class"), *rows])
    assert main([*words, "--expect", str(tmp_path / "list.csv")]) == 0
    said = capsys.readouterr().out
    assert "24 good parts, 5 bad parts" in said
    assert "then 5 of 5" in said


def test_without_bad_parts_it_says_that_nobody_knows(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert "bad parts rejected: unknown, because none were given. The model has no scores" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--false-rejects", "0.01"], "needs 230 good parts, and there are 30, which can promise 7.4 %"),
        (["--write"], "--write: needs a station"),
        (["--good", "no-such"], "no-such: there is no such picture or folder"),
    ],
)  # fmt: skip
def test_what_cannot_be_promised_is_told_in_a_line(
    words: list[str], capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert main([*words, *more]) == 2
    assert message in capsys.readouterr().err.splitlines()[0]


@pytest.mark.parametrize("share", ["0", "1", "-0.1", "nan", "much"])
def test_a_share_that_is_none_is_refused(words: list[str], share: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*words, "--false-rejects", share])


# The parts of a station.


def keep(station: Station, sides: dict[int, int], decisions: dict[int, Decision], **changes: object) -> None:
    """Store parts by their number, with a mask that shows a square of this side. Side 0: a clean one."""
    model = f"{model_id(station.models.infos[station.recipe.model])}int8/cpu"
    entries = []
    for seq, side in sides.items():
        utc = NOON + timedelta(seconds=seq)
        stem = picture_stem(utc, "cam1", seq, seq)
        path = images_dir(station.state_dir) / stem
        path.parent.mkdir(parents=True, exist_ok=True)
        mask = np.zeros((40, 40), np.uint8)
        mask[:side, :side] = 255
        cv2.imwrite(f"{path}.png", mask)
        cv2.imwrite(f"{path}-mask.png", mask)
        Path(f"{path}.json").write_text(json.dumps({"classes": ["defect"]}))
        found = {"recipe_id": 1, "model": model, **changes}
        part = verdict(seq, decisions.get(seq, Decision.ACCEPT), views=(placed(frame_id=seq),), **found)
        entries.append(StoredVerdict(part, utc, "sample", {"cam1": stem}))
    writer = ResultsWriter(results_path(station.state_dir))
    writer.add(entries, [])
    writer.close()


def call(station: Station, label: str, seqs: list[int]) -> None:
    results = Results(results_path(station.state_dir))
    for number in results.numbers(BOOT, seqs).values():
        results.label(number, "", label=label, defect_class="", user="eva", utc=NOON)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A station with 30 good parts in the sample, every tenth, and rejected ones between them."""
    path = station_files(tmp_path)
    station = load_station(path)
    keep(station, {10 * number: number % 3 for number in range(1, 31)}, {})
    keep(station, {10 * number + 1: 6 for number in range(1, 31)}, {10 * n + 1: Decision.REJECT for n in range(1, 31)})
    return path


def proposed(said: str) -> float:
    found = re.search(r"min_area_mm2 = ([\d.]+)", said)
    assert found is not None
    return float(found[1])


def test_of_all_parts_only_the_sample_counts_and_of_marked_ones_all(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    station = load_station(path)
    assert main(["calibrate", str(path), *LOOSE, "--believe", "all"]) == 0
    said = capsys.readouterr().out
    assert "30 good parts, 0 bad parts" in said
    pixel = station.scales["cam1"][0] ** 2 * station.models.infos[station.recipe.model].stride ** 2
    assert proposed(said) == pytest.approx(4 * pixel, rel=1e-3)
    call(station, "good", [10 * number for number in range(1, 26)])
    call(station, "good", [11, 21, 31])
    call(station, "defect", [41, 300])
    call(station, "unsure", [51])
    assert main(["calibrate", str(path), *LOOSE]) == 0
    said = capsys.readouterr().out
    assert "28 good parts, 2 bad parts" in said
    assert proposed(said) == pytest.approx(36 * pixel, rel=1e-3)
    assert main(["calibrate", str(path), *LOOSE, "--believe", "all", "--from", "2026-11-21T12:01"]) == 0
    assert "24 good parts, 1 bad parts" in capsys.readouterr().out, "one of the bad ones was earlier"


def test_parts_of_other_models_challenges_and_parts_not_seen_whole_do_not_count(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    station = load_station(path)
    keep(station, {400: 9}, {}, model="other-1/int8/cpu")
    keep(station, {410: 9}, {}, missing_views=("cam2",))
    keep(station, {420: 9}, {420: Decision.NOT_INSPECTED})
    keep(station, {430: 9}, {})
    seen = ChallengeSeen(
        name="known", expect="reject", decision="REJECT", reason="defect", found=(), right=True, boot_id=BOOT, seq=430,
        part_seq=430,
    )  # fmt: skip
    run = ChallengeRun(who="eva", recipe_id=1, criteria="", expected=1, begun_ns=0, ended_ns=1, parts=(seen,), why="")
    append_challenge(station.state_dir, stored(run, NOON))
    keep(station, {440: 9}, {})
    stem = picture_stem(NOON + timedelta(seconds=440), "cam1", 440, 440)
    (images_dir(station.state_dir) / f"{stem}-mask.png").unlink()
    assert main(["calibrate", str(path), *LOOSE, "--believe", "all"]) == 0
    assert "30 good parts, 0 bad parts, and 1 that cannot be judged" in capsys.readouterr().out


def test_a_version_is_saved_with_its_promise_and_judges_only_when_somebody_puts_it_in_force(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    station = load_station(path)
    words = ["calibrate", str(path), *LOOSE, "--believe", "all", "--write"]
    assert main(words) == 1
    assert "Has the station run?" in capsys.readouterr().err
    assert list(audit.read(station.state_dir)) == []
    LogbookWriter(logbook_path(station.state_dir), 1).close()
    for number in (1, 2):
        assert main(words) == 0
        assert f"saved as version {number} of recipe 1" in capsys.readouterr().out
    version, _ = LogbookReader(logbook_path(station.state_dir)).versions(1, 9)
    assert "calibrated with 30 good parts: at most 10 % false rejects" in version.comment
    kept = kept_promise(station.state_dir, version.hash)
    assert kept is not None
    assert (kept.false_rejects, kept.confidence, kept.parts) == (0.1, 0.9, 30)
    assert [each.change.what for each in audit.read(station.state_dir)] == ["recipe version", "recipe version"]
    assert load_station(path).recipe.fingerprint == station.recipe.fingerprint


def test_a_station_that_cannot_know_says_so(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", str(path)]) == 2
    assert "needs 149 good parts, and there are 0" in capsys.readouterr().err
    assert main(["calibrate", str(path), "--recipe", "9"]) == 2
    assert "--recipe: the station has only 1, 2" in capsys.readouterr().err
    path.write_text(path.read_text().replace("accepted_one_in = 10", "accepted_one_in = 0"))
    assert main(["calibrate", str(path), "--believe", "all"]) == 2
    assert "archive.accepted_one_in: is 0" in capsys.readouterr().err
