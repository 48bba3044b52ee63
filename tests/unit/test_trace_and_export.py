"""What the commands make of the past: tables, datasets, one part's story."""

import csv
import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet
import pytest
from support.verdicts import BOOT, defect, frame, placed, verdict

from edge_inspector.cli import main
from edge_inspector.codes import Decision, Reason
from edge_inspector.records import Delivery, Picture
from edge_inspector.store.drawings import Drawings, DrawnOn
from edge_inspector.store.images import ImageArchive, ImageLimits
from edge_inspector.store.pictures import picture_stem
from edge_inspector.store.results import Results
from edge_inspector.store.results_file import images_dir, results_path
from edge_inspector.store.results_writer import ResultsWriter, StoredVerdict
from edge_inspector.store.sidecar import MaskForm, StationFacts, view_facts
from edge_inspector.training.data.folder import Folder
from edge_inspector.training.judging.splits import folder_parts

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
FACTS = StationFacts("line-1", {3: MaskForm("m", ("crack", "stain"), 2)}, {"cam1": 0.5, "cam2": 0.5})


def blob(rows: slice, columns: slice, plane: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    mask = np.zeros((2, 20, 30), np.uint8)
    mask[plane, rows, columns] = 200
    return mask


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Five parts: 1 accepted, 2 cracked, 3 doubtful, 4 stained, 5 without any view."""
    folder = tmp_path / "state"
    archive = ImageArchive(images_dir(folder), ImageLimits(2**30, 0), "png")
    masks = {
        2: blob(slice(2, 5), slice(4, 10)),
        3: blob(slice(0), slice(0)),
        4: blob(slice(8, 9), slice(8, 9), plane=1),
    }
    told = [
        verdict(1),
        verdict(2, Decision.REJECT, views=(placed(frame_id=2, defects=[defect()], received_ns=2_001_000_000),)),
        verdict(3, review=True),
        verdict(4, Decision.REJECT, views=(placed(frame_id=4, defects=[defect(defect_class="stain")]),)),
        verdict(5, Decision.NOT_INSPECTED, views=(), missing_views=("cam1",), error_mm=float("inf")),
    ]
    entries = []
    for each in told:
        utc = NOON + timedelta(hours=each.seq)
        stems = {"cam1": picture_stem(utc, "cam1", each.seq, each.seq)} if each.seq in masks else {}
        entries.append(StoredVerdict(each, utc, "reject", stems))
        if stems:
            facts = view_facts(entries[-1], each.views[0], FACTS)
            archive.save(stems["cam1"], Picture(frame(frame_id=each.seq), masks[each.seq]), facts)
    writer = ResultsWriter(results_path(folder))
    writer.add(entries, [Delivery(BOOT, 2, "plc", 2_051_500_000), Delivery(BOOT, 2, "broker", 2_600_000_000)])
    writer.close()
    return folder


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as text:
        return list(csv.DictReader(text))


def export(state: Path, out: Path, form: str, *more: str) -> None:
    assert main(["export", str(state), "--format", form, "--out", str(out), *more]) == 0


def test_csv_has_every_table_with_names_instead_of_numbers(state: Path, tmp_path: Path) -> None:
    export(state, tmp_path / "out", "csv")
    parts = table(tmp_path / "out" / "parts.csv")
    assert [part["decision"] for part in parts] == ["ACCEPT", "REJECT", "ACCEPT", "REJECT", "NOT_INSPECTED"]
    assert [part["reason"] for part in parts] == ["none", "defect", "none", "defect", "late"]
    assert parts[0]["utc"] == "2026-11-21T13:00:00.000000Z"
    assert (parts[0]["review"], parts[2]["review"], parts[4]["error_mm"]) == ("0", "1", "")
    assert len(table(tmp_path / "out" / "views.csv")) == 4
    assert [each["link"] for each in table(tmp_path / "out" / "deliveries.csv")] == ["broker", "plc"]
    assert [each["defect_class"] for each in table(tmp_path / "out" / "defects.csv")] == ["crack", "stain"]
    assert table(tmp_path / "out" / "labels.csv") == []


@pytest.mark.parametrize("name", ["=cmd|'/c calc'!A1", "+1", "-1", "@sum", "\tx", "\rx"])
def test_no_name_becomes_a_formula_in_a_table(tmp_path: Path, name: str) -> None:
    state = tmp_path / "state"
    views = (placed(defects=[defect(defect_class=name)]),)
    writer = ResultsWriter(results_path(state))
    writer.add([StoredVerdict(verdict(1, Decision.REJECT, views=views), NOON, "", {})], [])
    writer.close()
    Results(results_path(state)).label(1, "", label="defect", defect_class=name, user=name, utc=NOON)
    export(state, tmp_path / "out", "csv")
    assert table(tmp_path / "out" / "defects.csv")[0]["defect_class"] == f"'{name}"
    label = table(tmp_path / "out" / "labels.csv")[0]
    assert (label["defect_class"], label["user"]) == (f"'{name}", f"'{name}")
    assert float(table(tmp_path / "out" / "defects.csv")[0]["x_mm"]) == 10.0, "numbers stay numbers"


def test_a_span_takes_its_first_instant_and_leaves_its_last(state: Path, tmp_path: Path) -> None:
    export(state, tmp_path / "out", "csv", "--from", "2026-11-21T14:00", "--to", "2026-11-21T17:00+01:00")
    assert [part["seq"] for part in table(tmp_path / "out" / "parts.csv")] == ["2", "3"]
    assert [part["part_id"] for part in table(tmp_path / "out" / "views.csv")] == ["2", "3"]


def test_parquet_says_the_same_with_types(state: Path, tmp_path: Path) -> None:
    export(state, tmp_path / "out", "csv")
    export(state, tmp_path / "out", "parquet")
    for name in ("parts", "views", "defects", "deliveries", "labels"):
        found = pyarrow.parquet.read_table(tmp_path / "out" / f"{name}.parquet")
        plain = table(tmp_path / "out" / f"{name}.csv")
        assert found.num_rows == len(plain)
        if plain:
            assert found.column_names == list(plain[0])
    parts = pyarrow.parquet.read_table(tmp_path / "out" / "parts.parquet").to_pylist()
    assert parts[0]["utc"] == NOON + timedelta(hours=1)
    assert (parts[2]["review"], parts[4]["error_mm"]) == (True, None)


def test_without_a_word_from_a_person_everything_is_noted_as_not_reviewed(state: Path, tmp_path: Path) -> None:
    export(state, tmp_path / "out", "index")
    rows = {row["part_id"]: row for row in table(tmp_path / "out" / "index.csv")}
    assert {part: (row["class"], row["label"]) for part, row in rows.items()} == {
        "2": ("crack", "1"),
        "3": ("good", "0"),
        "4": ("stain", "1"),
    }
    assert {row["note"] for row in rows.values()} == {"not reviewed"}
    mask = cv2.imread(str(tmp_path / "out" / rows["2"]["mask"]), cv2.IMREAD_GRAYSCALE)
    image = cv2.imread(str(tmp_path / "out" / rows["2"]["image"]))
    assert mask.shape == image.shape[:2] == (40, 60)
    assert set(np.unique(mask)) == {0, 255}
    assert np.count_nonzero(mask) == 3 * 6 * 4, "as large as the picture"
    assert np.count_nonzero(mask[4:10, 8:20]) == 3 * 6 * 4


def test_what_people_said_comes_first(state: Path, tmp_path: Path) -> None:
    results = Results(results_path(state))
    results.label(2, "", label="defect", defect_class="crack", user="anna", utc=NOON)
    results.label(2, "cam1", label="good", defect_class="", user="anna", utc=NOON)
    results.label(3, "cam1", label="defect", defect_class="../../scratch", user="bob", utc=NOON)
    results.label(4, "cam1", label="good", defect_class="", user="bob", utc=NOON)
    results.label(4, "cam1", label="defect", defect_class="stain", user="bob", utc=NOON)
    export(state, tmp_path / "out", "index")
    rows = {row["part_id"]: row for row in table(tmp_path / "out" / "index.csv")}
    said = {part: (row["class"], row["label"], row["note"], row["by"]) for part, row in rows.items()}
    assert said == {
        "2": ("good", "0", "", "anna"),
        "3": ("../../scratch", "1", "no mask", "bob"),
        "4": ("stain", "1", "", "bob"),
    }
    inside = (tmp_path / "out" / "masks").resolve()
    assert all((tmp_path / "out" / row["mask"]).resolve().parent == inside for row in rows.values())
    assert not cv2.imread(str(tmp_path / "out" / rows["2"]["mask"]), cv2.IMREAD_GRAYSCALE).any()


def test_a_model_is_judged_only_by_what_a_person_stands_for(state: Path, tmp_path: Path) -> None:
    """The masks of the rest are the model's own: by them it would be perfect."""
    results = Results(results_path(state))
    results.label(2, "", label="defect", defect_class="crack", user="anna", utc=NOON)
    results.label(3, "cam1", label="unsure", defect_class="", user="anna", utc=NOON)
    export(state, tmp_path / "out", "index")
    folder = Folder(tmp_path / "out")
    assert folder.splits() == {"train": 3}
    assert [part.name for part in folder_parts(folder, "train")] == ["2"]
    results.label(4, "cam1", label="good", defect_class="", user="anna", utc=NOON)
    results.label(3, "cam1", label="defect", defect_class="", user="anna", utc=NOON)
    export(state, tmp_path / "out", "index")
    assert [part.name for part in folder_parts(Folder(tmp_path / "out"), "train")] == ["4", "2"]


def test_coco_has_boxes_and_outlines(state: Path, tmp_path: Path) -> None:
    Results(results_path(state)).label(2, "", label="defect", defect_class="crack", user="anna", utc=NOON)
    export(state, tmp_path / "out", "coco")
    document = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert {each["name"] for each in document["categories"]} == {"crack", "stain"}
    images = {each["id"]: each for each in document["images"]}
    assert len(images) == 3
    names = {each["id"]: each["name"] for each in document["categories"]}
    crack = next(each for each in document["annotations"] if names[each["category_id"]] == "crack")
    assert (crack["bbox"], crack["area"]) == ([8, 4, 12, 6], 72)
    assert len(crack["segmentation"][0]) >= 6
    assert images[crack["image_id"]]["reviewed"]
    assert (tmp_path / "out" / images[crack["image_id"]]["file_name"]).exists()


@pytest.mark.parametrize(
    "sidecar",
    [
        "",
        "[]",
        "{}",
        '{"classes": "crack"}',
        '{"classes": [1, 2]}',
        '{"classes": ["a","b","c"]}',
        '{"classes": []}',
        "\xff",
    ],
)
def test_a_hostile_sidecar_costs_the_mask_not_the_export(state: Path, tmp_path: Path, sidecar: str) -> None:
    for file in state.rglob("*.json"):
        file.write_bytes(sidecar.encode("latin-1"))
    export(state, tmp_path / "out", "index")
    rows = table(tmp_path / "out" / "index.csv")
    assert [row["class"] for row in rows] == ["good"] * 3


@pytest.mark.parametrize("names", [("划痕", "凹坑"), ("dirt 1", "dirt_1")])
def test_every_class_keeps_its_own_mask_whatever_its_name(state: Path, tmp_path: Path, names: tuple[str, str]) -> None:
    story = Results(results_path(state)).part(2)
    picture = story.views[0].picture if story else None
    assert picture is not None
    assert picture.mask is not None
    assert picture.sidecar is not None
    facts = json.loads(picture.sidecar.read_text())
    picture.sidecar.write_text(json.dumps(facts | {"classes": names}))
    both = blob(slice(2, 5), slice(4, 10)) + blob(slice(12, 14), slice(4, 10), plane=1)
    cv2.imwrite(str(picture.mask), both.reshape(40, 30))
    export(state, tmp_path / "out", "index")
    rows = {row["class"]: row for row in table(tmp_path / "out" / "index.csv") if row["part_id"] == "2"}
    masks = [cv2.imread(str(tmp_path / "out" / rows[name]["mask"]), cv2.IMREAD_GRAYSCALE) for name in names]
    assert [np.count_nonzero(mask) for mask in masks] == [3 * 6 * 4, 2 * 6 * 4]


def test_a_picture_that_is_none_is_left_out(state: Path, tmp_path: Path) -> None:
    for file in state.rglob("*frame2.png"):
        file.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    export(state, tmp_path / "out", "index")
    assert [row["part_id"] for row in table(tmp_path / "out" / "index.csv")] == ["4", "3"]


def test_trace_tells_the_story_in_order(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", str(state), "2"]) == 0
    told = capsys.readouterr().out
    lines = [line.strip() for line in told.splitlines()]
    assert lines[0].startswith("part 2 (#2)   REJECT (defect)")
    assert "2026-11-21T14:00:00.000Z" in lines[0]
    times = [float(line.split(" ms")[0]) for line in lines if " ms  " in line]
    assert times == sorted(times)
    assert times[0] == 0.0
    assert "100.0 ms  cam1 exposed frame 2 for 0.2 ms, count 1234.5 +- 2.0" in lines
    assert "151.5 ms  plc had it, 448.5 ms before the gate" in lines
    assert "700.0 ms  broker had it, 100.0 ms AFTER the gate" in lines
    assert any(line.startswith("defect: cam1 crack 4.0 mm2") for line in lines)
    assert any(line.startswith("picture: ") and line.endswith("part2-frame2.png") for line in lines)


def test_trace_of_a_part_that_nobody_saw(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", str(state), "#5"]) == 0
    assert "decided: NOT_INSPECTED (late), without cam1" in capsys.readouterr().out


def test_trace_takes_the_newest_of_a_number_and_names_the_others(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = ResultsWriter(results_path(state))
    again = verdict(1, Decision.NOT_INSPECTED, boot_id=1, part_seq=2, reason=Reason.CAMERA_LOST, views=())
    writer.add([StoredVerdict(again, NOON + timedelta(days=1), "", {})], [])
    writer.close()
    assert main(["trace", str(state), "2"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("part 2 (#6)")
    assert "earlier parts with this number: #2 (2026-11-21T14:00:00Z, REJECT)" in told


@pytest.mark.parametrize("part", ["99", "#99", "abc", "-1", "#", "99999999999999999999", "9" * 5000, "²"])
def test_a_part_that_is_not_there_is_one_line_and_exit_code_1(
    state: Path, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["trace", "--", str(state), part]) == 1
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1


def test_the_state_is_found_through_the_station_file_too(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = Path(__file__).parents[2]
    text = (root / "deploy" / "station.toml").read_text()
    (state.parent / "station.toml").write_text(text.replace("/var/lib/edge-inspector", "state"))
    assert main(["trace", str(state.parent / "station.toml"), "2"]) == 0
    assert "part 2 (#2)" in capsys.readouterr().out
    assert main(["trace", str(state.parent / "none.toml"), "2"]) == 2
    (state.parent / "station.toml").write_text("[station]\nname = 1\n")
    assert main(["trace", str(state.parent / "station.toml"), "2"]) == 2


def test_an_export_that_cannot_be_written_is_one_line(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for form in ("csv", "parquet", "index", "coco"):
        assert main(["export", str(state), "--format", form, "--out", str(tmp_path / "file" / "x")]) == 1
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert main(["export", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "Has the station run" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["export", str(state), "--out", "x", "--from", "yesterday"])


def draw(state: Path, part: int, *, pixels: Any = None, utc: datetime = NOON + timedelta(days=1)) -> None:
    """What the page stores when anna has drawn a `split` into the picture of this part."""
    split = np.zeros((20, 30), np.uint8)
    split[11:14, 3:9] = 2
    stem = picture_stem(NOON + timedelta(hours=part), "cam1", part, part)
    on = DrawnOn(stem=stem, part_id=part, part_seq=part, camera="cam1", utc=NOON + timedelta(hours=part), decision="X")
    drawings = Drawings(state)
    drawings.hold(stem, cv2.imencode(".png", np.full((20, 30), 90, np.uint8))[1].tobytes())
    given = split if pixels is None else pixels
    stored = drawings.store(on, given, ["crack", "split"], by="anna", utc=utc, begun_from=0)
    assert stored is not None


def test_a_defect_that_the_model_missed_is_learnt_from_as_a_person_drew_it(state: Path, tmp_path: Path) -> None:
    draw(state, 3)  # the model saw nothing
    draw(state, 1)  # accepted, so the archive kept no picture
    draw(state, 2, pixels=np.zeros((20, 30), np.uint8))  # the model saw a crack, and there is none
    out = tmp_path / "out"
    export(state, out, "index")
    rows = {row["part_id"]: row for row in table(out / "index.csv")}
    assert [(rows[part]["class"], rows[part]["note"], rows[part]["by"]) for part in "1234"] == [
        ("split", "", "anna"), ("good", "", "anna"), ("split", "", "anna"), ("stain", "not reviewed", ""),
    ]  # fmt: skip
    mask = cv2.imread(str(out / rows["3"]["mask"]), cv2.IMREAD_UNCHANGED)
    assert mask is not None
    assert (np.argwhere(mask) == np.argwhere(np.pad(np.ones((3, 6)), ((11, 6), (3, 21))))).all()
    folder = Folder(out)
    assert {row["class"] for row in folder.rows("train")} >= {"split"}


def test_a_drawing_stays_when_results_and_archive_have_forgotten_its_part(state: Path, tmp_path: Path) -> None:
    draw(state, 3)
    for each in state.glob("images/*/*/*"):
        each.unlink()
    writer = ResultsWriter(results_path(state))
    writer.close()
    with sqlite3.connect(results_path(state)) as db:
        db.execute("DELETE FROM parts")
    db.close()
    export(state, tmp_path / "out", "coco")
    document = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert [each["bbox"] for each in document["annotations"]] == [[3, 11, 6, 3]]
    export(state, tmp_path / "none", "index", "--from", "2026-11-22")
    assert table(tmp_path / "none" / "index.csv") == []


def test_what_somebody_said_after_a_drawing_is_a_contradiction_that_people_must_settle(
    state: Path, tmp_path: Path
) -> None:
    draw(state, 3)
    results = Results(results_path(state))
    said = {"defect_class": "", "user": "ben", "utc": NOON + timedelta(days=2)}
    results.label(3, "", label="good", **said)  # type: ignore[arg-type]
    export(state, tmp_path / "out", "index")
    (row,) = (row for row in table(tmp_path / "out" / "index.csv") if row["part_id"] == "3")
    assert (row["class"], row["note"]) == ("split", "drawn by anna, and later called good by ben")
