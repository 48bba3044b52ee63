from edge_inspector.inspection.admission import Admission

SPEED = 1e-5  # counts per ns: 1 m/s at 10 counts/mm
MS = 1_000_000


def admission(*, workers: int = 1, whole_parts: bool = True, known: bool = True) -> Admission:
    return Admission(lambda at_ns: at_ns * SPEED if known else None, 50.0, workers, whole_parts=whole_parts)


def learned(found: Admission, frame_ms: int) -> Admission:
    for _ in range(200):
        found.took(1, frame_ms * MS)
    return found


def test_a_frame_with_time_left_is_worth_it() -> None:
    assert learned(admission(), 10).worth(decide_by=200.0, ahead=0, now_ns=0)


def test_a_frame_that_would_be_late_by_itself_is_not() -> None:
    assert not learned(admission(), 30).worth(decide_by=200.0, ahead=0, now_ns=0)


def test_the_queue_ahead_counts() -> None:
    found = learned(admission(), 10)
    assert found.worth(decide_by=1000.0, ahead=8, now_ns=0)
    assert not found.worth(decide_by=1000.0, ahead=10, now_ns=0)


def test_workers_share_the_queue() -> None:
    assert learned(admission(workers=2), 10).worth(decide_by=1000.0, ahead=16, now_ns=0)


def test_a_batch_counts_by_the_frame() -> None:
    found = admission()
    for _ in range(200):
        found.took(8, 80 * MS)
    assert found.worth(decide_by=200.0, ahead=0, now_ns=0)


def test_nothing_is_refused_before_the_cost_of_a_frame_is_known() -> None:
    assert admission().worth(decide_by=1.0, ahead=50, now_ns=0)


def test_nothing_is_refused_while_the_belts_position_is_unknown() -> None:
    assert learned(admission(known=False), 1000).worth(decide_by=0.0, ahead=50, now_ns=0)


def test_the_other_views_of_a_refused_part_are_refused_too() -> None:
    found = learned(admission(), 10)
    found.refuse(decide_by=5000.0, now_ns=0)
    assert not found.worth(decide_by=5040.0, ahead=0, now_ns=0)
    assert found.worth(decide_by=5060.0, ahead=0, now_ns=0)


def test_a_late_frame_refuses_its_part() -> None:
    found = learned(admission(), 10)
    assert not found.worth(decide_by=5000.0, ahead=60, now_ns=0)
    assert not found.worth(decide_by=5000.0, ahead=0, now_ns=0)


def test_a_recipe_that_accepts_uninspected_parts_still_looks_at_every_view() -> None:
    found = learned(admission(whole_parts=False), 10)
    found.refuse(decide_by=5000.0, now_ns=0)
    assert found.worth(decide_by=5000.0, ahead=0, now_ns=0)


def test_a_refused_part_is_forgotten_when_it_must_be_past_the_gate() -> None:
    found = learned(admission(), 10)
    found.refuse(decide_by=2_000_000.0, now_ns=0)
    assert found.worth(decide_by=2_000_000.0, ahead=0, now_ns=10_000 * MS + 1)


def test_one_slow_call_does_not_condemn_every_later_frame() -> None:
    found = learned(admission(whole_parts=False), 1000)
    tries = next(count for count in range(100) if found.worth(decide_by=500.0, ahead=0, now_ns=0))
    assert 0 < tries < 20


def test_one_call_teaches_a_tenth_of_what_it_took() -> None:
    found = admission(whole_parts=False)
    found.took(2, 200 * MS)  # 100 ms a frame: 10 ms are believed, 100 counts of belt
    assert found.worth(decide_by=100.1, ahead=0, now_ns=0)
    assert not found.worth(decide_by=100.0, ahead=1, now_ns=0), "who arrives at the line is late"


def test_the_cost_of_the_first_frame_is_unknown_and_costs_nothing() -> None:
    assert admission().worth(decide_by=SPEED / 2, ahead=0, now_ns=0)


def test_a_worker_takes_whole_frames() -> None:
    found = admission(workers=2, whole_parts=False)
    found.took(1, 100 * MS)
    assert found.worth(decide_by=100.1, ahead=1, now_ns=0), "the other worker is free at once"
    assert not found.worth(decide_by=200.0, ahead=2, now_ns=0)
    assert found.worth(decide_by=200.1, ahead=2, now_ns=0)


def test_a_frame_refused_with_nothing_ahead_makes_the_cost_believed_a_fifth_less() -> None:
    found = admission(whole_parts=False)
    found.took(1, 100 * MS)
    assert not found.worth(decide_by=90.0, ahead=0, now_ns=0)
    assert not found.worth(decide_by=160.0, ahead=1, now_ns=0)
    assert found.worth(decide_by=160.1, ahead=1, now_ns=0)


def test_a_refusal_holds_for_all_within_the_tolerance_and_for_ten_seconds() -> None:
    found = admission()
    found.refuse(decide_by=50_000_000.0, now_ns=5)
    assert not found.worth(decide_by=50_000_050.0, ahead=0, now_ns=0)
    assert found.worth(decide_by=50_000_050.1, ahead=0, now_ns=0)
    assert not found.worth(decide_by=50_000_000.0, ahead=0, now_ns=5 + 10_000 * MS)
    assert found.worth(decide_by=50_000_000.0, ahead=0, now_ns=6 + 10_000 * MS)
