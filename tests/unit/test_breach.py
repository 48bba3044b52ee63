import pytest

from edge_inspector.inspection.breach import Breach, breaches
from edge_inspector.inspection.recipe import ClassLimits
from edge_inspector.records import Defect


def defect(kind: str, area_mm2: float, length_mm: float) -> Defect:
    return Defect("top", kind, area_mm2=area_mm2, length_mm=length_mm, confidence=0.9, x_mm=1.0, y_mm=2.0)


SMALL, LONG, LARGE = defect("crack", 2.0, 3.0), defect("crack", 3.0, 9.0), defect("crack", 5.0, 4.0)
STAIN = defect("stain", 7.0, 2.0)


@pytest.mark.parametrize(
    ("defects", "limits", "broken"),
    [
        ([], {"crack": ClassLimits(min_area_mm2=1)}, []),
        ([SMALL], {"crack": ClassLimits(min_area_mm2=1, max_count=1)}, []),
        ([SMALL], {}, []),
        ([SMALL, LARGE], {"crack": ClassLimits(min_area_mm2=1, max_count=1)}, [Breach("count", 2, 1, LARGE)]),
        (
            [SMALL, LONG],
            {"crack": ClassLimits(min_area_mm2=1, max_count=2, max_length_mm=8.0)},
            [Breach("length", 9.0, 8.0, LONG)],
        ),
        ([LONG], {"crack": ClassLimits(min_area_mm2=1, max_count=1, max_length_mm=9.0)}, []),
    ],
    ids=["none", "as many as allowed", "a class without limits", "too many", "too long", "as long as allowed"],
)
def test_a_limit_is_broken_by_more_or_by_longer_ones(
    defects: list[Defect], limits: dict[str, ClassLimits], broken: list[Breach]
) -> None:
    assert breaches(defects, limits) == broken


def test_the_largest_defect_comes_first_and_one_class_may_break_both_limits() -> None:
    limits = {
        "crack": ClassLimits(min_area_mm2=1, max_count=1, max_length_mm=8.0),
        "stain": ClassLimits(min_area_mm2=1, max_count=0),
    }
    assert breaches([SMALL, LONG, LARGE, STAIN], limits) == [
        Breach("count", 1, 0, STAIN),
        Breach("count", 3, 1, LARGE),
        Breach("length", 9.0, 8.0, LONG),
    ]
