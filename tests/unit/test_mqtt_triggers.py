"""Parts that are announced over MQTT: each once, with its number, and nothing wrong in silence."""

import json
import time
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from edge_inspector.codes import ErrorCode, Reason
from edge_inspector.inspection.triggers import TriggerIntake
from edge_inspector.mqtt.commands import Request
from edge_inspector.mqtt.settings import MqttSettings
from edge_inspector.mqtt.triggers import TriggerInbox
from edge_inspector.runtime.clock import iso, utc_of

MS, S = 1_000_000, 1_000_000_000


class Rig:
    """The inbox and what the judge makes of its readings."""

    def __init__(self, *, numbered: bool = True, clock_ns: int | None = None) -> None:
        self.events: Counter[str] = Counter()
        self.inbox = TriggerInbox(
            5.0, 100 * MS, self.events, line_topic="edge/a/line", numbered=numbered, clock_ns=clock_ns
        )
        self.intake = TriggerIntake()
        self.now = time.monotonic_ns()

    def hear(self, *bodies: dict[str, Any] | bytes, retained: bool = False, topic: str = "edge/a/trigger") -> None:
        for body in bodies:
            self.now += 200 * MS
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.inbox.take([Request(raw, retained, topic=topic, received_ns=self.now)])

    def parts(self) -> list[tuple[int, str, Reason]]:
        found = []
        for _ in range(2):  # the first reading of a run only says where its numbers begin
            reading = self.inbox.reading()
            if reading is not None:
                found += self.intake.take(reading)
        return [(trigger.part_seq, trigger.part_id, reason) for trigger, reason in found]


def seq(number: int, **more: Any) -> dict[str, Any]:
    return {"seq": number, "part_id": f"p{number}"} | more


def test_parts_come_once_each_with_their_number_and_name() -> None:
    rig = Rig()
    assert rig.parts() == []
    rig.hear(seq(1000, count=5), seq(1001, count=6))
    assert rig.parts() == [(1000, "p1000", Reason.NONE), (1001, "p1001", Reason.NONE)]
    rig.hear(seq(1002, count=7))
    assert rig.parts() == [(1002, "p1002", Reason.NONE)]
    assert not rig.inbox.incidents


def test_a_message_that_comes_again_is_no_part() -> None:
    rig = Rig()
    rig.hear(seq(1), seq(2), seq(2), seq(1))
    assert [part for part, *_ in rig.parts()] == [1, 2]
    assert rig.events == {"trigger_repeated": 2}
    assert not rig.inbox.incidents


def test_a_message_that_was_lost_is_a_part_without_a_place() -> None:
    rig = Rig()
    rig.hear(seq(1), seq(4))
    assert rig.parts() == [
        (1, "p1", Reason.NONE),
        (2, "", Reason.TRIGGER_LOST),
        (3, "", Reason.TRIGGER_LOST),
        (4, "p4", Reason.NONE),
    ]


def test_a_number_that_jumps_voids_everything_before_and_is_a_fault() -> None:
    rig = Rig()
    rig.hear(seq(1))
    rig.parts()
    rig.hear(seq(500_000))
    assert rig.parts() == [(500_000, "p500000", Reason.NONE)]
    ((code, what),) = rig.inbox.incidents
    assert code is ErrorCode.PLC_NUMBERS
    assert "seq went from 1 to 500000, while belt speed and pitch allow 18 parts" in what


@pytest.mark.parametrize("again", [seq(1, part_id="other"), seq(2, count=99)])
def test_a_number_that_comes_twice_with_other_content_is_a_fault(again: dict[str, Any]) -> None:
    rig = Rig()
    rig.hear(seq(1), seq(2), seq(3))
    rig.parts()
    rig.hear(again)
    assert [part for part, *_ in rig.parts()] == [again["seq"]]
    assert rig.inbox.incidents[0][0] is ErrorCode.PLC_NUMBERS


def test_a_sender_that_says_that_it_begins_anew_is_believed() -> None:
    rig = Rig()
    rig.hear(seq(7, run="monday"), seq(8, run="monday"))
    rig.parts()
    first = rig.inbox.reading()
    rig.hear({"seq": 1, "part_id": "x", "run": "tuesday"})
    assert rig.parts() == [(1, "x", Reason.NONE)]
    second = rig.inbox.reading()
    assert first is not None
    assert second is not None
    assert first.boot_id != second.boot_id
    assert not rig.inbox.incidents


def test_a_name_that_comes_twice_gives_the_second_part_a_verdict_without_a_place() -> None:
    rig = Rig()
    rig.hear(seq(1), {"seq": 2, "part_id": "p1"})
    assert rig.parts() == [(1, "p1", Reason.NONE), (2, "p1", Reason.TRIGGER_LOST)]
    assert "part id 'p1' came twice" in rig.inbox.incidents[0][1]


def test_parts_without_numbers_are_told_apart_by_their_names() -> None:
    rig = Rig(numbered=False)
    assert rig.parts() == []
    rig.hear({"part_id": "a", "count": 4}, {"part_id": "a", "count": 4}, {"part_id": "b", "count": 9}, {"count": 12})
    assert [(part, name) for part, name, _ in rig.parts()] == [(1, "a"), (2, "b"), (3, "")]
    assert rig.events == {"trigger_repeated": 1}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"[]", "valid dictionary"),
        (b"{", "not JSON"),
        (b"x" * 3000, "longer than 2048 bytes"),
        ({"seq": 0}, "seq"),
        ({"seq": 1.5}, "seq"),
        ({"seq": 1, "count": 2**31}, "count"),
        ({"seq": 1, "surprise": 1}, "surprise"),
        ({"part_id": "a"}, "seq is missing: number the parts"),
    ],
)
def test_what_is_no_announcement_is_told_because_a_part_may_have_passed(body: Any, why: str) -> None:
    rig = Rig()
    rig.hear(body)
    assert rig.parts() == []
    assert rig.events == {"trigger_refused": 1}
    ((code, what),) = rig.inbox.incidents
    assert code is ErrorCode.PLC_NUMBERS
    assert why in what


def test_a_retained_announcement_is_refused() -> None:
    rig = Rig()
    rig.hear(seq(1), retained=True)
    assert rig.parts() == []
    assert "publish it without retain" in rig.inbox.incidents[0][1]


def utc(at_ns: int) -> str:
    return iso(utc_of(at_ns), "microseconds")


def newest(rig: Rig) -> Any:
    reading = rig.inbox.reading()
    assert reading is not None
    reading = rig.inbox.reading()
    assert reading is not None
    return reading.triggers[-1]


def test_without_a_count_the_part_was_there_within_the_delay() -> None:
    rig = Rig()
    rig.hear(seq(1))
    trigger = newest(rig)
    assert not trigger.latched
    assert (trigger.at_ns, trigger.error_ns) == (rig.now - 50 * MS, 50 * MS)


def test_by_a_clock_the_part_was_there_at_its_utc_however_late_the_message_came() -> None:
    rig = Rig(clock_ns=2 * MS)
    at_ns = rig.now + 200 * MS - 900 * MS
    rig.hear(seq(1, utc=utc(at_ns)))
    trigger = newest(rig)
    assert abs(trigger.at_ns - at_ns) < MS
    assert trigger.error_ns == 2 * MS


@pytest.mark.parametrize("clock_ns", [None, 2 * MS])
def test_a_message_that_was_too_long_on_its_way_has_no_place(clock_ns: int | None) -> None:
    rig = Rig(clock_ns=clock_ns)
    rig.hear(seq(1, utc=utc(rig.now - 10 * S)))
    assert [reason for *_, reason in rig.parts()] == [Reason.TRIGGER_LOST]
    assert rig.events == {"trigger_late": 1}


def test_a_count_needs_no_time() -> None:
    rig = Rig()
    rig.hear(seq(1, count=77, utc=iso(utc_of(rig.now) - timedelta(hours=1))))
    trigger = newest(rig)
    assert trigger.latched
    assert trigger.count == 77
    assert not rig.events


def test_the_line_says_whether_it_runs_and_silence_means_that_nobody_knows() -> None:
    rig = Rig(numbered=False)
    first = rig.inbox.reading()
    assert first is not None
    assert first.line_running is None
    rig.hear({"running": True}, topic="edge/a/line")
    assert rig.inbox.line_ns == rig.now
    running = rig.inbox.reading()
    assert running is not None
    assert running.line_running is True
    rig.inbox.line_silent()
    silent = rig.inbox.reading()
    assert silent is not None
    assert silent.line_running is False


def test_announcements_that_came_too_fast_to_be_read_are_told() -> None:
    rig = Rig()
    rig.inbox.overran()
    assert rig.events["trigger_refused"] == 1
    assert "some were left out" in rig.inbox.incidents[0][1]


def test_anybody_may_announce_parts_where_the_broker_asks_no_name() -> None:
    open_to_all = MqttSettings.model_validate({"host": "127.0.0.1", "triggers": True})
    assert [caution.partition(":")[0] for caution in open_to_all.cautions] == ["triggers = true without username"]


@pytest.mark.parametrize(
    ("settings", "uses_tls"), [({}, False), ({"tls_system_ca": True}, True), ({"tls_ca_file": "ca.pem"}, True)]
)
def test_tls_trusts_a_file_or_what_the_machine_trusts(settings: dict[str, Any], uses_tls: bool) -> None:  # noqa: FBT001
    assert MqttSettings.model_validate({"host": "a"} | settings).uses_tls is uses_tls
    with pytest.raises(ValueError, match="exclude each other"):
        MqttSettings.model_validate({"host": "a", "tls_system_ca": True, "tls_ca_file": "ca.pem"})
