"""The audit trail says of every change who made it, from what to what, and why if the person was asked."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.page import SILENT_PLC, Page, plant_of, serving

from edge_inspector.codes import ErrorCode
from edge_inspector.commands.changes import write_down
from edge_inspector.inspection.control import Control
from edge_inspector.mqtt.commands import CommandInbox, Request
from edge_inspector.records import Change, Command
from edge_inspector.store.audit import read
from edge_inspector.store.users import Role


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    plant = plant_of(tmp_path)
    control = Control(plant.station.recipes, 1, plant.conditions.reset, changed=plant.keep)

    def submit(command: Command) -> None:
        control.take(command, time.monotonic_ns())
        control.hear(SILENT_PLC)

    with serving(replace(plant, submit=submit)) as served:
        yield served


def made(page: Page, role: Role, *requests: tuple[str, Any]) -> list[Change]:
    visitor = page.visitor(role)
    assert [visitor.ask("POST", path, body).status for path, body in requests] == [200] * len(requests)
    return [each for each in page.kept() if isinstance(each, Change)]


def test_a_second_label_says_what_the_first_one_was(page: Page) -> None:
    good, defect = ({"view": "", "label": label, "class": ""} for label in ("good", "defect"))
    crack = {"view": "", "label": "defect", "class": "defect"}
    path = "/api/parts/2/label"
    assert made(page, Role.REVIEWER, (path, good), (path, defect), (path, crack)) == [
        Change("page:reviewer", "label", "part 2", after="good"),
        Change("page:reviewer", "label", "part 2", before="good", after="defect"),
        Change("page:reviewer", "label", "part 2", before="defect", after="defect"),
    ]


def test_who_switches_inspection_off_says_why(page: Page) -> None:
    off, on = {"name": "disable", "why": "the lamp is changed "}, {"name": "enable"}
    assert made(page, Role.ADMIN, ("/api/command", off), ("/api/command", on)) == [
        Change("page:admin", "inspection", before="on", after="off", why="the lamp is changed"),
        Change("page:admin", "inspection", before="off", after="on"),
    ]


@pytest.mark.parametrize("why", [5, None, "x" * 301, ["x"]])
def test_a_reason_that_is_no_short_text_is_refused(page: Page, why: Any) -> None:
    assert page.visitor(Role.ADMIN).ask("POST", "/api/command", {"name": "disable", "why": why}).status == 400
    assert page.kept() == []


def test_an_acknowledgement_says_of_what(page: Page) -> None:
    page.conditions.set(ErrorCode.VERDICT_LATE, "plc", "part 7 came too late")
    assert made(page, Role.OPERATOR, ("/api/events/acknowledge", {"event": 0})) == [
        Change("page:operator", "acknowledge", "all events", before="waiting", after="acknowledged")
    ]


def test_a_version_of_a_recipe_says_which_one_was_before_it_and_what_it_is(page: Page) -> None:
    limits = page.plant.station.recipes[1].limits
    changes = {"classes": {name: limit.model_dump() for name, limit in limits.items()}, "regions": {}}
    changes["classes"]["defect"]["max_count"] = 3
    save = {"version": 0, "comment": "too many rejects", "changes": changes}
    found = made(
        page,
        Role.ADMIN,
        ("/api/recipes/1/versions", save),
        ("/api/recipes/1/force", {"version": 1}),
        ("/api/recipes/1/force", {"version": 0}),
    )
    (kept,) = page.visitor().ask("GET", "/api/recipes/1/versions").json["versions"]
    why, made_of = "too many rejects", f"1 ({kept['hash']})"
    assert found == [
        Change("page:admin", "recipe version", "recipe 1", before="0", after=made_of, why=why),
        Change("page:admin", "recipe in force", "recipe 1", before="0", after="1", why=why),
        Change("page:admin", "recipe in force", "recipe 1", before="1", after="0"),
    ]


def test_who_lets_the_picture_guard_learn_is_written_down(page: Page) -> None:
    assert made(page, Role.ADMIN, ("/api/guard", {})) == [
        Change("page:admin", "picture guard", "recipe 1", after="learns from passing parts")
    ]


def test_a_command_over_mqtt_may_say_why() -> None:
    asked = {"id": "a", "command": "disable", "why": "shift \x1b[2Jends"}
    (command,) = CommandInbox("edge/x/command/result").check([Request(json.dumps(asked).encode())], 1)
    assert "shift" in command.why
    assert "\x1b" not in command.why
    assert CommandInbox("r").check([Request(json.dumps(asked | {"why": "x" * 301}).encode())], 1) == []


def test_a_command_line_may_say_why(tmp_path: Path) -> None:
    write_down(tmp_path, "model", "recipes", before="tile-1.1", after="tile-1.2", why="fewer escapes")
    (entry,) = read(tmp_path)
    change = entry.change
    assert (change.before, change.after, change.why) == ("tile-1.1", "tile-1.2", "fewer escapes")
