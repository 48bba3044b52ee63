"""Drawing on a part's picture: what the model saw comes first, two people, hostile drawings, a full disk."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.page import Page, Visitor, plant_of, serving

from edge_inspector.store import drawings
from edge_inspector.store.drawings import Drawings, drawn_from, runs_of
from edge_inspector.store.users import Role, new_user, read_users, write_users

URL = "/api/parts/2/cam1/drawing"
SIZE = (40, 60)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with serving(plant_of(tmp_path)) as served:
        yield served


def a_drawing(version: int = 0, **other: Any) -> dict[str, Any]:
    pixels = np.zeros(SIZE, np.uint8)
    pixels[30:34, 40:50] = 2
    told = {"version": version, "width": 60, "height": 40, "classes": ["defect", "split"], "runs": runs_of(pixels)}
    return told | other


def second(page: Page, tmp_path: Path) -> Visitor:
    users = read_users(tmp_path / "users")
    write_users(tmp_path / "users", {**users, "ben": new_user("ben", Role.REVIEWER, "correct horse")})
    visitor = Visitor(page.port)
    page.visitors.append(visitor)
    assert visitor.log_in("ben").status == 200
    return visitor


def test_what_the_model_saw_is_drawn_first(page: Page) -> None:
    told = page.visitor().ask("GET", URL).json
    assert (told["width"], told["height"], told["from"], told["version"]) == (60, 40, "model", 0)
    assert told["classes"] == ["defect"]
    pixels = drawn_from(told["runs"], SIZE, 1)
    assert (pixels[10:20, 10:30] == 1).all()
    assert int(pixels.sum()) == 200
    assert page.visitor().ask("GET", "/api/parts/1/cam1/drawing").json["from"] == "nothing"


def test_a_drawing_with_a_class_that_the_model_does_not_know_is_stored(page: Page, tmp_path: Path) -> None:
    reviewer = page.visitor(Role.REVIEWER)
    assert reviewer.ask("POST", f"{URL}/begin", {}).json == {"others": []}
    answer = reviewer.ask("POST", URL, a_drawing())
    assert (answer.status, answer.json) == (200, {"version": 1})
    told = page.visitor().ask("GET", URL).json
    assert (told["from"], told["by"], told["version"]) == ("drawing", "reviewer", 1)
    assert told["classes"] == ["defect", "split"]
    assert told["runs"] == a_drawing()["runs"]
    (drawn,) = Drawings(tmp_path / "state").all()
    assert (drawn.on.part_id, drawn.on.camera, drawn.width, drawn.height) == (2, "cam1", 60, 40)
    labels = page.visitor().ask("GET", "/api/parts/2").json["labels"]
    assert {(each["view"], each["label"], each["class"]) for each in labels} == {
        ("", "defect", "split"),
        ("cam1", "defect", "split"),
    }
    changes = [(each.who, each.what, each.subject, each.after) for each in page.kept()]
    assert changes == [("page:reviewer", "drawing", "part 2 cam1", "1: split 40 px")]


def test_an_empty_drawing_says_that_the_model_was_wrong(page: Page) -> None:
    reviewer = page.visitor(Role.REVIEWER)
    assert reviewer.ask("POST", URL, a_drawing(runs=[0, 2400])).status == 200
    told = page.visitor().ask("GET", URL).json
    assert (told["from"], told["runs"]) == ("drawing", [0, 2400])
    assert {each["label"] for each in page.visitor().ask("GET", "/api/parts/2").json["labels"]} == {"good"}


def test_of_two_people_the_second_is_told_and_may_then_store(page: Page, tmp_path: Path) -> None:
    anna, ben = page.visitor(Role.REVIEWER), second(page, tmp_path)
    anna.ask("POST", f"{URL}/begin", {})
    assert ben.ask("POST", f"{URL}/begin", {}).json == {"others": ["reviewer"]}
    assert anna.ask("POST", URL, a_drawing()).status == 200
    refused = ben.ask("POST", URL, a_drawing(runs=[0, 2400]))
    assert refused.status == 409
    assert "reviewer has stored a drawing of this view meanwhile" in refused.json["error"]
    assert page.visitor().ask("GET", URL).json["runs"] == a_drawing()["runs"]
    assert ben.ask("POST", URL, a_drawing(version=1, runs=[0, 2400])).json == {"version": 2}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"version": -1}, 400), ({"version": "0"}, 400), ({"version": None}, 400), ({"width": 61}, 400),
        ({"height": 1 << 40}, 400), ({"runs": [0, 2399]}, 400), ({"runs": [3, 2400]}, 400), ({"runs": "x"}, 400),
        ({"runs": [0, 1] * 200_000}, 413), ({"classes": []}, 400), ({"classes": ["good", "x"]}, 400),
        ({"classes": ["a", "A "]}, 400), ({"classes": ["x" * 65, "y"]}, 400), ({"classes": ["a\n", "b\x00"]}, 400),
        ({"classes": [1, 2]}, 400), ({"classes": "ab"}, 400), ({"classes": ["a"] * 33}, 400),
    ],
)  # fmt: skip
def test_a_drawing_that_makes_no_sense_is_refused(page: Page, changes: dict[str, Any], status: int) -> None:
    assert page.visitor(Role.REVIEWER).ask("POST", URL, a_drawing(**changes)).status == status
    assert page.visitor().ask("GET", URL).json["version"] == 0


def test_what_is_not_there_cannot_be_drawn_on(page: Page) -> None:
    reviewer = page.visitor(Role.REVIEWER)
    for path in ("/api/parts/99/cam1/drawing", "/api/parts/2/cam9/drawing", "/api/parts/2/..%2f..%2fx/drawing"):
        assert reviewer.ask("POST", path, a_drawing()).status == 404
        assert reviewer.ask("GET", path).status == 404


def test_only_a_reviewer_draws(page: Page) -> None:
    for role in (None, Role.VIEWER):
        assert page.visitor(role).ask("POST", URL, a_drawing()).status in (401, 403)
        assert page.visitor(role).ask("POST", f"{URL}/begin", {}).status in (401, 403)


def test_a_picture_that_is_forgotten_meanwhile_is_held(page: Page) -> None:
    reviewer = page.visitor(Role.REVIEWER)
    assert reviewer.ask("POST", f"{URL}/begin", {}).status == 200
    page.plant.album._pictures.clear()  # the memory, which held the only copy
    assert reviewer.ask("GET", f"{URL}/picture").status == 200
    assert reviewer.ask("POST", URL, a_drawing()).status == 200
    assert reviewer.ask("GET", "/api/parts/1/cam1/drawing").status == 404


def test_a_full_disk_is_said_and_the_drawing_can_be_stored_later(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path, _content: Any) -> None:
        raise OSError(28, os.strerror(28))

    reviewer = page.visitor(Role.REVIEWER)
    with monkeypatch.context() as broken:
        broken.setattr(drawings, "replace_file", full)
        answer = reviewer.ask("POST", URL, a_drawing())
        assert (answer.status, "No space left" in answer.json["error"]) == (503, True)
    assert reviewer.ask("POST", URL, a_drawing()).json == {"version": 1}


def test_on_a_very_large_picture_the_drawing_is_coarser_and_stored_at_its_size(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_inspector.web.labels._GRID_PX", 300)
    told = page.visitor().ask("GET", URL).json
    assert (told["width"], told["height"]) == (20, 14)
    runs = runs_of(np.full((14, 20), 1, np.uint8))
    answer = page.visitor(Role.REVIEWER).ask("POST", URL, a_drawing(width=20, height=14, runs=runs))
    assert answer.status == 200
    (drawn,) = Drawings(tmp_path / "state").all()
    assert drawn.pixels().shape == (40, 60)
    assert (drawn.pixels() == 1).all()


def test_marks_on_passing_parts_are_stored_by_their_number_in_this_run(tmp_path: Path) -> None:
    plant = plant_of(tmp_path)
    run = plant.results.part(2).row  # type: ignore[union-attr]
    with serving(replace(plant, boot_id=run.boot_id)) as page:
        reviewer = page.visitor(Role.REVIEWER)
        body = {"boot": f"{run.boot_id:08x}", "label": "defect", "seqs": [run.seq, 99]}
        assert reviewer.ask("POST", "/api/passing", body).json == {"stored": [run.seq], "waiting": [99]}
        (label,) = reviewer.ask("GET", "/api/parts/2").json["labels"]
        assert (label["label"], label["view"], label["user"]) == ("defect", "", "reviewer")
        assert reviewer.ask("POST", "/api/passing", body | {"boot": "00000001"}).status == 409
        for wrong in ({"seqs": []}, {"seqs": [0]}, {"seqs": ["1"]}, {"seqs": [1] * 33}, {"seqs": 1}, {"label": "x"}):
            assert reviewer.ask("POST", "/api/passing", body | wrong).status == 400
        assert page.visitor(Role.VIEWER).ask("POST", "/api/passing", body).status == 403
