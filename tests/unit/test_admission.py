import heapq
from collections import Counter
from collections.abc import Callable
from random import Random

from edge_inspector.inspection.admission import Admission

MS = 1_000_000
SPEED = 1e-5  # counts per ns: 1 m/s at 10 counts/mm
TOLERANCE = 50.0  # 5 ms of belt


def admission(*, workers: int = 1, views: int | None = 2, frame_ms: float = 0.0, known: bool = True) -> Admission:
    """Parts of so many views (None: every frame counts by itself) at a model that takes `frame_ms` for a frame."""
    foreseen: Callable[[int, int], float | None] = lambda _, at_ns: at_ns * SPEED if known else None  # noqa: E731
    found = Admission(foreseen, TOLERANCE, workers, None if views is None else lambda: views)
    for _ in range(300 if frame_ms else 0):
        found.took([-1000.0], int(frame_ms * MS))
    return found


def line(ms: float) -> float:
    """Where the belt is then."""
    return ms * MS * SPEED


def test_a_part_with_nothing_before_it_is_tried_however_slow_the_model() -> None:
    found = admission(frame_ms=1000)
    assert found.accepts(line(20), 0)
    assert found.still_accepts(line(20), 0)


def test_what_the_belt_has_carried_past_its_line_is_not_tried() -> None:
    assert not admission().accepts(line(20), 20 * MS), "who arrives at the line is late"
    assert not admission().still_accepts(line(20), 20 * MS)
    assert admission().still_accepts(line(20.1), 20 * MS)


def test_a_result_may_take_until_the_part_is_at_its_line() -> None:
    found = admission()
    assert found.left_ns(line(120), 20 * MS, 500 * MS) in range(98 * MS, 100 * MS + 1)
    assert found.left_ns(line(900), 20 * MS, 500 * MS) == 500 * MS, "never more than a call may take"
    assert found.left_ns(line(10), 20 * MS, 500 * MS) == 0
    for _ in range(300):
        found.judged(30 * MS)
    assert found.left_ns(line(120), 20 * MS, 500 * MS) in range(68 * MS, 71 * MS), "it must reach the judge, too"
    assert admission(known=False).left_ns(line(120), 20 * MS, 500 * MS) == 500 * MS


def test_nothing_is_refused_while_the_belts_position_is_unknown() -> None:
    found = admission(known=False, frame_ms=1000)
    for ms in range(0, 2000, 200):
        assert found.accepts(line(ms), 0)
        assert found.still_accepts(line(ms), 0)


def test_all_frames_of_the_part_and_of_those_before_it_count_taken_or_not() -> None:
    for ms, taken_on in ((109.9, False), (110.1, True)):
        found = admission(frame_ms=10)
        assert found.accepts(line(100), 0)
        assert found.accepts(line(ms), 70 * MS) is taken_on, "four frames end at 110 ms"


def test_parts_that_are_due_later_do_not_count() -> None:
    found = admission(frame_ms=10)
    assert found.accepts(line(500), 0)
    assert found.accepts(line(80), 70 * MS)


def test_a_frame_not_worth_inferring_is_owed_no_more() -> None:
    for spared, taken_on in ((0, False), (1, True)):
        found = admission(frame_ms=10)
        assert found.accepts(line(100), 0)
        for _ in range(spared):
            found.spared(line(100))
        assert found.accepts(line(108), 70 * MS) is taken_on, "three frames end at 100 ms, four at 110"


def test_what_was_inferred_is_owed_no_more() -> None:
    found = admission(frame_ms=10)
    assert found.accepts(line(100), 0)
    found.took([line(100)], 10 * MS)
    assert not found.accepts(line(119.9), 90 * MS), "three frames end at 120 ms"
    found.took([line(100), line(100)], 20 * MS)  # one more than a part has
    assert found.accepts(line(106), 95 * MS), "nothing is before it"


def test_workers_share_what_is_owed() -> None:
    for ms, taken_on in ((119.9, False), (120.1, True)):
        found = admission(workers=2, views=1, frame_ms=10)
        assert found.accepts(line(106), 0)
        assert found.accepts(line(113), 0)
        assert found.accepts(line(ms), 100 * MS) is taken_on, "two take two, and then one takes the third"


def test_the_other_views_of_a_refused_part_are_refused_too() -> None:
    found = admission(views=3)
    assert found.accepts(line(100), 0)
    found.refuse(line(100))
    assert not found.accepts(line(100) + TOLERANCE, 0)
    assert not found.still_accepts(line(100) - TOLERANCE, 0)
    assert found.accepts(line(100) + TOLERANCE + 0.1, 0)


def test_a_part_that_is_refused_with_its_first_frame_stays_refused_and_owes_nothing() -> None:
    found = admission(frame_ms=100)
    assert found.accepts(line(100), 0)
    assert not found.accepts(line(200), 0)
    assert not found.accepts(line(200), 0)
    assert found.accepts(line(400.1), 0), "two of its own and two before it"


def test_refusing_what_nobody_knows_is_nothing() -> None:
    found = admission()
    found.refuse(line(100))
    assert found.accepts(line(100), 0)


def test_a_part_is_given_up_when_the_rest_of_it_would_be_late_and_others_wait() -> None:
    found = admission(frame_ms=10)
    assert found.accepts(line(100), 0)
    assert found.still_accepts(line(100), 85 * MS), "it is alone"
    assert found.accepts(line(200), 0)
    assert found.still_accepts(line(100), 79 * MS)
    assert not found.still_accepts(line(100), 85 * MS)
    assert not found.still_accepts(line(100), 0), "for good"
    assert not found.accepts(line(100), 0)
    assert found.still_accepts(line(200), 185 * MS), "now that one is alone"


def test_a_part_that_is_rejected_already_makes_room_for_one_that_would_not_be_inspected() -> None:
    for rejected in (False, True):
        found = admission(frame_ms=10)
        assert found.accepts(line(100), 0)
        if rejected:
            found.rejected(line(100))
        assert found.accepts(line(108), 70 * MS) is rejected, "four frames end at 110 ms, two at 90"
        assert found.still_accepts(line(100), 70 * MS) is not rejected


def test_a_part_that_is_rejected_is_seen_whole_while_there_is_time_for_all() -> None:
    found = admission(frame_ms=10)
    assert found.accepts(line(100), 0)
    found.rejected(line(100))
    assert found.accepts(line(120), 70 * MS)
    assert found.still_accepts(line(100), 70 * MS)


def test_a_rejected_part_is_not_given_up_for_one_that_would_be_late_all_the_same() -> None:
    found = admission(frame_ms=10)
    assert found.accepts(line(100), 0)
    assert found.accepts(line(106), 0)
    found.rejected(line(100))
    assert not found.accepts(line(112), 80 * MS), "its frames and those of the other part end at 120 ms"
    assert found.still_accepts(line(100), 70 * MS)


def test_rejecting_what_nobody_knows_is_nothing() -> None:
    found = admission()
    found.rejected(line(100))
    assert found.accepts(line(100), 0)


def test_a_frame_in_the_model_is_wanted_until_its_line_or_until_its_part_is_given_up() -> None:
    found = admission(frame_ms=1000)
    assert found.wants(line(100), 0), "nobody knows its part"
    assert found.accepts(line(100), 0)
    assert found.wants(line(100), 99 * MS), "however long the rest may take"
    assert not found.wants(line(100), 100 * MS)
    found.refuse(line(100))
    assert not found.wants(line(100), 99 * MS)


def test_frames_count_by_themselves_where_a_part_not_seen_whole_may_pass() -> None:
    for ms, taken_on in ((119.9, False), (120.1, True)):
        found = admission(views=None, frame_ms=10)
        assert found.accepts(line(105), 0)
        found.refuse(line(105))
        assert found.accepts(line(105), 0), "the other view is looked at all the same"
        assert found.still_accepts(line(105), 0)
        assert found.accepts(line(ms), 100 * MS) is taken_on, "one is before it"


def test_a_part_on_a_belt_that_stands_is_forgotten_after_ten_seconds() -> None:
    found = Admission(lambda _now_ns, _at_ns: 0.0, TOLERANCE, 1, lambda: 1)
    assert found.accepts(line(100), 5)
    found.refuse(line(100))
    assert not found.accepts(line(100), 5 + 10_000 * MS)
    assert found.accepts(line(100), 6 + 10_000 * MS)


def test_one_call_teaches_a_tenth_of_what_a_frame_of_it_took() -> None:
    for ms, taken_on in ((119.9, False), (120.1, True)):
        found = admission(views=1)
        found.took([line(0), line(0)], 200 * MS)  # 100 ms a frame: 10 ms are believed
        assert found.accepts(line(110), 0)
        assert found.accepts(line(ms), 100 * MS) is taken_on


def test_the_way_to_the_judge_counts_and_slow_ones_are_believed_sooner() -> None:
    for ms, taken_on in ((105.7, False), (105.9, True)):
        found = admission(views=1)
        found.judged(20 * MS)  # 6 ms are believed
        found.judged(0)  # 5.82
        assert found.accepts(line(100.1), 0)
        found.took([line(-100)], 0)
        assert found.accepts(line(ms), 100 * MS) is taken_on


def test_under_twice_the_load_nearly_all_that_is_inferred_belongs_to_parts_seen_whole() -> None:
    """Four cameras along the belt, 20 ms apart; a part every 20 ms, of which the model can see every second."""
    views, every, slack = 4, 20, 300
    found = admission(views=views, frame_ms=10)
    arrivals = sorted((every * (part + view), part) for part in range(500) for view in range(views))
    now, seen, waiting = 0, Counter[int](), list[tuple[int, int]]()
    while arrivals or waiting:
        while arrivals and (not waiting or arrivals[0][0] <= now):
            now = max(now, arrivals[0][0])
            _, part = arrivals.pop(0)
            if found.accepts(line(every * part + slack), now * MS):
                heapq.heappush(waiting, (every * part + slack, part))
        if not waiting:
            continue
        due, part = heapq.heappop(waiting)
        if found.still_accepts(line(due), now * MS):
            now += 10
            found.took([line(due)], 10 * MS)
            assert now < due, "nothing is inferred for nothing"
            seen[part] += 1
    whole = sum(count == views for count in seen.values())
    assert whole >= 245
    assert sum(seen.values()) <= whole * views * 1.02


def test_what_all_parts_owe_together_is_always_the_sum_of_what_each_owes() -> None:
    random, found = Random(5), admission(frame_ms=10)
    for at_ms in range(0, 4000, 7):
        now, place = at_ms * MS, line(at_ms + random.randrange(-50, 400))
        ask = random.choice(["accepts", "still", "spared", "refuse", "took"])
        if ask == "accepts":
            found.accepts(place, now)
        elif ask == "still":
            found.still_accepts(place, now)
        elif ask == "took":
            found.took([place], 10 * MS)
        else:
            (found.spared if ask == "spared" else found.refuse)(place)
        assert found._owed == sum(part.owed for part in found._parts)
        assert found._lines == sorted(found._lines)


def test_a_part_whose_frames_would_find_the_queue_full_is_refused_although_its_time_would_do() -> None:
    found = Admission(lambda _, at_ns: at_ns * SPEED, TOLERANCE, 1, lambda: 4, queue=10)
    found.took([-1000.0], 1 * MS)
    assert [found.accepts(line(100 + 10 * part), 0) for part in range(4)] == [True] * 4, "no part has passed yet"
    now = 1000 * MS
    assert [found.accepts(line(5000 + 100 * part), now) for part in range(4)] == [True, True, False, False]
    found.took([line(5000)] * 4, 1 * MS)
    assert found.accepts(line(5400), now), "there is room again"
    assert not found.accepts(line(5200), now), "who was refused stays refused"


def test_parts_that_are_rejected_already_give_their_places_in_the_queue_away() -> None:
    found = Admission(lambda _, at_ns: at_ns * SPEED, TOLERANCE, 1, lambda: 4, queue=10)
    found.took([-1000.0], 1 * MS)
    found.accepts(line(100), 0)
    now = 1000 * MS
    assert [found.accepts(line(5000 + 100 * part), now) for part in range(2)] == [True, True]
    found.rejected(line(5000))
    assert found.accepts(line(5200), now)
    assert not found.still_accepts(line(5000), now)


def test_frames_that_come_over_a_while_need_less_room_in_the_queue() -> None:
    """Two cameras 400 ms apart. In half of that time a model of 10 ms takes 20 frames more than the queue holds."""
    found = Admission(lambda _, at_ns: at_ns * SPEED, TOLERANCE, 1, lambda: 2, queue=4)
    for _ in range(300):
        found.took([-1000.0], 10 * MS)
    for part in range(100):
        for after_ms in (0, 400):
            found.accepts(line(1000 * part + 500), (1000 * part + after_ms) * MS)
        found.took([line(1000 * part + 500)] * 2, 20 * MS)
    accepted = sum(found.accepts(line(200_000 + 20 * part), 100_000 * MS) for part in range(100))
    assert 10 <= accepted <= 13


def test_a_part_whose_verdict_would_wait_too_long_for_a_link_is_refused_at_once() -> None:
    for queued_ms, taken_on in ((60, True), (90, False)):
        found = admission(frame_ms=10)
        assert found.accepts(line(100), 0)
        found.queued("plc", queued_ms * MS)
        found.queued("broker", 1 * MS)
        assert found.accepts(line(180), 70 * MS) is taken_on, "four frames end at 110 ms, 70 ms before its line"
        found.queued("plc", 0)
        assert found.accepts(line(400), 70 * MS)
