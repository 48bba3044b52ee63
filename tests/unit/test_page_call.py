"""A person calls for one part on the page of a bench, and the answer is its verdict."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.page import Plant, plant_of, serving
from support.verdicts import verdict

from edge_inspector.codes import CommandName
from edge_inspector.records import Command, CommandResult, Scene, Verdict
from edge_inspector.store.users import Role


def bench(folder: Path, told: list[Verdict]) -> Plant:
    """A station that answers each call at once."""

    def submit(command: Command) -> None:
        assert command.name is CommandName.INSPECT
        plain = verdict(7)
        told.append(replace(plain, part=replace(plain.part, part_id=command.id)))
        command.reply(CommandResult("", 1))

    return replace(plant_of(folder), submit=submit, scene=lambda: Scene((), tuple(told)))


def test_the_answer_to_a_call_is_the_verdict_on_its_part(tmp_path: Path) -> None:
    told: list[Verdict] = []
    with serving(bench(tmp_path, told)) as page:
        answer = page.visitor(Role.REVIEWER).ask("POST", "/api/inspect", {"part_id": "A-4711"})
        assert answer.status == 200
        assert (answer.json["part_id"], answer.json["decision"], answer.json["part_seq"]) == ("A-4711", "ACCEPT", 7)
        unnamed = page.visitor(Role.REVIEWER).ask("POST", "/api/inspect", {}).json
        assert len(unnamed["part_id"]) == 16


@pytest.mark.parametrize(("body", "status"), [({"part_id": 5}, 400), ({"part_id": "x" * 65}, 400)])
def test_a_name_that_is_none_is_refused(tmp_path: Path, body: dict[str, Any], status: int) -> None:
    with serving(bench(tmp_path, [])) as page:
        assert page.visitor(Role.REVIEWER).ask("POST", "/api/inspect", body).status == status


@pytest.mark.parametrize("role", [None, Role.VIEWER])
def test_nobody_else_may_call(tmp_path: Path, role: Role | None) -> None:
    with serving(bench(tmp_path, [])) as page:
        assert page.visitor(role).ask("POST", "/api/inspect", {}).status in (401, 403)


def test_a_station_whose_parts_are_not_called_says_so(tmp_path: Path) -> None:
    with serving(plant_of(tmp_path)) as page:
        visitor = page.visitor(Role.REVIEWER)
        answer = visitor.ask("POST", "/api/inspect", {})
        assert (answer.status, answer.json["error"]) == (409, "the parts of this station are not called")
        told = visitor.ask("GET", "/api/station").json
        assert (told["on_call"], told["promise"]) == (False, "acknowledged")


def test_a_verdict_that_never_comes_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_inspector.web.commands._ANSWER_S", 0.1)
    silent: Callable[[Command], None] = lambda command: command.reply(CommandResult("", 1))  # noqa: E731
    with serving(replace(plant_of(tmp_path), submit=silent)) as page:
        assert page.visitor(Role.REVIEWER).ask("POST", "/api/inspect", {}).status == 504
