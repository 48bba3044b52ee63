"""The rolls of a web on the page: their tables, their maps, and the command for the next one."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.page import plant_of, serving

from edge_inspector.codes import CommandName
from edge_inspector.records import Command, CommandResult, Stretch
from edge_inspector.store.rolls import RollBook, rolls_dir
from edge_inspector.store.users import Role


def with_a_roll(folder: Path) -> str:
    book = RollBook(folder)
    book.add(
        Stretch(roll="A", roll_number=1, from_mm=0, to_mm=500), ("ACCEPT", "none"), datetime(2026, 1, 2, tzinfo=UTC)
    )
    book.write()
    return "20260102T000000-A"


def test_the_map_and_the_tables_of_a_roll(tmp_path: Path) -> None:
    plant = plant_of(tmp_path)
    stem = with_a_roll(plant.station.state_dir)
    with serving(plant) as page:
        visitor = page.visitor(Role.VIEWER)
        assert visitor.ask("GET", "/api/rolls").json == {"rolls": [stem]}
        for name in (stem, "now"):
            drawn = visitor.ask("GET", f"/api/rolls/{name}/map")
            assert drawn.body.startswith(b"\x89PNG")
            assert drawn.headers["content-type"] == "image/png"
            assert b"0.0,0.5,ACCEPT" in visitor.ask("GET", f"/api/rolls/{name}/pieces").body
        assert visitor.ask("GET", f"/api/rolls/{stem}/marks").body.startswith(b"number,class")


@pytest.mark.parametrize("name", ["now", "x", "..", "%2e%2e%2fusers"])
def test_there_is_nothing_else_below_it(tmp_path: Path, name: str) -> None:
    with serving(plant_of(tmp_path)) as page:
        assert page.visitor(Role.VIEWER).ask("GET", f"/api/rolls/{name}/map").status == 404


def test_a_table_that_went_away_is_told(tmp_path: Path) -> None:
    plant = plant_of(tmp_path)
    stem = with_a_roll(plant.station.state_dir)
    (rolls_dir(plant.station.state_dir) / f"{stem}.marks.csv").unlink()
    with serving(plant) as page:
        assert page.visitor(Role.VIEWER).ask("GET", f"/api/rolls/{stem}/marks").status == 404


def test_an_operator_begins_the_next_roll_by_its_name(tmp_path: Path) -> None:
    given: list[Command] = []

    def submit(command: Command) -> None:
        given.append(command)
        command.reply(CommandResult("", 1))

    with serving(replace(plant_of(tmp_path), submit=submit)) as page:
        operator = page.visitor(Role.OPERATOR)
        assert operator.ask("POST", "/api/command", {"name": "new_roll", "roll": "B-7"}).status == 200
        assert (given[0].name, given[0].id) == (CommandName.NEW_ROLL, "B-7")
        assert operator.ask("POST", "/api/command", {"name": "new_roll"}).status == 400
        assert page.visitor(Role.VIEWER).ask("POST", "/api/command", {"name": "new_roll", "roll": "C"}).status == 403
