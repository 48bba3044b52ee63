"""Memory is used again when, and only when, nobody refers to it."""

from hypothesis import given
from hypothesis import strategies as st

from edge_inspector.cameras.memory import Memory


def test_held_memory_stays_and_released_memory_comes_again() -> None:
    memory = Memory(2)
    first = memory.take(100)
    corner = first[:50].reshape(5, 10)[2:3, 4:]
    at = first.ctypes.data
    del first
    second = memory.take(100)
    assert second.ctypes.data != at
    del corner
    assert memory.take(100).ctypes.data == at


def test_another_size_replaces_what_nobody_holds() -> None:
    memory = Memory(1)
    assert memory.take(100).size == 100
    assert memory.take(30).size == 30
    assert len(memory._known) == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 5), st.integers(0, 9)), max_size=60), st.integers(0, 4))
def test_no_two_holders_ever_share(steps: list[tuple[bool, int, int]], at_most: int) -> None:
    memory = Memory(at_most)
    held = []
    for take, size, which in steps:
        if take:
            held.append(memory.take(size * 1000)[: size * 10])
        elif held:
            held.pop(which % len(held))
        assert len({each.ctypes.data for each in held}) == len(held)
        assert len(memory._known) <= at_most
