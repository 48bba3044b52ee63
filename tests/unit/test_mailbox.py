"""Nothing handed over between threads is lost, whatever the pressure."""

import threading
import time
from itertools import chain

from hypothesis import example, given
from hypothesis import strategies as st

from edge_inspector.runtime.mailbox import Mailbox


def drained(mailbox: Mailbox[int]) -> list[int]:
    return mailbox.take(10_000, 0.0)


def test_without_a_key_items_come_out_in_order_of_arrival() -> None:
    mailbox: Mailbox[int] = Mailbox("post", 8)
    for item in (3, 1, 2):
        assert mailbox.put(item) is None
    assert [mailbox.get(0.0) for _ in range(4)] == [3, 1, 2, None]


def test_with_a_key_the_most_urgent_comes_first_and_equals_in_order_of_arrival() -> None:
    mailbox: Mailbox[tuple[int, str]] = Mailbox("post", 8, key=lambda item: item[0])
    for item in ((5, "a"), (1, "b"), (5, "c"), (1, "d")):
        mailbox.put(item)
    assert mailbox.take(8, 0.0) == [(1, "b"), (1, "d"), (5, "a"), (5, "c")]


def test_items_need_not_be_comparable() -> None:
    mailbox: Mailbox[dict[str, int]] = Mailbox("post", 2, key=lambda _: 0)
    for number in range(3):
        mailbox.put({"number": number})
    assert len(mailbox) == 2


def test_a_full_mailbox_hands_the_least_urgent_item_back() -> None:
    mailbox: Mailbox[int] = Mailbox("post", 3, key=lambda item: item)
    assert [mailbox.put(item) for item in (30, 10, 20)] == [None, None, None]
    assert mailbox.put(15) == 30
    assert mailbox.put(99) == 99
    assert mailbox.put(20) == 20
    assert drained(mailbox) == [10, 15, 20]


def test_a_full_mailbox_without_a_key_hands_the_newest_item_back() -> None:
    mailbox: Mailbox[str] = Mailbox("post", 1)
    mailbox.put("first")
    assert mailbox.put("second") == "second"
    assert mailbox.get(0.0) == "first"


def test_take_gives_at_most_its_limit() -> None:
    mailbox: Mailbox[int] = Mailbox("post", 8)
    for item in range(5):
        mailbox.put(item)
    assert mailbox.take(2, 0.0) == [0, 1]
    assert len(mailbox) == 3


def test_an_empty_mailbox_keeps_the_reader_for_the_whole_timeout() -> None:
    begun = time.monotonic()
    assert Mailbox[int]("post", 1).take(4, 0.05) == []
    assert time.monotonic() - begun >= 0.05


def test_a_waiting_reader_wakes_when_something_comes() -> None:
    mailbox: Mailbox[int] = Mailbox("post", 1)
    got: list[int | None] = []
    reader = threading.Thread(target=lambda: got.append(mailbox.get(30.0)))
    reader.start()
    mailbox.put(7)
    reader.join(10.0)
    assert got == [7]


@example([1, 8, 1, 5, 8, 4, 4, 5], 6)  # an eviction from the middle leaves the heap in need of repair
@given(st.lists(st.integers(0, 20), max_size=60), st.integers(1, 20))
def test_every_item_is_either_evicted_or_taken_and_the_most_urgent_stay(items: list[int], capacity: int) -> None:
    mailbox: Mailbox[int] = Mailbox("post", capacity, key=lambda item: item)
    evicted = [out for item in items if (out := mailbox.put(item)) is not None]
    taken = drained(mailbox)
    assert sorted(evicted + taken) == sorted(items)
    assert taken == sorted(items)[:capacity]


def test_many_writers_and_readers_together_lose_nothing_and_double_nothing() -> None:
    mailbox: Mailbox[int] = Mailbox("post", 50, key=lambda item: item % 7)
    out: list[list[int]] = [[] for _ in range(6)]
    written = threading.Event()

    def write(at: int) -> None:
        for item in range(at * 500, at * 500 + 500):
            evicted = mailbox.put(item)
            if evicted is not None:
                out[at].append(evicted)

    def read(at: int) -> None:
        while not written.is_set() or len(mailbox):
            out[at].extend(mailbox.take(5, 0.01))

    writers = [threading.Thread(target=write, args=(at,)) for at in range(3)]
    readers = [threading.Thread(target=read, args=(at,)) for at in range(3, 6)]
    for thread in writers + readers:
        thread.start()
    for thread in writers:
        thread.join()
    written.set()
    for thread in readers:
        thread.join()
    assert sorted(chain.from_iterable(out)) == list(range(1500))


def test_a_nudge_ends_a_wait_with_nothing_and_takes_no_item_from_a_later_one() -> None:
    mailbox: Mailbox[int] = Mailbox("post", 8)
    mailbox.nudge()  # nobody waits: nothing is left over for a later reader
    found: list[list[int]] = []
    reader = threading.Thread(target=lambda: found.append(mailbox.take(8, 20.0)))
    reader.start()
    while not mailbox._waiting:
        time.sleep(0.001)
    mailbox.nudge()
    reader.join(10)
    assert found == [[]]
    mailbox.put(1)
    assert mailbox.take(8, 0.0) == [1]
