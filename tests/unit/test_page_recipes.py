"""Recipes and cameras on the page: versions, previews, two people at once, and what takes effect when."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.good_parts import plant_with_good_parts
from support.page import Page, plant_of, serving, station_files

from edge_inspector.inspection.recipe import Recipe
from edge_inspector.station.calibrating import pixel_mm2
from edge_inspector.station.edits import edited, put_in_force, waiting_version, with_changes
from edge_inspector.station.load import load_station
from edge_inspector.store.promises import kept_promise
from edge_inspector.store.users import Role

AREA = {"x_mm": 0, "y_mm": 0, "width_mm": 1, "height_mm": 1}


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with serving(plant_of(tmp_path)) as served:
        yield served


def changes(page: Page, **other: Any) -> dict[str, Any]:
    limits = page.plant.station.recipes[1].limits
    return {"classes": {name: limit.model_dump() for name, limit in limits.items()}, "regions": {}, **other}


def save(page: Page, version: int, what: dict[str, Any], comment: str = "too many rejects") -> Any:
    body = {"version": version, "comment": comment, "changes": what}
    return page.visitor(Role.ADMIN).ask("POST", "/api/recipes/1/versions", body)


def test_a_version_has_a_name_and_a_reason_and_is_in_force_after_the_next_start(page: Page, tmp_path: Path) -> None:
    what = changes(page)
    what["classes"]["defect"]["max_count"] = 3
    assert save(page, 0, what).json == {"version": 1}
    anybody = page.visitor()
    (kept,) = anybody.ask("GET", "/api/recipes/1/versions").json["versions"]
    assert (kept["user"], kept["comment"], kept["changes"]) == ("admin", "too many rejects", what)
    told = anybody.ask("GET", "/api/recipes").json["recipes"][0]
    assert (told["version"], told["newest"], told["next_start"]) == (0, 1, 0)
    admin = page.visitor(Role.ADMIN)
    assert admin.ask("POST", "/api/recipes/1/force", {"version": 1}).json == {"next_start": 1}
    assert page.plant.station.recipes[1].limits["defect"].max_count == 0, "parts on the belt are judged as before"
    after = load_station(tmp_path / "station.toml")
    assert after.recipes[1].limits["defect"].max_count == 3
    assert after.recipes[1].recipe.fingerprint == kept["hash"]
    assert after.recipes[2].limits["defect"].max_count == 0
    assert admin.ask("POST", "/api/recipes/1/force", {"version": 0}).json == {"next_start": 0}
    assert load_station(tmp_path / "station.toml").recipes[1].limits["defect"].max_count == 0


def test_the_first_version_is_compared_with_the_file(page: Page) -> None:
    assert save(page, 0, changes(page)).json == {"version": 1}
    told = page.visitor().ask("GET", "/api/recipes/1/versions").json
    first, file = told["versions"][0]["changes"], told["file"]
    assert file["classes"] == first["classes"], "nothing was changed yet"
    assert file["regions"] == {}
    settings = page.visitor().ask("GET", "/api/challenge/settings/versions").json
    assert settings["file"]["parts"] == []


def test_of_two_people_who_edit_one_recipe_nobody_overwrites_the_other(page: Page) -> None:
    assert save(page, 0, changes(page)).status == 200
    late = save(page, 0, changes(page))
    assert late.status == 409
    assert "somebody else" in late.json["error"]
    assert len(page.visitor().ask("GET", "/api/recipes/1/versions").json["versions"]) == 1
    assert save(page, 1, changes(page)).json == {"version": 2}


def test_who_edits_the_file_wins(tmp_path: Path) -> None:
    path = station_files(tmp_path)
    before = load_station(path)
    before.state_dir.mkdir(exist_ok=True)
    written = before.written[1]
    put_in_force(before.state_dir, 1, written.fingerprint, version=4, changes={"review_band": [0.1, 0.9]})
    assert load_station(path).recipe.review_band == (0.1, 0.9)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(recipe.read_text().replace('name = "', 'name = "new '))
    assert load_station(path).recipe.review_band == before.recipe.review_band
    assert waiting_version(before.state_dir, 1) == 4


@pytest.mark.parametrize(
    "content",
    ["garbage", "[]", '{"1": 7}', '{"1": {"base": "BASE", "changes": {"id": 9}}}', "[" * 100_000,
     '{"1": {"base": "BASE", "changes": {"review_band": [9, 1]}}}', '{"1": {"base": "BASE"}}'],
)  # fmt: skip
def test_damaged_edits_leave_the_file_in_force(tmp_path: Path, content: str) -> None:
    path = station_files(tmp_path)
    station = load_station(path)
    station.state_dir.mkdir(exist_ok=True)
    (station.state_dir / "recipe-edits.json").write_text(content.replace("BASE", station.recipe.fingerprint))
    assert edited(station.state_dir, station.recipe) == station.recipe
    assert load_station(path).recipe == station.recipe


def test_only_limits_and_regions_can_be_changed(tmp_path: Path) -> None:
    recipe = load_station(station_files(tmp_path)).recipe
    for wrong in (
        {"id": 2},
        {"on_not_inspected": "accept"},
        [],
        None,
        {"classes": {"defect": {"min_area_mm2": 1, "max_count": -1}}},
    ):
        with pytest.raises(ValueError, match=r"can be changed|max_count"):
            with_changes(recipe, wrong)
    assert with_changes(recipe, {"review_band": [0.2, 0.3]}) == Recipe.model_validate(
        recipe.model_dump() | {"review_band": [0.2, 0.3]}
    )


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"version": 0, "comment": "", "changes": {}}, 400),
        ({"version": -1, "comment": "x", "changes": {}}, 400),
        ({"version": 0, "comment": "x" * 301, "changes": {}}, 400),
        ({"version": 0, "comment": "x", "changes": {"classes": {"no such": {"min_area_mm2": 1}}}}, 400),
        ({"version": 0, "comment": "x", "changes": {"regions": {"cam1": AREA | {"width_mm": 9e9}}}}, 400),
        ({"version": 0, "comment": "x", "changes": {"regions": {"cam9": AREA}}}, 400),
        ({"version": 0, "comment": "x" * 70_000, "changes": {}}, 413),
    ],
)  # fmt: skip
def test_a_version_that_makes_no_sense_is_refused(page: Page, body: dict[str, Any], status: int) -> None:
    assert page.visitor(Role.ADMIN).ask("POST", "/api/recipes/1/versions", body).status == status
    assert page.visitor(Role.OPERATOR).ask("POST", "/api/recipes/1/versions", body).status == 403


def test_what_is_not_there_is_not_found(page: Page) -> None:
    admin = page.visitor(Role.ADMIN)
    assert admin.ask("GET", "/api/recipes/9/versions").status == 404
    assert admin.ask("POST", "/api/recipes/1/force", {"version": 3}).status == 404
    assert admin.ask("GET", "/api/cameras/cam9/picture").status == 404


def test_a_preview_says_which_parts_would_be_decided_otherwise(tmp_path: Path) -> None:
    from support.verdicts import placed, verdict  # noqa: PLC0415

    from edge_inspector.codes import Decision  # noqa: PLC0415
    from edge_inspector.runtime.clock import utc_of  # noqa: PLC0415
    from edge_inspector.store.results_file import results_path  # noqa: PLC0415
    from edge_inspector.store.results_writer import ResultsWriter, StoredVerdict  # noqa: PLC0415

    plant = plant_of(tmp_path)
    writer = ResultsWriter(results_path(plant.station.state_dir))
    kinds = {11: (1, Decision.ACCEPT), 12: (2, Decision.REJECT), 13: (77, Decision.ACCEPT)}
    for seq, (frame_id, kind) in kinds.items():
        part = verdict(seq, kind, views=(placed(frame_id=frame_id),), recipe_id=1)
        writer.add([StoredVerdict(part, utc_of(part.decided_ns), "", {})], [])
    writer.close()
    with serving(plant) as page:
        admin, what = page.visitor(Role.ADMIN), changes(page)
        same = admin.ask("POST", "/api/recipes/1/preview", {"changes": what}).json
        assert (same["parts"], same["judged"], same["more"], same["fewer"]) == (3, 2, 0, 0), "one has no mask any more"
        what["classes"]["defect"] |= {"max_count": 31}
        milder = admin.ask("POST", "/api/recipes/1/preview", {"changes": what}).json
        assert (milder["more"], milder["fewer"]) == (0, 1)
        assert [each["part"] for each in milder["fewer_parts"]] == [12]
        assert page.visitor(Role.OPERATOR).ask("POST", "/api/recipes/1/preview", {"changes": what}).status == 403


def test_good_parts_propose_limits_and_the_saved_version_keeps_their_promise(tmp_path: Path) -> None:
    plant = plant_with_good_parts(tmp_path)
    with serving(plant) as page:
        admin, what = page.visitor(Role.ADMIN), changes(page)
        asked = {"changes": what, "false_rejects": 0.5, "confidence": 0.8, "believe": "all"}
        found = admin.ask("POST", "/api/recipes/1/proposal", asked).json
        assert (found["good"], found["bad"], found["unknown"], found["needed"]) == (4, 0, 1, 3)
        pixel = pixel_mm2(plant.station, plant.station.recipes[1], plant.model_of(1))
        assert found["limits"]["defect"] == pytest.approx(10 * pixel, rel=1e-3)
        assert (found["refused"], found["recall_95"]) == (0, None)
        row = next(each for each in plant.results.parts(recipe=1) if each.seq == 40)
        now = datetime(2026, 11, 21, tzinfo=UTC)
        plant.results.label(row.id, "", label="defect", defect_class="", user="eva", utc=now)
        found = admin.ask("POST", "/api/recipes/1/proposal", asked).json
        assert found["limits"]["defect"] == pytest.approx(5 * pixel, rel=1e-3)
        assert (found["good"], found["bad"], found["caught"]) == (3, 1, 1)
        what["classes"]["defect"]["min_area_mm2"] = found["limits"]["defect"]
        assert save(page, 0, what).json == {"version": 1}
        assert admin.ask("POST", "/api/recipes/1/force", {"version": 1}).json == {"next_start": 1}
    after = load_station(tmp_path / "station.toml").recipe
    kept = kept_promise(plant.station.state_dir, after.fingerprint)
    assert kept is not None
    assert (kept.false_rejects, kept.confidence, kept.parts) == (0.5, 0.8, 3)
    with serving(replace(plant_of(tmp_path), station=load_station(tmp_path / "station.toml"))) as page:
        told = page.visitor().ask("GET", "/api/recipes").json["recipes"]
        assert [each["promise"] and each["promise"]["parts"] for each in told] == [3, None]


def test_too_few_good_parts_propose_nothing_and_say_how_many_are_needed(tmp_path: Path) -> None:
    with serving(plant_with_good_parts(tmp_path)) as page:
        admin = page.visitor(Role.ADMIN)
        asked = {"changes": changes(page), "false_rejects": 0.02, "confidence": 0.95, "believe": "all"}
        found = admin.ask("POST", "/api/recipes/1/proposal", asked).json
        assert (found["limits"], found["good"], found["needed"]) == (None, 4, 149)
        assert found["possible"] == pytest.approx(0.527, abs=1e-3)
        found = admin.ask("POST", "/api/recipes/1/proposal", {**asked, "believe": "marked"}).json
        assert (found["good"], found["possible"]) == (0, None)
        assert page.visitor(Role.OPERATOR).ask("POST", "/api/recipes/1/proposal", asked).status == 403
        for wrong in (
            {"false_rejects": 0},
            {"confidence": True},
            {"confidence": "1"},
            {"believe": "none"},
            {"changes": 1},
        ):
            assert admin.ask("POST", "/api/recipes/1/proposal", {**asked, **wrong}).status == 400


def test_where_no_accepted_part_is_kept_not_all_parts_can_be_believed_good(tmp_path: Path) -> None:
    plant = plant_with_good_parts(tmp_path)
    archive = plant.station.file.archive.model_copy(update={"accepted_one_in": 0})
    station = replace(plant.station, file=plant.station.file.model_copy(update={"archive": archive}))
    with serving(replace(plant, station=station)) as page:
        asked = {"changes": changes(page), "false_rejects": 0.5, "confidence": 0.8}
        admin = page.visitor(Role.ADMIN)
        assert admin.ask("POST", "/api/recipes/1/proposal", {**asked, "believe": "all"}).status == 409
        assert admin.ask("POST", "/api/recipes/1/proposal", {**asked, "believe": "marked"}).status == 200


def test_a_camera_tells_how_sharp_and_light_its_picture_is(page: Page) -> None:
    anybody = page.visitor()
    first, second = anybody.ask("GET", "/api/cameras").json["cameras"]
    assert (first["name"], first["up"], second["picture"]) == ("cam1", True, None)
    picture = first["picture"]
    assert (picture["width"], picture["height"], picture["brightness"], picture["sharpness"]) == (60, 40, 2.0, 0.0)
    assert (picture["dark"], picture["saturated"], len(picture["histogram"]), max(picture["histogram"])) == (
        1.0,
        0.0,
        64,
        1,
    )
    answer = anybody.ask("GET", "/api/cameras/cam1/picture")
    assert (answer.headers["content-type"], answer.body[:2]) == ("image/jpeg", b"\xff\xd8")


def test_versions_are_json_that_a_browser_can_show(page: Page) -> None:
    assert save(page, 0, changes(page), "Größe 批 <b>").status == 200
    (kept,) = page.visitor().ask("GET", "/api/recipes/1/versions").json["versions"]
    assert kept["comment"] == "Größe 批 <b>"
    assert json.dumps(kept)
