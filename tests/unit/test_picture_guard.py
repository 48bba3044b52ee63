"""The picture guard: taught from good parts, it refuses what shows none, and good parts pass."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.archive_bench import Bench
from support.verdicts import placed, verdict

from edge_inspector.cli import main
from edge_inspector.codes import Decision, ErrorCode
from edge_inspector.errors import ConfigError
from edge_inspector.inspection.picture_guard import (
    CameraGuard,
    PictureGuard,
    blind_to,
    guard_path,
    learn,
    read_guard,
    signature,
)
from edge_inspector.inspection.recipe import ClassLimits, Criteria, PictureLimits, Recipe
from edge_inspector.records import Frame, Image
from edge_inspector.runtime.clock import utc_of
from edge_inspector.store import audit
from edge_inspector.store.guards import write_guard
from edge_inspector.watches.pictures import TAUGHT_PARTS

chance = np.random.default_rng(3)


def part(*, colour: bool = False) -> Image:
    """A bright part with a little texture on a dark belt, never twice the same."""
    picture = chance.normal(30, 3, (120, 160))
    across, along = chance.integers(-3, 4, 2)
    picture[20 + across : 100 + across, 30 + along : 130 + along] += chance.uniform(85, 95) + chance.normal(
        0, 6, (80, 100)
    )
    grey = np.clip(picture, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., np.newaxis], 3, axis=2) if colour else grey


def belt() -> Image:
    return np.clip(chance.normal(30, 3, (120, 160)), 0, 255).astype(np.uint8)


def plain(level: int) -> Image:
    return np.full((120, 160), level, np.uint8)


def noise() -> Image:
    return chance.integers(0, 256, (120, 160)).astype(np.uint8)


def lens_cap_ajar() -> Image:
    return np.tile(np.linspace(0, 90, 160), (120, 1)).astype(np.uint8)


def half_a_part() -> Image:
    picture = part()
    picture[:, 80:] = belt()[:, 80:]
    return picture


def out_of_focus() -> Image:
    return np.asarray(cv2.GaussianBlur(part(), (0, 0), 6), np.uint8)


@pytest.fixture(scope="module")
def taught() -> CameraGuard:
    return learn([signature(part()) for _ in range(40)])


@pytest.mark.parametrize(
    "empty",
    [belt, lambda: plain(40), lambda: plain(75), lambda: plain(120), lambda: plain(200), noise, lens_cap_ajar,
     half_a_part, out_of_focus],
    ids=["belt", "grey 40", "grey as bright as a part", "grey 120", "grey 200", "noise", "cap ajar", "half", "blurred"],
)  # fmt: skip
def test_what_shows_no_whole_part_is_refused(taught: CameraGuard, empty: Callable[[], Image]) -> None:
    assert taught.objection(signature(empty())).startswith("its ")


def test_good_parts_pass(taught: CameraGuard) -> None:
    assert [objection for _ in range(200) if (objection := taught.objection(signature(part())))] == []


def test_colour_is_seen_as_grey() -> None:
    guard = learn([signature(part(colour=True)) for _ in range(20)])
    assert guard.objection(signature(part(colour=True))) == ""
    assert guard.objection(signature(np.full((120, 160, 3), 75, np.uint8)))


def test_the_objection_names_what_is_furthest_off_and_how_far(taught: CameraGuard) -> None:
    dim = np.asarray(part() // 4, np.uint8)
    assert taught.objection(signature(dim)).startswith("its brightness is ")
    assert taught.objection(signature(dim)).endswith(" times as far away as it may be for a good part")


def test_a_shape_that_is_elsewhere_is_named(taught: CameraGuard) -> None:
    assert taught.objection(signature(np.ascontiguousarray(np.roll(part(), 60, axis=1)))).startswith("its shape is ")


def test_a_signature_is_the_same_in_every_version_since_what_was_taught_is_kept() -> None:
    picture = np.add.outer(np.arange(150) // 2, np.arange(200) // 3).astype(np.uint8)
    picture[40:90, 60:140] = 180
    numbers = signature(picture)
    assert numbers[:4] == pytest.approx([4.456554, 2.558351, 4.018136, -0.032007], abs=1e-5)
    assert numbers[4:12] == pytest.approx(
        [-0.9076, -0.8093, -0.7124, -0.6141, -0.5158, -0.419, -0.3207, -0.2224], abs=1e-4
    )
    assert numbers[4:].std() == pytest.approx(0.493767, abs=1e-5)
    assert signature(np.zeros((300, 40), np.uint8))[:4] == pytest.approx([0, -2.3026, -0.6931, 0], abs=1e-4)


def test_what_is_learned_of_the_same_parts_is_the_same_in_every_version() -> None:
    base, wave = np.linspace(0, 1, 68), np.cos(np.arange(68))
    alike = learn([base + 0.01 * step * wave for step in range(20)])
    assert alike.parts == 20
    assert alike.middle[:3] == pytest.approx([0.095, 0.06625, -0.00968], abs=1e-5)
    assert alike.spread[:6] == pytest.approx([0.07413, 0.15, 0.15, 0.1, 0.04845, 0.03], abs=1e-5)
    assert alike.reach == [4.0, 4.0, 4.0, 4.0, 2.2414]
    apart = learn([base + 0.2 * step * wave for step in range(20)])
    assert apart.spread[:6] == pytest.approx([1.4826, 0.80105, 0.61698, 1.46776, 0.96909, 0.42056], abs=1e-5)
    assert apart.reach == [4.0, 4.0, 4.0, 4.0, 2.3993]


@pytest.mark.parametrize(("figure", "name"), [(0, "brightness"), (1, "sharpness"), (2, "contrast"), (3, "grain")])
def test_a_figure_may_be_as_far_off_as_its_reach_and_no_further(figure: int, name: str) -> None:
    guard = CameraGuard(parts=20, middle=[0.0] * 68, spread=[0.5] * 68, reach=[2.0] * 5)
    seen = np.zeros(68)
    seen[figure] = 1.0
    assert guard.objection(seen) == ""
    seen[figure] = -1.5
    assert guard.objection(seen) == f"its {name} is 1.5 times as far away as it may be for a good part"


def test_a_shape_s_distance_is_the_root_of_the_mean_square() -> None:
    guard = CameraGuard(parts=20, middle=[0.0] * 68, spread=[0.5] * 68, reach=[2.0] * 4 + [1.0])
    seen = np.zeros(68)
    seen[4:36] = 1.0
    assert guard.objection(seen) == "its shape is 1.4 times as far away as it may be for a good part"


def test_tiny_pictures_have_a_signature() -> None:
    assert np.isfinite(signature(np.zeros((1, 1), np.uint8))).all()


def test_a_few_parts_are_not_enough() -> None:
    with pytest.raises(ValueError, match="19 pictures of good parts: at least 20 are needed"):
        learn([signature(part()) for _ in range(19)])


def test_a_guard_that_was_taught_from_empty_pictures_says_what_it_is_blind_to(taught: CameraGuard) -> None:
    assert blind_to(taught) == []


@pytest.mark.parametrize(
    ("empty", "named"),
    [
        (lambda: np.full((256, 256), 90), "plain grey"),
        (lambda: np.full((256, 256), 0), "plain grey"),
        (lambda: np.full((256, 256), 255), "plain grey"),
        (lambda: chance.normal(90, 3, (256, 256)), "grey with a sensor's noise"),
        (lambda: chance.integers(0, 256, (256, 256)), "nothing but noise"),
    ],
)
def test_a_guard_cannot_refuse_what_it_was_taught(empty: Callable[[], Any], named: str) -> None:
    pictures = [np.clip(empty(), 0, 255).astype(np.uint8) for _ in range(20)]
    assert blind_to(learn([signature(picture) for picture in pictures])) == [named]


def guard_of(camera: str, guard: CameraGuard, recipe_id: int = 3) -> PictureGuard:
    return PictureGuard(recipe_id=recipe_id, taught_utc=utc_of(0), cameras={camera: guard})


def test_a_guard_comes_back_from_the_disk_as_it_went(tmp_path: Path, taught: CameraGuard) -> None:
    path = guard_path(tmp_path, 3)
    assert path.name == "guard-3.json"
    write_guard(path, guard_of("cam1", taught))
    assert read_guard(path).cameras == {"cam1": taught}


@pytest.mark.parametrize(
    "changes",
    [
        {"cameras": {}},
        {"recipe_id": 0},
        {"schema_version": 2},
        {"more": 1},
    ],
)
def test_a_file_that_is_no_guard_is_refused(tmp_path: Path, taught: CameraGuard, changes: dict[str, Any]) -> None:
    path = guard_path(tmp_path, 3)
    path.write_text(json.dumps(json.loads(guard_of("cam1", taught).model_dump_json()) | changes))
    with pytest.raises(ConfigError, match=r"guard-3\.json"):
        read_guard(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("middle", [0.0] * 67), ("spread", [0.0] * 68), ("reach", [1.0] * 4), ("reach", [0.0] * 5), ("parts", 3)],
)
def test_numbers_that_cannot_be_are_refused(tmp_path: Path, taught: CameraGuard, key: str, value: object) -> None:
    path = guard_path(tmp_path, 3)
    body = json.loads(guard_of("cam1", taught).model_dump_json())
    body["cameras"]["cam1"][key] = value
    path.write_text(json.dumps(body))
    with pytest.raises(ConfigError, match=key):
        read_guard(path)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    path = tmp_path / "guard-1.json"
    with pytest.raises(ConfigError, match="cannot be read") as refused:
        read_guard(path)
    assert [fault.where for fault in refused.value.faults] == [str(path)]


RECIPE = Recipe(id=3, name="x", model="m", views=["cam1"], part_length_mm=60, min_pitch_mm=120, position_tolerance_mm=5)


def criteria(picture: PictureLimits | None = None) -> dict[int, Criteria]:
    recipe = RECIPE if picture is None else RECIPE.model_copy(update={"picture": picture})
    return {3: Criteria(recipe, {"crack": ClassLimits(min_area_mm2=1.0)})}


def accept(bench: Bench, number: int, picture: Image, decision: Decision = Decision.ACCEPT) -> None:
    bench.album.put(Frame("cam1", number, 2_000_000_000, 0, received_ns=2_000_000_000, image=picture), None)
    bench.guards.add(verdict(number, decision, views=(placed("cam1", number),)))


def unguarded(bench: Bench) -> list[str]:
    return [each.why for each in bench.conditions.reasons() if each.code is ErrorCode.PICTURES_UNGUARDED]


def test_an_untaught_recipe_is_told_until_it_is_taught_from_accepted_parts(tmp_path: Path) -> None:
    bench = Bench(tmp_path, criteria())
    bench.guards.look()
    assert unguarded(bench) == ["nothing guards cam1 against a picture without a part. Run `edge-inspector guard`"]
    accept(bench, 1, part())  # nobody has asked to be taught from it
    bench.guards.teach(3)
    assert bench.guards.teaching(3).teaching
    bench.guards.look()
    for number in range(TAUGHT_PARTS - 1):
        accept(bench, number, part())
    accept(bench, 100, plain(120), Decision.REJECT)
    bench.guards.look()
    assert bench.guards.teaching(3).parts == TAUGHT_PARTS - 1
    assert unguarded(bench) == [
        f"the picture guard is being taught: {TAUGHT_PARTS - 1} of {TAUGHT_PARTS} accepted parts"
    ]
    accept(bench, 101, part())
    bench.guards.look()
    assert unguarded(bench) == []
    found = bench.guards.of(3, "cam1")
    assert found is not None
    assert found.parts == TAUGHT_PARTS
    assert (bench.guards.teaching(3).taught, bench.guards.teaching(3).teaching) == (True, False)
    assert read_guard(guard_path(tmp_path, 3)).cameras == {"cam1": found}


def test_teaching_anew_ends_the_guard_of_before(tmp_path: Path, taught: CameraGuard) -> None:
    write_guard(guard_path(tmp_path, 3), guard_of("cam1", taught))
    bench = Bench(tmp_path, criteria())
    bench.guards.look()
    assert bench.guards.of(3, "cam1") == taught
    bench.guards.teach(3)
    bench.guards.look()
    assert bench.guards.of(3, "cam1") is None, "it would refuse the pictures that it is to learn"


def test_what_another_program_teaches_is_taken_up(tmp_path: Path, taught: CameraGuard) -> None:
    bench = Bench(tmp_path, criteria())
    bench.guards.look()
    write_guard(guard_path(tmp_path, 3), guard_of("cam1", taught))
    bench.guards.look()
    assert bench.guards.of(3, "cam1") == taught
    assert bench.guards.of(4, "cam1") is None


def test_a_damaged_file_guards_nothing_and_is_said(
    tmp_path: Path, taught: CameraGuard, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(tmp_path, criteria())
    write_guard(guard_path(tmp_path, 3), guard_of("cam1", taught))
    bench.guards.look()
    guard_path(tmp_path, 3).write_text("{")
    bench.guards.look()
    assert bench.guards.of(3, "cam1") is None
    assert "Teach it again with edge-inspector guard" in caplog.text
    assert unguarded(bench)


def test_a_guard_that_learned_empty_pictures_is_told_until_it_is_taught_again(
    tmp_path: Path, taught: CameraGuard
) -> None:
    bench = Bench(tmp_path, criteria())
    bench.guards.look()
    bench.guards.teach(3)
    bench.guards.look()
    for number in range(TAUGHT_PARTS):
        accept(bench, number, np.full((256, 256), 90, np.uint8))
    bench.guards.look()
    assert unguarded(bench) == [
        "the picture guard of cam1 cannot tell these from a part: plain grey. Teach it again with good parts"
    ]
    write_guard(guard_path(tmp_path, 3), guard_of("cam1", taught))
    bench.guards.look()
    assert unguarded(bench) == []


def test_who_says_that_it_needs_no_guard_is_not_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path, criteria(PictureLimits(guard="none")))
    bench.guards.look()
    assert unguarded(bench) == []
    assert bench.guards.teaching(3).taught


def station(folder: Path) -> Path:
    text = (Path(__file__).parents[2] / "deploy" / "station.toml").read_text()
    text = text.replace('state_dir = "/var/lib/edge-inspector"', 'state_dir = "state"')
    (folder / "station.toml").write_text(text.replace('name = "top"', 'name = "cam1"'))
    return folder / "station.toml"


def test_a_folder_of_good_pictures_teaches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "good"
    folder.mkdir()
    rows = ["image,class"]
    for number in range(25):
        cv2.imwrite(str(folder / f"{number}.png"), part())
        rows.append(f"{number}.png,{'good' if number < 22 else 'crack'}")
    (folder / "index.csv").write_text("\n".join(rows))
    path = station(tmp_path)
    given = ["guard", str(path), "--recipe", "3", "--pictures", str(folder)]
    assert main([*given, "--camera", "cam1"]) == 0
    assert "taught from 22 pictures" in capsys.readouterr().out
    assert read_guard(guard_path(tmp_path / "state", 3)).cameras["cam1"].parts == 22
    (change,) = (entry.change for entry in audit.read(tmp_path / "state"))
    assert (change.what, change.subject, change.before) == ("picture guard", "recipe 3", "none")
    assert change.after == "cam1: 22 pictures"


def test_what_cannot_teach_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "good"
    folder.mkdir()
    cv2.imwrite(str(folder / "0.png"), part())
    path = station(tmp_path)
    given = ["guard", str(path), "--recipe", "3", "--pictures", str(folder)]
    assert main([*given, "--camera", "nobody"]) == 2
    assert "name the camera of these pictures" in capsys.readouterr().err
    assert main([*given, "--camera", "cam1"]) == 1
    assert "1 pictures of good parts: at least 20 are needed" in capsys.readouterr().err
    (folder / "1.png").write_text("no picture")
    assert main([*given, "--camera", "cam1"]) == 1
    assert "1.png: is missing or no picture" in capsys.readouterr().err


def test_the_pictures_kept_of_accepted_parts_teach(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = station(tmp_path)
    bench = Bench(tmp_path / "state", accepted_one_in=1, pictures_per_s=1000.0)
    bench.archive.start()
    for number in range(1, 24):
        bench.album.put(Frame("cam1", number, 2_000_000_000, 0, received_ns=2_000_000_000, image=part()), None)
        bench.inbox.put(verdict(number, views=(placed("cam1", number),)))
        bench.archive.step()
    bench.archive.stop(failed=False)
    assert main(["guard", str(path), "--recipe", "3"]) == 0
    assert "recipe 3, cam1: taught from 23 pictures" in capsys.readouterr().out
    assert main(["guard", str(path), "--recipe", "4"]) == 1
    assert "press Teach on the page's Health view" in capsys.readouterr().err
