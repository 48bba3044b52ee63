"""Of two daemons at one PLC one writes, and the other one says why it does not."""

from itertools import pairwise

import pytest

from edge_inspector.plc.blocks import EDGE_HEADER
from edge_inspector.plc.ownership import Ownership

MS = 1_000_000
MINE, OTHER = 50, 60
BLANK = bytes(EDGE_HEADER.size)


def header(boot: int, beat: int) -> bytes:
    values = {field.name: 0 for field in EDGE_HEADER.fields} | {"layout_version": 1}
    return EDGE_HEADER.pack(**values | {"boot_id": boot, "heartbeat": beat})


def torn(raw: bytes) -> bytes:
    return raw[:30] + bytes([raw[30] ^ 1]) + raw[31:]


def new() -> Ownership:
    made = Ownership(MINE, "DB101")
    made.begin()
    return made


def test_nobody_writes_before_a_look() -> None:
    assert (new().speaks, new().stranger) == (False, "")


def look(owner: Ownership, raw: bytes, at_ms: float, mine: int = 1000) -> bool:
    owner.look(raw, mine, int(at_ms * MS))
    return owner.speaks


def speaking() -> Ownership:
    owner = new()
    assert look(owner, BLANK, 0)
    return owner


def silent(last_ms: int = 200) -> Ownership:
    """The other one lives: its heartbeat moved until then."""
    owner = new()
    for at in range(0, last_ms + 1, 20):
        assert not look(owner, header(OTHER, at), at)
    return owner


# At connecting.


@pytest.mark.parametrize("raw", [BLANK, header(MINE, 3)], ids=["blank", "its own"])
def test_a_block_without_another_daemon_is_written_at_once(raw: bytes) -> None:
    assert look(new(), raw, 0)


@pytest.mark.parametrize("raw", [header(OTHER, 3), torn(header(OTHER, 3)), b"\x5a" * 64])
def test_a_dead_header_locks_nobody_out_for_longer_than_300_ms(raw: bytes) -> None:
    owner = new()
    assert not any(look(owner, raw, at) for at in (0, 100, 299))
    assert look(owner, raw, 300)
    assert owner.stranger == ""


def test_a_living_header_is_never_written_over() -> None:
    owner = silent(60_000)
    assert owner.stranger == (
        "another daemon (boot_id 0000003c) writes DB101. This one came later and writes nothing. Switch one of the two "
        "off. When the other has been silent for 2 s, this one takes over"
    )


def test_a_header_that_changes_and_is_never_whole_is_somebody_elses_too() -> None:
    owner = new()
    for at in range(0, 400, 20):
        assert not look(owner, torn(header(OTHER, at)), at)
    assert owner.stranger.startswith("somebody else writes DB101.")


def test_a_torn_look_does_not_forget_the_name() -> None:
    owner = silent(200)
    look(owner, torn(header(OTHER, 9)), 220)
    assert owner.stranger.startswith("another daemon (boot_id 0000003c)")


def test_who_was_seen_alive_gets_two_seconds_and_then_it_is_taken_over() -> None:
    owner = silent(200)
    last = header(OTHER, 200)
    assert not any(look(owner, last, at) for at in (500, 1000, 2199))
    assert look(owner, last, 2200)
    assert owner.stranger == ""


@pytest.mark.parametrize("raw", [BLANK, header(MINE, 3)], ids=["blank", "its own"])
def test_a_block_that_was_wiped_while_another_lives_is_not_taken_at_once(raw: bytes) -> None:
    owner = silent(200)
    assert not look(owner, raw, 220)
    assert not look(owner, header(OTHER, 240), 240)
    assert not look(owner, raw, 260)
    assert look(owner, raw, 2260)


def test_a_silent_one_that_connects_again_is_still_silent() -> None:
    owner = silent(200)
    owner.begin()
    assert not look(owner, header(OTHER, 200), 5000)
    assert not look(owner, header(OTHER, 200), 5400)
    assert owner.stranger
    assert look(owner, header(OTHER, 200), 7000)


def test_one_that_spoke_looks_again_when_it_connects_again() -> None:
    owner = speaking()
    look(owner, header(OTHER, 1), 20)
    look(owner, header(OTHER, 2), 40)
    assert owner.stranger
    owner.begin()
    assert (owner.speaks, owner.stranger) == (False, "")
    assert look(owner, header(MINE, 1000), 60)


# Later on.


def test_its_own_header_a_torn_and_a_blank_one_are_no_news() -> None:
    owner = speaking()
    for raw in (header(MINE, 9), torn(header(OTHER, 9)), torn(header(OTHER, 10)), BLANK):
        assert look(owner, raw, 20)
    assert owner.stranger == ""


def test_one_late_write_of_a_dead_daemon_is_no_rival() -> None:
    owner = speaking()
    for at in (20, 40, 60):
        assert look(owner, header(OTHER, 5), at)
    assert owner.stranger == ""


def test_the_older_one_goes_on_and_tells_until_nobody_else_writes() -> None:
    owner = speaking()
    for at, beat in ((0, 1), (100, 6), (200, 11)):
        assert look(owner, header(OTHER, beat), at, mine=1000 + at)
    assert owner.stranger == (
        "another daemon (boot_id 0000003c) writes DB101 too. This one was there before it and goes on. Switch one of "
        "the two off"
    )
    assert look(owner, header(OTHER, 11), 2199, mine=2000), "seen again: still there"
    assert owner.stranger
    assert look(owner, header(MINE, 2100), 4198, mine=2100)
    assert owner.stranger
    assert look(owner, header(MINE, 2101), 4199, mine=2101)
    assert owner.stranger == ""


def test_a_rival_of_long_ago_is_a_new_one() -> None:
    owner = speaking()
    look(owner, header(OTHER, 1), 0)
    look(owner, header(OTHER, 2), 3000)
    assert owner.stranger == ""
    look(owner, header(OTHER, 3), 3100)
    assert owner.stranger


def test_headers_of_many_daemons_are_each_looked_at_by_themselves() -> None:
    owner = speaking()
    for at in range(0, 1000, 20):
        assert look(owner, header(1000 + at, at), at)
    assert owner.stranger == ""


def test_the_younger_one_falls_silent() -> None:
    owner = speaking()
    look(owner, header(OTHER, 5000), 0, mine=10)
    assert not look(owner, header(OTHER, 5005), 100, mine=15)
    assert "came later and writes nothing" in owner.stranger
    assert not look(owner, header(OTHER, 5010), 200, mine=15)
    assert not look(owner, header(OTHER, 5010), 2199, mine=15)
    assert look(owner, header(OTHER, 5010), 2200, mine=15)


@pytest.mark.parametrize("ahead", [-100, -1, 0, 1, 100])
def test_of_two_that_began_together_the_smaller_boot_id_goes_on(ahead: int) -> None:
    first, second = Ownership(MINE, "DB101"), Ownership(OTHER, "DB101")
    for owner, other, mine, theirs in ((first, OTHER, 500 + ahead, 500), (second, MINE, 500, 500 + ahead)):
        owner.begin()
        look(owner, BLANK, 0)
        look(owner, header(other, theirs - 5), 0, mine=mine - 5)
        look(owner, header(other, theirs), 100, mine=mine)
    assert (first.speaks, second.speaks) == (True, False)


@pytest.mark.parametrize(("mine", "theirs", "goes_on"), [(601, 500, True), (399, 500, False)])
def test_of_two_that_did_not_the_one_with_more_heartbeats_does(mine: int, theirs: int, goes_on: bool) -> None:  # noqa: FBT001 -- a table
    for boot, other in ((MINE, OTHER), (OTHER, MINE)):
        owner = Ownership(boot, "DB101")
        owner.begin()
        look(owner, BLANK, 0)
        look(owner, header(other, theirs - 1), 0, mine=mine - 1)
        assert look(owner, header(other, theirs), 100, mine=mine) is goes_on


def test_two_daemons_at_one_block_end_with_one_that_writes() -> None:
    """Both see a blank block at once; then each writes every 20 ms and looks every 100 ms."""
    block, owners, beats = BLANK, [Ownership(MINE, "DB101"), Ownership(OTHER, "DB101")], [0, 0]
    for owner in owners:
        owner.begin()
        look(owner, block, 0)
    spoke = []
    for at in range(0, 2000, 10):
        which = at // 10 % 2
        if at // 20 % 5 == 0 or not owners[which].speaks:
            look(owners[which], block, at, mine=beats[which])
        if owners[which].speaks:
            beats[which] += 1
            block = header((MINE, OTHER)[which], beats[which])
        spoke.append([owner.speaks for owner in owners])
    assert spoke[-1] == [True, False]
    assert sum(before != after for before, after in pairwise(spoke)) == 1
