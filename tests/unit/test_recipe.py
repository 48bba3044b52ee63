"""The recipe file: what it may say, what it must not, and that a change of it shows."""

from pathlib import Path
from typing import Any

import pytest

from edge_inspector.errors import ConfigError
from edge_inspector.inspection.recipe import Recipe, read_recipe

GOOD = """\
id = 4
name = "tile"
model = "tile-1.1"
views = ["left", "right"]
part_length_mm = 100.0
min_pitch_mm = 120.0
position_tolerance_mm = 5.0
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def faults(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read_recipe(path)
    return [str(fault).removeprefix(str(path)) for fault in raised.value.faults]


def test_a_short_recipe_is_safe_by_default(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, GOOD))
    assert recipe.on_not_inspected == "reject"
    assert recipe.review_band == (0.4, 0.6)
    assert (recipe.classes, recipe.regions) == ({}, {})


def test_limits_and_regions_are_read(tmp_path: Path) -> None:
    more = """
[classes.crack]
min_area_mm2 = 2
[classes.pore]
min_confidence = 0.7
min_area_mm2 = 0.5
max_count = 3
max_length_mm = 4
[regions.left]
x_mm = 1
y_mm = 2
width_mm = 30
height_mm = 40
"""
    recipe = read_recipe(write(tmp_path, GOOD + more))
    assert (recipe.classes["crack"].min_confidence, recipe.classes["crack"].max_count) == (0.5, 0)
    assert recipe.classes["crack"].max_length_mm is None
    assert recipe.classes["pore"].max_count == 3
    (area,) = recipe.areas("left")
    assert area.height_mm == 40
    assert recipe.areas("right") == ()


SEVERAL = """
[[regions.left]]
points_mm = [[0, 0], [30, 0], [0, 40]]
[[regions.left]]
x_mm = 1
y_mm = 2
width_mm = 3
height_mm = 4
excluded = true
"""


def test_a_view_may_have_several_areas(tmp_path: Path) -> None:
    polygon, excluded = read_recipe(write(tmp_path, GOOD + SEVERAL)).areas("left")
    assert polygon.points_mm == ((0, 0), (30, 0), (0, 40))
    assert (polygon.excluded, excluded.excluded, excluded.box_mm) == (False, True, (1, 2, 4, 6))
    assert faults(write(tmp_path, GOOD + "[regions]\nleft = []\n")) == [
        ": regions.left: names no area: leave it out if the whole view is judged"
    ]


def test_a_recipe_of_an_older_version_keeps_its_hash() -> None:
    table = {
        "id": 4,
        "name": "tile",
        "model": "m-1",
        "views": ["left"],
        "part_length_mm": 100,
        "min_pitch_mm": 120,
        "position_tolerance_mm": 5,
        "regions": {"left": {"x_mm": 0, "y_mm": 2.5, "width_mm": 30, "height_mm": 40}},
    }
    assert Recipe.model_validate(table).fingerprint == "535d1b72"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("id = 4", "id = 0", ": id: must be a whole number from 1 to 65535 (is 0)"),
        ("id = 4", "id = 65536", ": id: must be a whole number from 1 to 65535 (is 65536)"),
        ("id = 4\n", "", ": id: is missing. Write id = ..., a whole number"),
        ('name = "tile"', 'name = ""', ": name: must be text in quotes, and not empty (is '')"),
        ("views = [", "colour = 1\nviews = [", ": colour: unknown key. Keys here: alarm, classes, features, grades,"),
        ('["left", "right"]', "[]", ": views: must be a list, and not empty"),
        ('["left", "right"]', '["left", "left"]', ": views names a camera twice"),
        ("part_length_mm = 100.0", "part_length_mm = 121", ": min_pitch_mm must not be less than part_length_mm"),
        ("part_length_mm = 100.0", "part_length_mm = -1", ": part_length_mm: must be a number above 0 (is -1)"),
        ("part_length_mm = 100.0", "part_length_mm = nan", ": part_length_mm: "),
        ("min_pitch_mm = 120.0", "min_pitch_mm = inf", ": min_pitch_mm: must be a number above 0 and finite (is inf)"),
        ("_mm = 5.0", "_mm = 60", ": position_tolerance_mm must be less than half of min_pitch_mm"),
        ("_mm = 5.0", "_mm = 5\nreview_band = [0.6, 0.4]", ": review_band must be [low, high]"),
        ("_mm = 5.0", "_mm = 5\nreview_band = [0.4, 1.4]", ": review_band.1: must be a number from 0 to 1 (is 1.4)"),
        (
            "_mm = 5.0",
            '_mm = 5\non_not_inspected = "ignore"',
            ": on_not_inspected: must be 'reject' or 'accept' (is 'ignore')",
        ),
        (
            "_mm = 5.0",
            "_mm = 5\n[classes.crack]\nmax_count = 1",
            ": classes.crack.min_area_mm2: is missing. Write min_area_mm2 = ...",
        ),
        (
            "_mm = 5.0",
            "_mm = 5\n[alarm]\nblind_share = 0.01",
            ": alarm: blind_share must not be less than ",
        ),
        ("_mm = 5.0", "_mm = 5\n[alarm]\nwindow_parts = 19", ": alarm.window_parts: must be"),
        ("_mm = 5.0", "_mm = 5\n[alarm]\nrejects_in_a_row = -1", ": alarm.rejects_in_a_row: must be"),
        ("_mm = 5.0", "_mm = 5\n[alarm]\nreject_share = 30", ": alarm.reject_share: must be"),
    ],
)
def test_what_is_wrong_is_named_with_its_key(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert GOOD.count(old) == 1
    (found,) = faults(write(tmp_path, GOOD.replace(old, new)))
    assert found.startswith(fault)


def test_all_that_is_wrong_is_named_at_once(tmp_path: Path) -> None:
    bad = GOOD.replace("id = 4", "id = 0").replace("_mm = 5.0", '_mm = "wide"\nfast = 3')
    keys = [found.split(":")[1].strip() for found in faults(write(tmp_path, bad))]
    assert keys == ["id", "position_tolerance_mm", "fast"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert faults(tmp_path / "gone.toml")[0].startswith(": cannot be read: ")
    assert faults(write(tmp_path, "id = = 4"))[0].startswith(": is not TOML: ")
    path = tmp_path / "recipe.toml"
    path.write_bytes(b'name = "\xff"')
    assert faults(path)[0].startswith(": is not TOML: ")


@pytest.mark.parametrize(
    "change",
    [
        {"id": 5},
        {"name": "Tile"},
        {"views": ["right", "left"]},
        {"review_band": (0.4, 0.61)},
        {"model_sha256": "ab" * 32},
        {"picture": {"guard": "none"}},
        {"pictures": {"left": {"max_dark": 0.5}}},
        {"pictures": {"left": {"guard": "none"}}},
    ],
)
def test_the_fingerprint_changes_with_anything_in_the_recipe_and_with_nothing_else(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    recipe = read_recipe(write(tmp_path, GOOD))
    same = read_recipe(write(tmp_path, "# a comment\n" + GOOD.replace("100.0", "100")))
    other = Recipe.model_validate(recipe.model_dump(exclude_unset=True) | change)
    assert len(recipe.fingerprint) == 8
    assert recipe.fingerprint == same.fingerprint
    assert recipe.fingerprint != other.fingerprint


def test_what_raises_an_alarm_judges_no_part(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, GOOD))
    other = read_recipe(write(tmp_path, GOOD + "[alarm]\nrejects_in_a_row = 3\nwindow_parts = 50\n"))
    assert (other.alarm.rejects_in_a_row, other.alarm.window_parts, other.alarm.blind_share) == (3, 50, 0.2)
    assert recipe.fingerprint == other.fingerprint


def test_alarm_limits_may_be_equal_and_at_their_ends(tmp_path: Path) -> None:
    text = "[alarm]\nwindow_parts = 20\nnot_inspected_share = 1\nblind_share = 1\nrejects_in_a_row = 0\n"
    assert read_recipe(write(tmp_path, GOOD + text)).alarm.window_parts == 20


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ('name = "a\\u0000b"', "{path}: name", "has a NUL character in it"),
        ('classes.x.y = [1, "\\u0000"]', "{path}: classes.x.y.1", "has a NUL character in it"),
        ('"a\\u0000" = 1', "{path}: .", "has a NUL character in it"),
        ("a = " + "[" * 5000, "{path}", "is not TOML: "),
        ("a = 1" + "0" * 5000, "{path}", "is not TOML: "),
    ],
)
def test_what_no_recipe_can_have_is_refused_with_its_place(tmp_path: Path, text: str, where: str, what: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_recipe(path)
    (fault,) = raised.value.faults
    assert fault.where == where.format(path=path)
    assert fault.what.startswith(what)


def test_limits_of_pictures_are_per_view_where_they_are_given(tmp_path: Path) -> None:
    text = GOOD + "[picture]\nmin_sharpness = 3.0\n[pictures.left]\nmax_dark = 0.5\n"
    recipe = read_recipe(write(tmp_path, text))
    assert (recipe.picture_limits("left").max_dark, recipe.picture_limits("left").min_sharpness) == (0.5, 0.0)
    assert (recipe.picture_limits("right").max_dark, recipe.picture_limits("right").min_sharpness) == (0.98, 3.0)


def test_limits_of_pictures_of_an_unknown_view(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + "[pictures.top]\n[pictures.rear]\n")
    assert faults(path) == [": pictures names cameras that are not in views: rear, top"]


def test_a_region_of_an_unknown_view(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + "[regions.lefft]\nx_mm = 0\ny_mm = 0\nwidth_mm = 9\nheight_mm = 9\n")
    assert faults(path) == [": regions names cameras that are not in views: lefft"]


def test_features_of_cameras_count_for_the_hash_as_soon_as_there_are_any(tmp_path: Path) -> None:
    plain = read_recipe(write(tmp_path, GOOD))
    bright, dark = (
        read_recipe(write(tmp_path, GOOD + f"[features.left]\nExposureTime = {us}\n")) for us in (300.0, 100.0)
    )
    assert bright.features == {"left": {"ExposureTime": 300.0}}
    assert len({plain.fingerprint, bright.fingerprint, dark.fingerprint}) == 3


def test_grades_are_letters_and_change_the_fingerprint(tmp_path: Path) -> None:
    plain = read_recipe(write(tmp_path, GOOD))
    graded = read_recipe(write(tmp_path, GOOD + '[[grades]]\nname = "A"\n[grades.classes.pore]\nmax_count = 1\n'))
    assert graded.fingerprint != plain.fingerprint
    assert graded.grades[0].classes["pore"].max_count == 1
    assert "one letter from A to Z" in faults(write(tmp_path, GOOD + '[[grades]]\nname = "first"\n'))[0]
    twice = '[[grades]]\nname = "A"\n[[grades]]\nname = "A"\n'
    assert "grades names a grade twice: A, A" in faults(write(tmp_path, GOOD + twice))[0]
