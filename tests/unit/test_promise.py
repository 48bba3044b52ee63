"""What limits promise: 10 000 simulated lines keep it, and too few parts promise nothing."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspector.inspection.promise import Realised, RejectPromise, at_least, at_most, interval, promised_by

LINES = 10_000


@pytest.mark.parametrize(
    ("false_rejects", "confidence", "parts"), [(0.02, 0.95, 149), (0.02, 0.95, 400), (0.05, 0.9, 93), (0.1, 0.99, 60)]
)
def test_of_ten_thousand_lines_as_many_keep_the_promise_as_it_says(
    false_rejects: float, confidence: float, parts: int
) -> None:
    allowed = RejectPromise(false_rejects, confidence).may_reject(parts)
    assert allowed is not None
    scores = np.sort(np.random.default_rng(parts).random((LINES, parts)), axis=1)
    realised = 1 - scores[:, parts - 1 - allowed]  # of parts whose scores are spread evenly
    kept = float((realised <= false_rejects).mean())
    chance = 4 * math.sqrt(confidence * (1 - confidence) / LINES)
    assert kept >= confidence - chance
    one_more = 1 - scores[:, parts - 2 - allowed]
    assert float((one_more <= false_rejects).mean()) < confidence + chance, "no more could be allowed"


def test_equal_scores_only_make_it_safer() -> None:
    promise, parts = RejectPromise(0.05, 0.95), 150
    allowed = promise.may_reject(parts)
    assert allowed is not None
    scores = np.sort(np.random.default_rng(3).geometric(0.3, (LINES, parts)), axis=1)  # regions are whole pixels
    realised = 0.7 ** scores[:, parts - 1 - allowed].astype(float)  # the share with a larger score
    assert float((realised <= promise.false_rejects).mean()) >= promise.confidence


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_the_fewest_parts_are_the_fewest(false_rejects: float, confidence: float) -> None:
    promise = RejectPromise(false_rejects, confidence)
    assert promise.may_reject(promise.fewest) is not None
    assert promise.may_reject(promise.fewest - 1) is None


@given(st.integers(1, 3000), st.floats(0.01, 0.99))
def test_what_so_many_parts_can_promise_needs_no_more_of_them(parts: int, confidence: float) -> None:
    possible = promised_by(parts, confidence)
    assert RejectPromise(min(0.999, possible * 1.001 + 1e-9), confidence).fewest <= parts
    assert RejectPromise(possible * 0.99, confidence).fewest > parts


def test_two_percent_need_149_parts() -> None:
    promise = RejectPromise(0.02, 0.95)
    assert promise.fewest == 149
    assert [promise.may_reject(parts) for parts in (0, 1, 93, 148, 149, 235, 236, 10_000)] == [
        None, None, None, None, 0, 0, 1, 176,
    ]  # fmt: skip
    assert promised_by(93, 0.95) == pytest.approx(0.0317, abs=1e-4)


@given(st.integers(1, 200), st.floats(0.001, 0.999))
def test_probabilities_add_up(of: int, rate: float) -> None:
    rising = [at_most(some, of, rate) for some in range(of + 1)]
    assert rising[0] == pytest.approx((1 - rate) ** of)
    assert rising[-1] == 1
    assert all(one <= other + 1e-12 for one, other in itertools.pairwise(rising))


def test_intervals_are_those_of_the_textbook() -> None:
    assert interval(0, 10) == pytest.approx((0, 0.3085), abs=1e-4)
    assert interval(8, 10) == pytest.approx((0.4439, 0.9748), abs=1e-4)
    assert interval(81, 81) == pytest.approx((0.9555, 1), abs=1e-4)
    assert interval(0, 0) == (0, 1)
    assert at_least(10, 10, 0.95) == pytest.approx(0.05**0.1)


def seen(inspected: int, rejected: int, called_good: int, called_bad: int) -> Realised:
    return Realised(inspected=inspected, rejected=rejected, called_good=called_good, called_bad=called_bad)


def test_what_became_of_a_promise_is_told_from_what_people_said() -> None:
    assert seen(1000, 100, 15, 5).share == pytest.approx(0.075)
    assert 0.03 < seen(1000, 100, 15, 5).least < 0.075
    assert seen(1000, 100, 0, 20).share == 0
    assert seen(1000, 0, 0, 0).share == 0
    assert math.isnan(seen(1000, 100, 0, 0).share), "nobody looked"
    assert math.isnan(seen(0, 0, 0, 0).share)
    assert seen(1000, 100, 0, 0).least == seen(0, 0, 0, 0).least == 0


def test_a_line_that_keeps_its_promise_is_hardly_ever_accused() -> None:
    rng = np.random.default_rng(5)
    accused = 0
    for _ in range(300):
        good, bad = int(rng.binomial(1960, 0.02)), int(rng.binomial(40, 0.9))
        looked_at = rng.permutation([True] * good + [False] * bad)[:15]
        line = seen(2000, good + bad, int(looked_at.sum()), int((~looked_at).sum()))
        accused += line.least > 0.02
    assert accused <= 3
