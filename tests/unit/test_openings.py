"""A camera that ends the daemon again and again is left out; nothing else makes one be left out."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_inspector.stages.notes import Notes
from edge_inspector.store import openings as module
from edge_inspector.store.openings import Openings

S = 1_000_000_000


class Clock:
    now_ns = 1_000 * S

    def monotonic_ns(self) -> int:
        return self.now_ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module.time, "monotonic_ns", clock.monotonic_ns)
    return clock


@contextmanager
def daemon(folder: Path, *cameras: str) -> Iterator[Openings]:
    """One life of it. What is not written at its end is lost with it."""
    openings = Openings(folder, cameras or ("top",))
    ends = threading.Event()

    def write() -> None:
        while not ends.is_set():
            openings.write(0.01)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield openings
    finally:
        ends.set()
        writer.join()


def settle(openings: Openings) -> None:
    deadline = time.perf_counter() + 5
    while openings.waiting and time.perf_counter() < deadline:
        time.sleep(0.002)


def die(folder: Path, clock: Clock, *cameras: str, after_s: int = 3) -> None:
    """A life that ends while the last of these cameras is being opened, and the ones before are too."""
    with daemon(folder, *cameras) as openings:
        for camera in cameras or ("top",):
            openings.begin(camera)
    clock.now_ns += after_s * S


def test_a_camera_is_left_out_after_three_deaths_while_it_was_opened(tmp_path: Path, clock: Clock) -> None:
    for died in range(3):
        with daemon(tmp_path) as openings:
            assert openings.left_out("top") == "", died
        die(tmp_path, clock)
    with daemon(tmp_path) as openings:
        assert "died 3 times within 10 minutes" in openings.left_out("top")
        assert "RESET" in openings.left_out("top")
    with daemon(tmp_path) as openings:
        assert openings.left_out("top"), "until somebody has seen to it"


def test_after_a_reset_it_is_opened_again_and_one_more_death_is_enough(tmp_path: Path, clock: Clock) -> None:
    for _ in range(3):
        die(tmp_path, clock)
    with daemon(tmp_path) as openings:
        openings.forgive("top")
        assert openings.left_out("top") == ""
        assert openings.begin("top")
    with daemon(tmp_path) as openings:
        assert openings.left_out("top")
        openings.forgive("top")
        openings.begin("top")
        openings.end("top", worked=True)
        settle(openings)
    with daemon(tmp_path) as openings:
        assert openings.left_out("top") == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("worked", [True, False])
def test_an_opening_that_ended_is_no_death(tmp_path: Path, clock: Clock, worked: bool) -> None:  # noqa: FBT001
    for _ in range(5):
        with daemon(tmp_path) as openings:
            openings.begin("top")
            openings.end("top", worked=worked)
            openings.end("top", worked=worked)
            settle(openings)
        clock.now_ns += S
    with daemon(tmp_path) as openings:
        assert openings.left_out("top") == ""
    assert list(tmp_path.iterdir()) == []


def test_deaths_long_ago_and_those_of_a_machine_that_was_switched_off_do_not_count(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        die(tmp_path, clock, after_s=301)
    with daemon(tmp_path) as openings:
        assert openings.left_out("top") == ""
    for _ in range(2):
        die(tmp_path, clock)
    monkeypatch.setattr(module, "_KERNEL", tmp_path / "boot")
    (tmp_path / "boot").write_text("another")
    die(tmp_path, clock)
    with daemon(tmp_path) as openings:
        assert openings.left_out("top") == ""


def test_a_camera_that_failed_between_two_deaths_keeps_the_first(tmp_path: Path, clock: Clock) -> None:
    """As one does that is still held by the process that died."""
    for _ in range(3):
        with daemon(tmp_path) as openings:
            for _ in range(4):
                openings.begin("top")
                openings.end("top", worked=False)
            openings.begin("top")
        clock.now_ns += S
    with daemon(tmp_path) as openings:
        assert openings.left_out("top")


def test_of_two_cameras_the_one_that_does_it_is_found(tmp_path: Path, clock: Clock) -> None:
    die(tmp_path, clock, "good", "bad")
    with daemon(tmp_path, "good", "bad") as openings:
        assert openings.begin("good")
        assert not openings.begin("bad"), "both were being opened: now one after the other"
        openings.end("good", worked=True)
        assert openings.begin("bad")
    die(tmp_path, clock, "bad")
    with daemon(tmp_path, "good", "bad") as openings:
        assert openings.left_out("bad")
        assert openings.left_out("good") == ""
        assert openings.begin("good")


def test_only_a_young_daemon_writes(tmp_path: Path, clock: Clock) -> None:
    with daemon(tmp_path) as openings:
        clock.now_ns += 121 * S
        for _ in range(3):
            assert openings.begin("top")
            assert not openings.waiting
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_hangs_or_cannot_be_written_keeps_no_camera_from_being_opened(tmp_path: Path) -> None:
    hanging = Openings(tmp_path, ["top"])
    began = time.perf_counter()
    for _ in range(50):
        assert hanging.begin("top")
        hanging.end("top", worked=False)
    assert time.perf_counter() - began < 5, "it is waited for once"
    with daemon(tmp_path / "missing") as openings:
        assert openings.begin("top")
        openings.end("top", worked=True)
        settle(openings)


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b"[" * 9_000,
        json.dumps({"run": "RUN"}).encode(),
        json.dumps({"run": "RUN", "deaths": 3, "opening_ns": 0}).encode(),
        json.dumps({"run": "RUN", "deaths": ["a", None, 1.5, True, -1, 10**30], "opening_ns": "x"}).encode(),
        json.dumps({"run": "another", "deaths": [999 * S] * 3, "opening_ns": 0}).encode(),
    ],
)
def test_a_note_that_nobody_can_read_says_nothing(tmp_path: Path, clock: Clock, note: bytes) -> None:
    run = module._KERNEL.read_text().strip().encode()
    (tmp_path / "opening-top.json").write_bytes(note.replace(b"RUN", run))
    assert Openings(tmp_path, ["top"]).left_out("top") == ""
    assert clock.now_ns


def test_a_pipe_in_the_place_of_a_note_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "opening-top.json")
    assert Openings(tmp_path, ["top"]).left_out("top") == ""


def test_the_writing_thread_writes_what_is_left_when_it_stops(tmp_path: Path) -> None:
    openings = Openings(tmp_path, ["top"])
    stage: Any = Notes(openings)
    step: Callable[[], None] = stage.step
    stage.start()
    openings.begin("top")
    step()
    assert (tmp_path / "opening-top.json").exists()
    openings.end("top", worked=False)
    stage.stop(failed=False)
    assert list(tmp_path.iterdir()) == []
