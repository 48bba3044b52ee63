"""A camera that announces: each picture is a part, also the lost and the damaged ones. And parts that are called."""

import numpy as np
import pytest

from edge_inspector.codes import Reason
from edge_inspector.inspection.triggers import TriggerIntake
from edge_inspector.records import Frame, PlcInput, Trigger
from edge_inspector.watches import announcing
from edge_inspector.watches.announcing import FrameParts

PICTURE = np.zeros((2, 2), np.uint8)


class Rig:
    def __init__(self, *, on_call: bool = False) -> None:
        self.told: list[PlcInput] = []
        self.parts = FrameParts(77, self.told.append, on_call=on_call)
        self.intake = TriggerIntake()
        self.parts.opened()

    def frame(self, number: int, at_ns: int = 1000, count: int | None = None) -> bool:
        return self.parts.seen(
            Frame("top", number, at_ns, 0, received_ns=at_ns, image=PICTURE, encoder_count=count, captured_error_ns=5)
        )

    def announced(self) -> list[tuple[Trigger, Reason]]:
        told, self.told[:] = self.told[:], []
        return [each for reading in told for each in self.intake.take(reading)]

    def reasons(self) -> list[tuple[int, Reason]]:
        return [(trigger.part_seq, reason) for trigger, reason in self.announced()]


def test_each_picture_is_a_part_at_its_own_time() -> None:
    rig = Rig()
    assert rig.frame(1, 1000)
    ((trigger, reason),) = rig.announced()
    assert (trigger.part_seq, trigger.latched, trigger.at_ns, trigger.error_ns, reason) == (
        1, False, 1000, 5, Reason.NONE,
    )  # fmt: skip


def test_a_count_that_the_camera_latched_is_the_part_s_place() -> None:
    rig = Rig()
    rig.frame(1, count=500)
    ((trigger, _),) = rig.announced()
    assert (trigger.latched, trigger.count) == (True, 500)


def test_a_picture_that_was_lost_on_the_way_is_a_part_all_the_same() -> None:
    rig = Rig()
    rig.frame(10)
    rig.frame(13)
    assert rig.reasons() == [
        (1, Reason.NONE),
        (2, Reason.TRIGGER_LOST),
        (3, Reason.TRIGGER_LOST),
        (4, Reason.NONE),
    ]


def test_a_damaged_picture_is_a_part_too() -> None:
    rig = Rig()
    rig.frame(1)
    rig.parts.damaged(2, 2000)
    rig.frame(3)
    assert rig.reasons() == [(1, Reason.NONE), (2, Reason.NONE), (3, Reason.NONE)]


def test_a_camera_that_was_opened_again_shows_no_gap() -> None:
    rig = Rig()
    rig.frame(1)
    rig.parts.opened()
    rig.frame(90)
    assert rig.reasons() == [(1, Reason.NONE), (2, Reason.NONE)]


def test_more_lost_pictures_than_the_ring_holds_are_lost_parts() -> None:
    rig = Rig()
    rig.frame(1)
    rig.frame(500)
    found = rig.reasons()
    assert [reason for _, reason in found].count(Reason.TRIGGER_LOST) == 16
    assert found[-1] == (18, Reason.NONE)


def test_nobody_has_called_so_no_picture_is_a_part() -> None:
    rig = Rig(on_call=True)
    assert not rig.frame(1, 10**18)
    assert rig.announced() == []


def test_the_first_picture_after_the_call_is_the_part(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(on_call=True)
    monkeypatch.setattr(announcing.time, "monotonic_ns", lambda: 1_000_000)
    assert rig.parts.call("a") == ""
    assert not rig.frame(7, 900_000), "taken before the call"
    assert rig.frame(8, 1_100_000)
    assert not rig.frame(9, 1_200_000)
    ((trigger, reason),) = rig.announced()
    assert (trigger.part_id, reason) == ("a", Reason.NONE)


def test_a_call_without_a_picture_is_a_part_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(on_call=True)
    monkeypatch.setattr(announcing.time, "monotonic_ns", lambda: 1_000_000)
    rig.parts.call("a")
    rig.parts.tick()
    assert rig.announced() == []
    monkeypatch.setattr(announcing.time, "monotonic_ns", lambda: 3_000_000_000)
    rig.parts.tick()
    ((trigger, reason),) = rig.announced()
    assert (trigger.part_id, reason) == ("a", Reason.TRIGGER_LOST)
    assert not rig.frame(1, 4_000_000_000), "the call is over"


def test_calls_are_refused_where_none_are_taken_and_when_too_many_wait() -> None:
    assert "on_call = true" in Rig().parts.call("a")
    rig = Rig(on_call=True)
    assert [rig.parts.call(str(number)) for number in range(16)] == [""] * 16
    assert rig.parts.call("x") == "too many calls wait for a picture"
