"""The rolls on the disk: tables that grow, one row for each mark at the end, and the map."""

from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_inspector.errors import StateError
from edge_inspector.records import RollMark, Stretch
from edge_inspector.store.rolls import RollBook, marks_of, roll_map, rolls_dir, stems

UTC_NOW = datetime(2026, 11, 30, 8, 15, 0, tzinfo=UTC)
GOOD, BAD, BLIND = ("ACCEPT", "none"), ("REJECT", "defect"), ("NOT_INSPECTED", "late")


def mark(number: int, from_mm: float, to_mm: float, kind: str = "hole") -> RollMark:
    return RollMark(
        number=number,
        defect_class=kind,
        camera="top",
        from_mm=from_mm,
        to_mm=to_mm,
        left_mm=100.0,
        right_mm=120.0,
        area_mm2=7.5,
        confidence=0.9,
        error_mm=0.4,
    )


def piece(number: int, *marks: RollMark, roll: str = "A", roll_number: int = 1) -> Stretch:
    return Stretch(
        roll=roll, roll_number=roll_number, from_mm=number * 500.0, to_mm=number * 500.0 + 500.0, marks=marks
    )


@pytest.fixture
def book(tmp_path: Path) -> RollBook:
    return RollBook(tmp_path)


def lines(folder: Path, kind: str) -> list[str]:
    (stem,) = stems(rolls_dir(folder))
    return (rolls_dir(folder) / f"{stem}.{kind}.csv").read_text().splitlines()


def test_the_tables_grow_while_the_roll_runs(book: RollBook, tmp_path: Path) -> None:
    book.write()
    assert not rolls_dir(tmp_path).exists(), "a line with parts has no rolls"
    book.add(piece(0), GOOD, UTC_NOW)
    book.add(piece(1, mark(1, 600, 620)), BAD, UTC_NOW)
    assert len(book) == 2
    book.write()
    assert len(book) == 0
    assert stems(rolls_dir(tmp_path)) == ["20261130T081500-A"]
    assert lines(tmp_path, "pieces")[1:] == ["0.0,0.5,ACCEPT,none,0", "0.5,1.0,REJECT,defect,0"]
    assert lines(tmp_path, "marks")[1:] == ["1,hole,0.6,0.62,100.0,120.0,7.5,0.9,0.4,top"]


def test_a_mark_that_grew_has_one_row_at_the_end(book: RollBook, tmp_path: Path) -> None:
    book.add(piece(0, mark(1, 460, 500), mark(2, 10, 20)), BAD, UTC_NOW)
    book.add(piece(1, mark(1, 460, 700)), BAD, UTC_NOW)
    book.write()
    assert len(lines(tmp_path, "marks")) == 4
    book.end()
    assert [line.split(",")[0:4] for line in lines(tmp_path, "marks")[1:]] == [
        ["2", "hole", "0.01", "0.02"],
        ["1", "hole", "0.46", "0.7"],
    ]
    book.end()


def test_a_piece_of_the_next_roll_ends_the_one_before(book: RollBook, tmp_path: Path) -> None:
    book.add(piece(0), GOOD, UTC_NOW)
    book.add(piece(0, roll="B", roll_number=2), GOOD, UTC_NOW)
    book.write()
    folder = rolls_dir(tmp_path)
    assert (folder / "20261130T081500-A.png").exists()
    assert not (folder / "20261130T081500-B.png").exists()
    assert stems(folder) == ["20261130T081500-B", "20261130T081500-A"]


def test_the_map_shows_what_was_inspected_and_where_the_marks_are(book: RollBook, tmp_path: Path) -> None:
    for number in range(40):
        told = BLIND if number == 10 else BAD if number == 3 else GOOD
        book.add(piece(number, *([mark(1, 1600, 1640)] if number == 3 else [])), told, UTC_NOW)
    book.write()
    packed = roll_map(rolls_dir(tmp_path), "20261130T081500-A")
    image = cv2.imdecode(np.frombuffer(packed, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    colours = {tuple(int(part) for part in colour) for colour in image.reshape(-1, 3)[::7]}
    assert {(214, 235, 214), (190, 190, 255), (150, 150, 150), (0, 0, 160)} <= colours


@pytest.mark.parametrize("cell", ["nan", "inf", "-1e300", "x", "", "1e9"])
def test_a_row_that_somebody_spoiled_is_left_out(book: RollBook, tmp_path: Path, cell: str) -> None:
    book.add(piece(0, mark(1, 10, 20)), BAD, UTC_NOW)
    book.write()
    folder, stem = rolls_dir(tmp_path), "20261130T081500-A"
    with (folder / f"{stem}.marks.csv").open("a") as file:
        file.write(f"2,hole,{cell},1,1,1,1,1,1,top\n3,hole,1\n\x00\n")
    with (folder / f"{stem}.pieces.csv").open("a") as file:
        file.write(f"{cell},1,ACCEPT,none,0\n-5,1,ODD,none,0\n")
    assert [each.number for each in marks_of(folder, stem)] == [1]
    assert roll_map(folder, stem).startswith(b"\x89PNG")


def test_a_map_of_nothing_is_a_picture_too(tmp_path: Path) -> None:
    assert roll_map(tmp_path, "none").startswith(b"\x89PNG")


def test_a_class_that_looks_like_a_formula_is_text(book: RollBook, tmp_path: Path) -> None:
    book.add(piece(0, mark(1, 10, 20, kind="=cmd()")), BAD, UTC_NOW)
    book.write()
    assert "'=cmd()" in lines(tmp_path, "marks")[1]


def test_without_a_disk_the_pieces_wait_and_are_counted(tmp_path: Path) -> None:
    (tmp_path / "rolls").write_text("not a folder")
    book = RollBook(tmp_path)
    book.add(piece(0), GOOD, UTC_NOW)
    with pytest.raises(StateError, match="rolls"):
        book.write()
    assert len(book) == 1
    (tmp_path / "rolls").unlink()
    book.write()
    assert len(book) == 0
    assert all(book.add(piece(number), GOOD, UTC_NOW) for number in range(4096))
    assert not book.add(piece(0), GOOD, UTC_NOW)


def test_the_oldest_rolls_go(book: RollBook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_inspector.store.rolls._KEPT", 2)
    for number in range(4):
        book.add(piece(0, roll=f"R{number}", roll_number=number + 1), GOOD, UTC_NOW)
    book.write()
    book.end()
    assert [stem.partition("-")[2] for stem in stems(rolls_dir(tmp_path))] == ["R3", "R2"]
