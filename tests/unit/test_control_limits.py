import pytest

from edge_inspector.inspection.control_limits import ControlLimits, control_limits


def test_without_inspected_parts_there_are_no_limits() -> None:
    assert control_limits([]) == []
    assert control_limits([(0, 0), (0, 0)]) == [None, None]
    assert control_limits([(0, 0), (1, 10)])[0] is None


def test_limits_are_three_sigma_around_the_mean_of_all_and_narrower_for_more_parts() -> None:
    few, many = control_limits([(2, 16), (23, 234)])
    assert few is not None
    assert many is not None
    assert few.centre == many.centre == pytest.approx(0.1)
    assert (few.low, few.high) == (0.0, pytest.approx(0.1 + 3 * 0.3 / 4))
    assert (many.low, many.high) == pytest.approx((0.1 - 0.9 / 234**0.5, 0.1 + 0.9 / 234**0.5))


def test_limits_stay_between_none_and_all() -> None:
    assert control_limits([(0, 5)]) == [ControlLimits(0.0, 0.0, 0.0)]
    (most,) = control_limits([(9, 10)])
    assert most is not None
    assert most.high == 1.0
