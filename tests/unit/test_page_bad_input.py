"""Slow links, things done twice, two people at once, and names that nobody expected: nothing is lost or torn."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.page import Page, camera_threads, plant_of, serving, with_names

from edge_inspector.codes import ErrorCode
from edge_inspector.store.users import Role

LONG = ("Oberflächenbeschädigung" * 14)[:300]
FOREIGN = "表面缺陷" * 75
NAMES = [LONG, FOREIGN, "عيب " * 75, "<img src=x onerror=alert(1)>" * 10, "\u202eback" * 60]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with serving(plant_of(tmp_path)) as served:
        yield served


@contextmanager
def slow_screen(port: int) -> Iterator[socket.socket]:
    """A screen behind a link that takes little at a time."""
    with socket.socket() as screen:
        screen.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        screen.settimeout(20)
        screen.connect(("127.0.0.1", port))
        screen.sendall(b"GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield screen


def test_ten_screens_on_slow_links_hold_up_nobody_and_each_gets_whole_messages(page: Page) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(slow_screen(page.port)) for _ in range(10)]
        quick = page.visitor().start("GET", "/api/live")
        began, told = time.monotonic(), []
        while len(told) < 4:
            line = quick.readline()
            if line.startswith(b"data: "):
                told.append(json.loads(line[6:])["utc"])
        assert len(set(told)) == 4
        assert time.monotonic() - began < 15
        assert page.visitor().ask("GET", "/api/parts").status == 200
        received = b""
        while received.count(b"\n\n") < 2:
            received += slow[0].recv(1024)
        message = received.split(b"data: ", 1)[1].split(b"\n\n", 1)[0]
        # Each is one HTTP chunk: what stands between the braces is one whole JSON text.
        assert json.loads(message)["whole"] is True


def test_a_label_that_is_sent_twice_is_one_opinion(page: Page) -> None:
    reviewer = page.visitor(Role.REVIEWER)
    body = {"view": "", "label": "good", "class": ""}
    assert [reviewer.ask("POST", "/api/parts/2/label", body).status for _ in range(2)] == [200, 200]
    (found,) = page.visitor().ask("GET", "/api/quality").json["quality"]
    assert (found["judged"], found["false_rejects"]) == (1, 1)


def test_of_two_who_change_one_camera_at_once_one_is_told_so(page: Page) -> None:
    answers: list[int] = []

    def adjust(gain: float) -> None:
        body = {"values": {"gain": gain}, "why": "x"}
        answers.append(page.visitor(Role.ADMIN).ask("POST", "/api/cameras/cam1/adjust", body).status)

    first, second = (threading.Thread(target=adjust, args=(gain,)) for gain in (2, 3))
    first.start()
    second.start()
    end = time.monotonic() + 20
    while not answers:  # no camera obeys yet: the second order finds the first
        assert time.monotonic() < end
        time.sleep(0.01)
    assert answers == [409]
    with camera_threads(page):
        first.join()
        second.join()
    assert sorted(answers) == [200, 409]


def test_names_of_any_length_and_script_are_told_as_they_are(tmp_path: Path) -> None:
    with serving(with_names(plant_of(tmp_path), NAMES)) as page:
        page.conditions.set(ErrorCode.CAMERA_LOST, LONG, FOREIGN)
        anybody = page.visitor()
        row: Any = anybody.ask("GET", "/api/parts").json["parts"][0]
        part = anybody.ask("GET", f"/api/parts/{row['id']}").json
        assert {each["class"] for each in part["defects"]} == set(NAMES)
        assert {each["name"] for each in anybody.ask("GET", "/api/trends").json["classes"]} >= set(NAMES)
        assert set(NAMES) <= {each["name"] for each in anybody.ask("GET", "/api/station").json["classes"]}
        assert page.visitor().first_news()["reject"]["classes"] == sorted(NAMES)
        reviewer = page.visitor(Role.REVIEWER)
        for name in NAMES:
            body = {"view": "", "label": "defect", "class": name}
            assert reviewer.ask("POST", f"/api/parts/{row['id']}/label", body).status == 200, name


def test_a_mask_of_a_model_with_fewer_classes_is_shown_all_the_same(tmp_path: Path) -> None:
    with serving(with_names(plant_of(tmp_path), NAMES)) as page:
        assert page.visitor().ask("GET", "/api/parts/2/cam1/mask").status == 200
