"""What comes over the network to the page: who may send it, how much, and what the station says."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.page import Page, plant_of, serving
from support.rollout_stations import Works

from edge_inspector.records import Change
from edge_inspector.station.load import load_station
from edge_inspector.store.package import digest_of, pack
from edge_inspector.store.users import Role
from edge_inspector.watches.rollout_desk import RolloutDesk

pytest.importorskip("cryptography")
pytest.importorskip("onnxruntime", reason="the extra `cpu` is not installed")


@pytest.fixture
def works(tmp_path: Path) -> Works:
    (tmp_path / "works").mkdir()
    return Works(tmp_path / "works", broker=1883)


@pytest.fixture
def page(tmp_path: Path, works: Works) -> Iterator[Page]:
    station = load_station(works.station("line-1", works.model("1.0"), works.recipe(1)))
    plant = plant_of(tmp_path)
    small = station.file.rollout.model_copy(update={"package_mb": 1})
    accepts = plant.station.file.model_copy(update={"rollout": small})
    plant = replace(plant, station=replace(plant.station, file=accepts), rollout=RolloutDesk(station))
    with serving(plant) as served:
        yield served


def order(package: bytes, what: str = "shadow", **changes: Any) -> dict[str, Any]:
    return {
        "id": "r1",
        "order": what,
        "digest": digest_of(package),
        "bounds": {},
        "why": "better",
    } | changes


def test_an_admin_sends_and_orders_and_it_is_written_down(page: Page, works: Works) -> None:
    package, admin = pack(works.model("1.1")), page.visitor(Role.ADMIN)
    assert admin.ask("GET", "/api/rollout").json["most"] == 64 << 20
    assert admin.ask("POST", "/api/rollout/package", package).json == {"digest": digest_of(package), "name": "mean-1.1"}
    told = admin.ask("POST", "/api/rollout", order(package, why="better\nnet")).json
    assert (told["trial"]["wanted"], told["trial"]["by"], told["trial"]["why"]) == ("shadow", "admin", "better\\nnet")
    changes = [each for each in page.kept() if isinstance(each, Change)]
    assert [(each.who, each.what, each.before, each.after) for each in changes] == [
        ("page:admin", "rollout package", "", digest_of(package)),
        ("page:admin", "rollout order", "mean-1.0", "mean-1.1 (shadow)"),
    ]
    assert changes[1].why == "better\\nnet (roll-out r1)"


@pytest.mark.parametrize("role", [None, Role.VIEWER, Role.REVIEWER, Role.OPERATOR])
def test_nobody_else_may(page: Page, works: Works, role: Role | None) -> None:
    visitor = page.visitor(role)
    assert visitor.ask("POST", "/api/rollout/package", pack(works.model("1.1"))).status in {401, 403}
    assert visitor.ask("POST", "/api/rollout", order(b"")).status in {401, 403}
    assert visitor.ask("GET", "/api/rollout").status == 200


def test_an_admin_needs_the_token_of_the_session(page: Page) -> None:
    admin = page.visitor(Role.ADMIN)
    admin.csrf = "another"
    assert admin.ask("POST", "/api/rollout/package", b"x").status == 403


BAD: dict[str, tuple[Any, int, str]] = {
    "no order": ({}, 400, "id: Field required"),
    "an unknown order": (order(b"", "own"), 400, "order: "),
    "a strange number": (order(b"", id="../x"), 400, "id: "),
    "a digest that is none": (order(b"", digest="x"), 400, "digest: "),
    "bounds that are none": (order(b"", bounds={"parts": 0}), 400, "bounds.parts: "),
    "an unknown bound": (order(b"", bounds={"part": 1}), 400, "bounds.part: "),
    "a text for a number": (order(b"", bounds={"parts": "5"}), 400, "bounds.parts: "),
    "a long reason": (order(b"", why="x" * 301), 400, "why: "),
    "no package": (order(b""), 409, "has not arrived"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_order_is_refused(page: Page, what: str) -> None:
    body, status, why = BAD[what]
    answer = page.visitor(Role.ADMIN).ask("POST", "/api/rollout", body)
    assert answer.status == status
    assert why in answer.json["error"]


def test_a_bad_package_is_refused(page: Page, works: Works) -> None:
    admin = page.visitor(Role.ADMIN)
    answer = admin.ask("POST", "/api/rollout/package", b"x" * ((1 << 20) + 1))
    assert (answer.status, answer.json["error"]) == (413, "at most 1048576 bytes")
    answer = admin.ask("POST", "/api/rollout/package", pack(works.model("1.1"))[:-1])
    assert (answer.status, "not whole" in answer.json["error"]) == (409, True)


def test_a_station_that_accepts_nothing(tmp_path: Path) -> None:
    with serving(plant_of(tmp_path)) as page:
        admin = page.visitor(Role.ADMIN)
        answer = admin.ask("POST", "/api/rollout/package", json.dumps({}).encode())
        assert (answer.status, answer.json["error"]) == (409, "this station has no roll-outs")
        assert admin.ask("GET", "/api/rollout").status == 409
