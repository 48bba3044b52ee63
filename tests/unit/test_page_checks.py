"""The Checks page's answers: challenges, the record's switch, and the audit trail for admins."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.page import plant_of, serving, station_files

from edge_inspector.records import ChallengeRun, ChallengeSeen, Change
from edge_inspector.shifts.files import shifts_path
from edge_inspector.shifts.switch import RecordSwitch
from edge_inspector.store.audit import append, audit_path
from edge_inspector.store.challenges import append_challenge, stored
from edge_inspector.store.users import Role

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
PARTS = """
[challenge]
on_failure = "block"
[[challenge.parts]]
recipe = 1
name = "=master"
expect = "accept"
[[challenge.parts]]
recipe = 1
name = "bad"
expect = "reject"
finds = ["defect"]
[record]
budget_mb = 10
[web]
"""
SEEN = ChallengeSeen(
    name="=master",
    expect="accept",
    decision="ACCEPT",
    reason="none",
    found=(),
    right=True,
    boot_id=1,
    seq=1,
    part_seq=9,
)
RUN = ChallengeRun(
    who="page:ann", recipe_id=1, criteria="c0ffee", expected=2, begun_ns=0, ended_ns=time.monotonic_ns(), parts=(SEEN,),
    why="bad is missing",
)  # fmt: skip


@pytest.fixture
def with_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def write(folder: Path, web: str = "") -> Path:
        path = station_files(folder, web)
        path.write_text(path.read_text().replace("[web]\n", PARTS))
        return path

    monkeypatch.setattr("support.page.station_files", write)
    return tmp_path


def test_the_page_says_which_parts_must_come_and_how_it_was(with_parts: Path) -> None:
    plant = plant_of(with_parts)
    append_challenge(plant.station.state_dir, stored(RUN, NOW))
    with serving(plant) as page:
        told = page.visitor().ask("GET", "/api/challenge").json
        assert [(part["name"], part["expect"], part["finds"]) for part in told["parts"]] == [
            ("=master", "accept", []),
            ("bad", "reject", ["defect"]),
        ]
        assert (told["blocks"], told["running"], told["last"], told["due"]) == (True, None, None, None)
        (before,) = page.visitor().ask("GET", "/api/challenges").json["challenges"]
        assert (before["passed"], before["why"], before["parts"][0]["part"]) == (False, "bad is missing", 9)
        table = page.visitor().ask("GET", "/api/challenges.csv").body.decode()
        assert "page:ann,1,c0ffee,failed,bad is missing,'=master,accept" in table


def test_a_challenge_is_begun_by_an_operator(tmp_path: Path) -> None:
    with serving(plant_of(tmp_path)) as page:
        body = {"name": "challenge"}
        assert page.visitor(Role.REVIEWER).ask("POST", "/api/command", body).status == 403
        answer = page.visitor(Role.OPERATOR).ask("POST", "/api/command", body)
        assert (answer.status, answer.json["error"]) == (409, "this station has no challenge parts")


def test_recording_is_switched_by_an_admin_within_the_budget(with_parts: Path) -> None:
    plant = plant_of(with_parts)
    shift = shifts_path(plant.station.state_dir) / "a" / "pictures"
    shift.mkdir(parents=True)
    (shift / "x.png").write_bytes(bytes(5000))
    with serving(plant) as page:
        visitor = page.visitor(Role.ADMIN)
        assert page.visitor(Role.OPERATOR).ask("POST", "/api/record", {"on": True}).status == 403
        assert visitor.ask("POST", "/api/record", {"on": 1}).status == 400
        before = visitor.ask("GET", "/api/record").json
        assert before == {
            "recording": False, "why": "", "next_start": False, "budget_mb": 10, "shifts": 1, "size": 5000,
        }  # fmt: skip
        assert visitor.ask("POST", "/api/record", {"on": True}).json == {"next_start": True}
        assert visitor.ask("GET", "/api/record").json["next_start"] is True
        (change,) = page.kept()
        assert change == Change("page:admin", "record", before="off", after="on")


def test_without_a_budget_nothing_can_be_recorded(tmp_path: Path) -> None:
    with serving(plant_of(tmp_path)) as page:
        answer = page.visitor(Role.ADMIN).ask("POST", "/api/record", {"on": True})
        assert answer.status == 409
        assert "set record.budget_mb" in answer.json["error"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"record": 1}', "[" * 100_000])
def test_a_damaged_switch_is_as_the_station_file_says(tmp_path: Path, content: str) -> None:
    (tmp_path / "record.json").write_text(content)
    assert RecordSwitch(tmp_path, budget_mb=1, at_start=True).wanted
    assert not RecordSwitch(tmp_path, budget_mb=1, at_start=False).wanted
    assert not RecordSwitch(tmp_path, budget_mb=0, at_start=True).wanted


def test_switching_off_ends_the_record_at_once_and_for_the_next_starts(tmp_path: Path) -> None:
    class Tape:
        why = ""

    tape = Tape()
    switch = RecordSwitch(tmp_path, budget_mb=1, at_start=True, tape=tape)  # type: ignore[arg-type]
    assert switch.look().recording
    switch.turn("ann", on=False)
    assert tape.why == "ann switched recording off"
    assert not switch.look().recording
    assert not RecordSwitch(tmp_path, budget_mb=1, at_start=True).wanted


def test_the_audit_trail_is_for_admins_filtered_checked_and_exported(tmp_path: Path) -> None:
    plant = plant_of(tmp_path)
    state_dir = plant.station.state_dir
    append(state_dir, Change("page:ann", "recipe version", "recipe 1", after="2", why="=cmd|' /C calc'!A1"), NOW)
    append(state_dir, Change("mqtt", "reset"), NOW.replace(hour=13))
    with serving(plant) as page:
        for role in (None, Role.OPERATOR):
            for path in ("/api/audit", "/api/audit/verify", "/api/audit.csv"):
                assert page.visitor(role).ask("GET", path).status in (401, 403)
        visitor = page.visitor(Role.ADMIN)
        lines = visitor.ask("GET", "/api/audit").json["lines"]
        assert [(line["seq"], line["who"], line["what"]) for line in lines] == [
            (2, "mqtt", "reset"),
            (1, "page:ann", "recipe version"),
        ]
        assert [line["seq"] for line in visitor.ask("GET", "/api/audit?text=ANN").json["lines"]] == [1]
        until = visitor.ask("GET", "/api/audit?until=2026-11-30T12:30:00Z").json["lines"]
        assert [line["seq"] for line in until] == [1]
        assert visitor.ask("GET", "/api/audit?since=noon").status == 400
        told = visitor.ask("GET", "/api/audit/verify").json
        assert (told["lines"], told["faults"], told["fault_count"]) == (2, [], 0)
        assert ",'=cmd|' /C calc'!A1," in visitor.ask("GET", "/api/audit.csv").body.decode()
        path = audit_path(state_dir)
        path.write_bytes(path.read_bytes().replace(b"page:ann", b"page:eve"))
        told = visitor.ask("GET", "/api/audit/verify").json
        assert told["fault_count"] == 1
        assert "does not follow" in told["faults"][0]
