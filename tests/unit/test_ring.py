"""The daemon's side of the verdict ring: nothing unread is ever overwritten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspector.plc.blocks import VERDICT_SLOTS
from edge_inspector.plc.ring import CAPACITY, VerdictRing

SESSION = 99


def ring(held: int = 0) -> VerdictRing:
    made = VerdictRing()
    made.begin(SESSION)
    fill(made, held)
    return made


def fill(made: VerdictRing, count: int) -> None:
    for _ in range(count):
        seq = made.next_seq()
        made.hold(seq, b"%d" % seq)


def test_a_session_begins_with_number_one_and_all_its_room() -> None:
    made = ring()
    assert (made.session_id, made.last_seq, made.acknowledged, made.room) == (SESSION, 0, 0, 31)
    assert made.next_seq() == 1


def test_one_slot_always_stays_free() -> None:
    assert CAPACITY == VERDICT_SLOTS - 1 == 31


def test_a_number_is_used_up_only_when_something_is_held_under_it() -> None:
    made = ring()
    assert made.next_seq() == made.next_seq() == 1
    made.hold(1, b"one")
    assert made.next_seq() == 2


def test_a_full_ring_gives_no_number() -> None:
    made = ring(31)
    assert made.room == 0
    with pytest.raises(BufferError, match=r"^verdict ring is full$"):
        made.next_seq()


def test_an_acknowledgement_makes_room_up_to_its_number() -> None:
    made = ring(31)
    assert made.acknowledge(SESSION, 30)
    assert made.room == 30
    assert made.unacknowledged() == [(31, b"31")]
    assert made.next_seq() == 32


def test_an_acknowledgement_heard_twice_or_late_changes_nothing() -> None:
    made = ring(5)
    for seq in (3, 3, 2, 0):
        assert made.acknowledge(SESSION, seq)
    assert made.unacknowledged() == [(4, b"4"), (5, b"5")]


def test_an_acknowledgement_of_what_was_never_written_is_impossible_and_ignored() -> None:
    made = ring(5)
    assert made.acknowledge(SESSION, 6) is False
    assert len(made.unacknowledged()) == 5


def test_an_acknowledgement_of_an_earlier_session_is_normal_and_ignored() -> None:
    # A restarted daemon finds a PLC that still acknowledges the session before.
    made = ring(5)
    assert made.acknowledge(SESSION - 1, 1234)
    assert made.acknowledge(0, 0)
    assert len(made.unacknowledged()) == 5


def test_a_new_session_forgets_the_old_one() -> None:
    made = ring(31)
    made.begin(SESSION + 1)
    assert (made.session_id, made.last_seq, made.room) == (SESSION + 1, 0, 31)
    assert made.unacknowledged() == []


def test_what_is_unacknowledged_is_written_again_oldest_first_into_its_own_slot() -> None:
    made = ring(30)
    made.acknowledge(SESSION, 29)
    fill(made, 4)
    assert made.unacknowledged() == [(30, b"30"), (31, b"31"), (0, b"32"), (1, b"33"), (2, b"34")]


@given(st.lists(st.one_of(st.just("write"), st.integers(0, 40)), max_size=150))
def test_no_slot_is_used_again_before_it_was_acknowledged(happenings: list[str | int]) -> None:
    made, slots, acknowledged = ring(), dict[int, int](), 0
    for happening in happenings:
        if isinstance(happening, int):
            acknowledged = min(made.last_seq, acknowledged + happening)
            assert made.acknowledge(SESSION, acknowledged)
        elif made.room:
            seq = made.next_seq()
            made.hold(seq, b"")
            assert slots.get(seq % VERDICT_SLOTS, 0) <= acknowledged
            slots[seq % VERDICT_SLOTS] = seq
        assert made.room == CAPACITY - (made.last_seq - acknowledged)
    assert len(made.unacknowledged()) == made.last_seq - acknowledged


def test_a_new_ring_has_said_nothing_yet() -> None:
    ring = VerdictRing()
    assert (ring.session_id, ring.last_seq, ring.acknowledged, ring.room) == (0, 0, 0, CAPACITY)
    assert ring.next_seq() == 1
