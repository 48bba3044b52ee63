"""The challenge settings on the page: saved as versions, tried on earlier challenges, in force after the next start."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.page import Page, plant_of, serving, station_files

from edge_inspector.pipeline import challenge_rules
from edge_inspector.records import ChallengeSeen, Change
from edge_inspector.runtime.clock import moment
from edge_inspector.station.edits import CHALLENGE, fingerprint_of, put_in_force
from edge_inspector.station.load import Station, load_station
from edge_inspector.store.challenges import StoredChallenge, append_challenge
from edge_inspector.store.users import Role

BASE = "/api/challenge/settings"
GOOD = {"recipe": 1, "name": "master 7", "expect": "accept", "finds": []}
BAD = {"recipe": 1, "name": "scratch 2", "expect": "reject", "finds": ["defect"]}


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with serving(plant_of(tmp_path)) as served:
        yield served


def save(page: Page, version: int, settings: Any, comment: str = "a worn part") -> Any:
    body = {"version": version, "comment": comment, "changes": settings}
    return page.visitor(Role.ADMIN).ask("POST", f"{BASE}/versions", body)


def settings(page: Page, **other: Any) -> dict[str, Any]:
    told: dict[str, Any] = page.visitor().ask("GET", BASE).json["settings"]
    return told | other


def names(station: Station) -> list[str]:
    return [part.name for part in challenge_rules(station).parts.get(1, ())]


def test_a_version_is_what_the_station_is_challenged_with_after_the_next_start(page: Page, tmp_path: Path) -> None:
    asked = settings(page, parts=[GOOD, BAD], on_failure="block", timeout_s=60)
    assert save(page, 0, asked).json == {"version": 1}
    admin, anybody = page.visitor(Role.ADMIN), page.visitor()
    assert admin.ask("POST", f"{BASE}/force", {"version": 1}).json == {"next_start": 1}
    told = anybody.ask("GET", BASE).json
    assert (told["settings"]["parts"], told["version"], told["newest"], told["next_start"]) == ([], 0, 1, 1)
    (kept,) = anybody.ask("GET", f"{BASE}/versions").json["versions"]
    assert (kept["user"], kept["comment"], kept["changes"]) == ("admin", "a worn part", asked)
    after = load_station(tmp_path / "station.toml")
    assert (names(after), challenge_rules(after).blocks) == (["master 7", "scratch 2"], True)
    assert fingerprint_of(after.file.challenge) == kept["hash"]
    assert admin.ask("POST", f"{BASE}/force", {"version": 0}).json == {"next_start": 0}
    assert names(load_station(tmp_path / "station.toml")) == []
    made = f"1 ({kept['hash']})"
    assert [change for change in page.kept() if isinstance(change, Change)] == [
        Change("page:admin", "challenge version", "challenge settings", before="0", after=made, why="a worn part"),
        Change("page:admin", "challenge in force", "challenge settings", before="0", after="1", why="a worn part"),
        Change("page:admin", "challenge in force", "challenge settings", before="1", after="0"),
    ]


def test_recipes_and_challenge_settings_have_versions_of_their_own(page: Page) -> None:
    assert save(page, 0, settings(page, every_h=0, parts=[GOOD])).json == {"version": 1}
    assert page.visitor().ask("GET", "/api/recipes").json["recipes"][0]["newest"] == 0
    assert page.visitor().ask("GET", "/api/recipes/0/versions").status == 404


def test_of_two_people_nobody_overwrites_the_other(page: Page) -> None:
    assert save(page, 0, settings(page, parts=[GOOD])).status == 200
    late = save(page, 0, settings(page, parts=[BAD]))
    assert (late.status, "somebody else" in late.json["error"]) == (409, True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([], "are a table"),
        ({"parts": [GOOD | {"recipe": 9}]}, "there is no recipe 9"),
        ({"parts": [BAD | {"finds": ["rust"]}]}, "the model does not know 'rust'"),
        ({"parts": [GOOD, GOOD]}, "has another part 'master 7'"),
        ({"parts": [GOOD], "every_h": 4}, "no part that must be rejected"),
        ({"parts": [GOOD | {"finds": ["defect"]}]}, "finds belongs to a part that must be rejected"),
        ({"parts": [GOOD | {"name": " "}]}, "readable on one line"),
        ({"parts": [GOOD | {"name": "a\nb"}]}, "readable on one line"),
        ({"parts": [GOOD | {"name": "x" * 65}]}, "at most 64"),
        ({"every_h": -1}, "every_h"),
        ({"station": "other"}, "station"),
    ],
)
def test_settings_that_make_no_sense_are_refused(page: Page, changes: Any, words: str) -> None:
    answer = save(page, 0, changes)
    assert answer.status == 400
    assert words in answer.json["error"]


@pytest.mark.parametrize("role", [None, Role.REVIEWER, Role.OPERATOR])
def test_only_an_admin_changes_them(page: Page, role: Role | None) -> None:
    for path in ("versions", "force", "preview"):
        assert page.visitor(role).ask("POST", f"{BASE}/{path}", {}).status in (401, 403)


def test_what_is_not_there_cannot_be_put_in_force(page: Page) -> None:
    assert page.visitor(Role.ADMIN).ask("POST", f"{BASE}/force", {"version": 3}).status == 404


def seen(part: dict[str, Any], decision: str, *found: str) -> ChallengeSeen:
    right = decision.lower() == part["expect"]
    return ChallengeSeen(
        name=part["name"], expect=part["expect"], decision=decision, reason="none", found=found, right=right,
        boot_id=1, seq=1, part_seq=9,
    )  # fmt: skip


def test_a_preview_says_how_earlier_challenges_would_have_ended(page: Page) -> None:
    runs = [
        (seen(GOOD, "ACCEPT"), seen(BAD, "REJECT", "defect")),
        (seen(GOOD, "ACCEPT"), seen(BAD, "REJECT", "other")),
        (seen(GOOD, "ACCEPT"),),  # the bad part never came: nobody can know
    ]
    for parts in runs:
        why = "" if len(parts) == 2 else "scratch 2 is missing"
        run = StoredChallenge(moment().utc, "ann", 1, "c0ffee", expected=2, parts=parts, why=why)
        append_challenge(page.plant.station.state_dir, run)
    admin = page.visitor(Role.ADMIN)
    body = {"recipe": 1, "changes": settings(page, parts=[GOOD, BAD])}
    assert admin.ask("POST", f"{BASE}/preview", body).json == {"runs": 3, "judged": 2, "passed": 2, "would": 1}
    body["changes"]["parts"] = [GOOD, BAD | {"finds": []}]
    assert admin.ask("POST", f"{BASE}/preview", body).json["would"] == 2


def in_force(tmp_path: Path, changes: Any) -> Path:
    path = station_files(tmp_path)
    station = load_station(path)
    station.state_dir.mkdir(exist_ok=True)
    put_in_force(station.state_dir, CHALLENGE, fingerprint_of(station.written_challenge), version=2, changes=changes)
    return path


def test_who_edits_the_station_file_wins(tmp_path: Path) -> None:
    path = in_force(tmp_path, {"parts": [GOOD]})
    assert names(load_station(path)) == ["master 7"]
    path.write_text(path.read_text().replace("[web]\n", "[challenge]\ntimeout_s = 60\n[web]\n"))
    assert (names(load_station(path)), load_station(path).file.challenge.timeout_s) == ([], 60)


@pytest.mark.parametrize("changes", [{"parts": [GOOD | {"recipe": 9}]}, {"no such": 1}, [], "x"])
def test_a_version_that_no_longer_fits_leaves_the_station_file_in_force(tmp_path: Path, changes: Any) -> None:
    assert names(load_station(in_force(tmp_path, changes))) == []
