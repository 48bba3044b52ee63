"""Pictures sent to the page: who may, what is refused, and that Teach and drawings find them."""

import errno
import http.client
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.page import Answer, Page, Visitor, plant_of, serving
from support.pictures import CMYK, bomb, encoded, turned

from edge_inspector.commands.export_dataset import export_dataset
from edge_inspector.errors import DeviceError
from edge_inspector.store import drawings, uploads
from edge_inspector.store.drawings import Drawings
from edge_inspector.store.uploads import Uploads
from edge_inspector.store.users import Role
from edge_inspector.training.data.folder import Folder
from edge_inspector.training.data.index_file import read_index
from edge_inspector.web import uploads as pages

WHEN = datetime(2026, 11, 21, 12, tzinfo=UTC)
DRAWN = {"version": 0, "width": 13, "height": 7, "classes": ["dent"], "runs": [0, 13, 1, 26, 0, 52]}


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    monkeypatch.setattr(pages, "busy", lambda _: "")
    with serving(plant_of(tmp_path)) as served:
        yield served


def send(visitor: Visitor, content: bytes, kind: str = "good") -> Answer:
    return visitor.ask("POST", f"/api/uploads?as={kind}", content)


def files(page: Page) -> list[str]:
    root = page.plant.station.state_dir / "labels"
    return sorted(path.name for path in root.rglob("*") if path.is_file()) if root.exists() else []


def test_good_pictures_and_drawn_ones_become_training_data(page: Page, tmp_path: Path) -> None:
    reviewer = page.visitor(Role.REVIEWER)
    good, bad = (send(reviewer, encoded(".png"), kind).json["number"] for kind in ("good", "draw"))
    told = reviewer.ask("GET", "/api/uploads").json
    assert told["pictures"] == [{"number": bad, "said": False}, {"number": good, "said": True}]
    assert (told["waiting"], told["said"]) == (1, 1)
    shown = reviewer.ask("GET", f"/api/uploads/{bad}/drawing").json
    assert (shown["width"], shown["height"], shown["from"], shown["version"]) == (13, 7, "nothing", 0)
    assert reviewer.ask("POST", f"/api/uploads/{bad}/drawing/begin", {}).json == {"others": []}
    assert reviewer.ask("POST", f"/api/uploads/{bad}/drawing", DRAWN).json == {"version": 1}
    assert reviewer.ask("GET", "/api/teach").json["uploads"] == 2
    picture = reviewer.ask("GET", f"/api/uploads/{bad}/drawing/picture").body
    assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).shape == (7, 13, 3)
    assert reviewer.ask("GET", f"/api/uploads/{bad}/small").body.startswith(b"\xff\xd8")

    export_dataset(page.plant.station.state_dir, tmp_path / "data", "index", since=None, until=None)
    rows = [row for row in read_index(tmp_path / "data") if row["camera"] == "_upload"]
    assert [(row["class"], row["label"], row["by"], row["note"]) for row in rows] == [
        ("good", "0", "reviewer", ""),
        ("dent", "1", "reviewer", ""),
    ]
    folder = Folder(tmp_path / "data")
    assert len({folder.group_of(row) for row in rows}) == 2, "each is a part of its own"
    changes = [(each.who, each.what, each.subject, each.after) for each in page.kept()]
    assert changes == [
        ("page:reviewer", "upload", f"picture {good}", "good"),
        ("page:reviewer", "upload", f"picture {bad}", "to be drawn on"),
        ("page:reviewer", "drawing", f"picture {bad}", "1: dent 26 px"),
    ]


def test_only_the_pixels_stay(page: Page) -> None:
    content = turned(encoded(".jpg"), 6)
    number = send(page.visitor(Role.REVIEWER), content + b"hidden").json["number"]
    stored = Uploads(page.plant.station.state_dir).picture(int(number)).read_bytes()
    assert stored.startswith(b"\x89PNG")
    assert b"Exif" not in stored
    assert b"hidden" not in stored
    assert cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_UNCHANGED).shape == (13, 7, 3)


def test_who_may_send_and_remove(page: Page) -> None:
    number = send(page.visitor(Role.REVIEWER), encoded(".png")).json["number"]
    for role in (None, Role.VIEWER):
        assert send(page.visitor(role), encoded(".png")).status in (401, 403)
    for role in (None, Role.VIEWER, Role.REVIEWER, Role.OPERATOR):
        assert page.visitor(role).ask("POST", "/api/uploads/discard", {"numbers": [number]}).status in (401, 403)
    admin = page.visitor(Role.ADMIN)
    admin.csrf = "other"
    assert send(admin, encoded(".png")).status == 403
    assert len(files(page)) == 4, "the picture, its small copy, and a drawing of nothing"


@pytest.mark.parametrize(
    ("content", "kind", "status", "words"),
    [
        (encoded(".png"), "bad", 400, "as: one of good, draw"),
        (b"", "good", 422, "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "good", 422, "not an image"),
        (bomb(".png"), "good", 422, "is larger than 33554432 pixels"),
        (bomb(".jpg"), "draw", 422, "is larger than 33554432 pixels"),
        (CMYK, "good", 422, "CMYK"),
        (cv2.imencode(".png", np.full((4, 4), 1023, np.uint16))[1].tobytes(), "draw", 422, "10 bits in 16"),
        (bytes(1 << 17), "good", 413, "at most 65536 bytes"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_is_kept(
    page: Page, monkeypatch: pytest.MonkeyPatch, content: bytes, kind: str, status: int, words: str
) -> None:
    monkeypatch.setattr(pages, "FILE_MOST", 1 << 16)
    answer = send(page.visitor(Role.REVIEWER), content, kind)
    assert answer.status == status
    assert words in answer.json["error"]
    assert files(page) == []
    assert page.kept() == []


def test_a_picture_that_grows_too_large_without_loss_is_refused(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "LARGEST_FILE", 10)
    answer = send(page.visitor(Role.REVIEWER), encoded(".jpg"))
    assert (answer.status, "without loss" in answer.json["error"]) == (422, True)


def test_a_full_disk_or_a_full_store_is_told_and_nothing_is_half_stored(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    reviewer = page.visitor(Role.REVIEWER)

    def full(*_args: object, **_more: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as failing:
        failing.setattr(drawings, "replace_file", full)  # the picture is written, and then the disk is full
        answer = send(reviewer, encoded(".png"))
        assert (answer.status, "No space left" in answer.json["error"]) == (503, True)
    assert files(page) == []
    with monkeypatch.context() as failing:
        failing.setattr(uploads, "PICTURES_MOST", 1)
        assert send(reviewer, encoded(".png")).status == 200
        answer = send(reviewer, encoded(".png"))
        assert (answer.status, "there are 1 uploaded pictures" in answer.json["error"]) == (503, True)
    with monkeypatch.context() as failing:
        failing.setattr(uploads, "BYTES_MOST", 100)
        assert send(reviewer, encoded(".png")).status == 503
    with pytest.raises(DeviceError, match="the disk is full"):
        Uploads(page.plant.station.state_dir, 1 << 60).add(pages._encoded(encoded(".png")), WHEN)


def test_while_the_line_needs_the_cores_no_picture_is_unfolded(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "busy", lambda _: "a part was late")
    answer = send(page.visitor(Role.REVIEWER), encoded(".png"))
    assert (answer.status, answer.json["error"]) == (409, "the line needs the cores now: a part was late")


def test_a_body_that_does_not_come_holds_up_nobody(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_BODY_S", 0.5)
    slow, quick = page.visitor(Role.REVIEWER), page.visitor(Role.REVIEWER)
    answers: list[int] = []
    headers = {"Cookie": slow.cookie, "X-CSRF-Token": slow.csrf, "Content-Length": "1000"}
    thread = threading.Thread(target=lambda: answers.append(_begun(slow, headers)))
    thread.start()
    assert send(quick, encoded(".png")).status == 200
    assert quick.ask("GET", "/api/uploads").json["said"] == 1
    thread.join(20)
    assert answers == [408]


def _begun(visitor: Visitor, headers: dict[str, str]) -> int:
    """Promise 1000 bytes, and send ten."""
    connection = http.client.HTTPConnection("127.0.0.1", visitor.port, timeout=20)
    connection.putrequest("POST", "/api/uploads?as=good")
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders(b"0123456789")
    status = connection.getresponse().status
    connection.close()
    return status


def test_so_many_at_once_wait(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_AT_ONCE", 0)
    answer = send(page.visitor(Role.REVIEWER), encoded(".png"))
    assert (answer.status, "try again" in answer.json["error"]) == (503, True)


@pytest.mark.parametrize("path", ["1", "0", "9" * 18, "0" * 18])
def test_a_number_that_is_none_leads_nowhere(page: Page, path: str) -> None:
    for what in ("small", "drawing", "drawing/picture"):
        assert page.visitor().ask("GET", f"/api/uploads/{path}/{what}").status == 404
    assert page.visitor(Role.REVIEWER).ask("POST", f"/api/uploads/{path}/drawing", DRAWN).status == 404


@pytest.mark.parametrize("numbers", [None, [], [1], ["x"], ["-1"], ["9" * 19], ["1"] * 201, "1"])
def test_an_order_to_remove_is_not_trusted(page: Page, numbers: Any) -> None:
    assert page.visitor(Role.ADMIN).ask("POST", "/api/uploads/discard", {"numbers": numbers}).status == 400


def test_an_admin_removes_a_picture_with_what_was_drawn_on_it(page: Page) -> None:
    admin = page.visitor(Role.ADMIN)
    good, bad = (send(admin, encoded(".png"), kind).json["number"] for kind in ("good", "draw"))
    assert admin.ask("POST", f"/api/uploads/{bad}/drawing", DRAWN).status == 200
    order = {"numbers": [bad, good, "1"]}
    assert admin.ask("POST", "/api/uploads/discard", order).json == {"discarded": 2}
    assert admin.ask("POST", "/api/uploads/discard", order).json == {"discarded": 0}
    assert files(page) == []
    assert list(Drawings(page.plant.station.state_dir).all()) == []
    assert page.kept()[-1].subject == f"pictures {bad}, {good}"


def test_of_two_people_who_draw_on_one_uploaded_picture_the_second_is_told(page: Page) -> None:
    anna, otto = page.visitor(Role.REVIEWER), page.visitor(Role.ADMIN)
    number = send(anna, encoded(".png"), "draw").json["number"]
    anna.ask("POST", f"/api/uploads/{number}/drawing/begin", {})
    assert otto.ask("POST", f"/api/uploads/{number}/drawing/begin", {}).json == {"others": ["reviewer"]}
    assert anna.ask("POST", f"/api/uploads/{number}/drawing", DRAWN).status == 200
    answer = otto.ask("POST", f"/api/uploads/{number}/drawing", DRAWN)
    assert (answer.status, "reviewer has stored" in answer.json["error"]) == (409, True)
    assert otto.ask("POST", f"/api/uploads/{number}/drawing", DRAWN | {"version": 1}).json == {"version": 2}


def test_two_pictures_of_one_instant_get_two_numbers(tmp_path: Path) -> None:
    store = Uploads(tmp_path)
    one, two = (store.add(pages._encoded(encoded(".png")), WHEN, good_by="anna") for _ in range(2))
    assert two == one + 1
    assert [each.number for each in store.all()] == [two, one]
    (store.picture(one).parent / "999999.000000Z.png").write_bytes(b"")
    assert [each.number for each in store.all()] == [two, one], "no time that a clock shows"
