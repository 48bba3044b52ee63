"""TeachingJob on the page: who may, what is refused, a job that outlives the page, and who accepts the model."""

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.page import Page, plant_of, serving
from support.verdicts import verdict

from edge_inspector.codes import Decision, Reason
from edge_inspector.store.teaching import TeachingJob, begun_of, teaching_dir, write_teaching
from edge_inspector.store.users import Role
from edge_inspector.store.whole_file import replace_file
from edge_inspector.web import teach

ORDER = {"name": "mine", "version": "1.0", "method": "good", "minutes": 5}


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    monkeypatch.setattr(teach, "_missing", lambda _: [])
    monkeypatch.setattr(teach, "busy", lambda _: "")
    plant = plant_of(tmp_path)
    models = tmp_path / "models"
    models.mkdir()
    with serving(replace(plant, station=replace(plant.station, models_dir=models))) as served:
        yield served


def running(page: Page, **other: Any) -> Path:
    folder = teaching_dir(page.plant.station.state_dir)
    job = TeachingJob(name="mine", method="good", pid=os.getpid(), begun=begun_of(os.getpid()), share=0.5, left_s=7.0)
    write_teaching(folder, replace(job, **other))
    return folder


def test_only_an_admin_teaches(page: Page) -> None:
    for role in (None, Role.VIEWER, Role.REVIEWER, Role.OPERATOR):
        for what in ("start", "cancel", "accept"):
            assert page.visitor(role).ask("POST", f"/api/teach/{what}", ORDER).status in (401, 403)


@pytest.mark.parametrize(
    "wrong",
    [{"name": "../x"}, {"name": ""}, {"version": "a/b"}, {"version": "-x"}, {"method": "deep"}, {"minutes": 0},
     {"minutes": "5"}, {"minutes": True}, {"minutes": 1e9}, {"name": 5}],
)  # fmt: skip
def test_an_order_that_makes_no_sense_is_refused(page: Page, wrong: dict[str, Any]) -> None:
    assert page.visitor(Role.ADMIN).ask("POST", "/api/teach/start", ORDER | wrong).status == 400


def test_a_job_is_a_process_of_its_own_and_its_end_is_told(
    page: Page, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "python").write_text(
        f"#!/bin/sh\necho \"$@\"\nexec {sys.executable} -c 'import time; time.sleep(60)'\n"
    )
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(teach.sys, "executable", str(tmp_path / "python"))
    admin = page.visitor(Role.ADMIN)
    assert admin.ask("POST", "/api/teach/start", ORDER).status == 200
    log = page.plant.station.state_dir / "teaching.log"
    until = time.monotonic() + 10
    while not (words := log.read_text().split()):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert words[:4] == ["-m", "edge_inspector", "model", "teach"]
    assert words[5:] == ["--name", "mine", "--version", "1.0", "--method", "good", "--minutes", "5"]
    assert admin.ask("GET", "/api/teach").json["starting"]
    assert admin.ask("POST", "/api/teach/start", ORDER).status == 409
    (started,) = [
        pid
        for each in Path("/proc").iterdir()
        if (pid := int(each.name) if each.name.isdigit() else 0) and _is_child(pid)
    ]
    folder = running(page, pid=started, begun=begun_of(started))
    told = admin.ask("GET", "/api/teach").json
    assert (told["job"]["share"], told["job"]["left_s"], told["job"]["ended"]) == (0.5, 7.0, "")
    assert admin.ask("POST", "/api/teach/cancel", {}).status == 200
    assert admin.ask("GET", "/api/teach").json["job"]["ended"] == "cancelled"
    assert folder.exists()
    assert [each.what for each in page.kept()] == ["teach", "teach_cancel"]


def _is_child(pid: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[1]) == os.getpid() and b"time.sleep(60)" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, IndexError, ValueError):
        return False


def test_what_would_harm_the_line_or_cannot_work_is_refused(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = page.visitor(Role.ADMIN)
    with monkeypatch.context() as changed:
        changed.setattr(teach, "_missing", lambda _: ["torch"])
        answer = admin.ask("POST", "/api/teach/start", ORDER)
        assert (answer.status, "pip install" in answer.json["error"]) == (409, True)
    with monkeypatch.context() as changed:
        changed.setattr(teach, "busy", lambda _: "a part was late")
        answer = admin.ask("POST", "/api/teach/start", ORDER)
        assert (answer.status, "needs the cores" in answer.json["error"]) == (409, True)
    (page.plant.station.models_dir / "mine-1.0").mkdir()
    assert "another version" in admin.ask("POST", "/api/teach/start", ORDER).json["error"]
    running(page)
    assert admin.ask("POST", "/api/teach/start", ORDER | {"version": "2.0"}).status == 409


def test_a_job_that_a_restart_ended_is_told_as_interrupted(page: Page) -> None:
    running(page, begun=1)
    assert page.visitor().ask("GET", "/api/teach").json["job"]["ended"] == "interrupted"
    assert page.visitor(Role.ADMIN).ask("POST", "/api/teach/cancel", {}).status == 409


def test_a_model_is_installed_only_when_a_person_accepts_it(page: Page) -> None:
    admin, models = page.visitor(Role.ADMIN), page.plant.station.models_dir
    assert admin.ask("POST", "/api/teach/accept", {}).status == 409
    folder = running(page, ended="done")
    (folder / "mine-1.0").mkdir()
    for name in ("manifest.toml", "model.fp32.onnx"):
        (folder / "mine-1.0" / name).write_text(name)
    replace_file(folder / "report.json", '{"model": "mine-1.0"}')
    replace_file(folder / "worst-0.jpg", b"a picture")
    assert admin.ask("GET", "/api/teach").json["report"] == {"model": "mine-1.0"}
    assert admin.ask("GET", "/api/teach/worst/0").body == b"a picture"
    assert admin.ask("GET", "/api/teach/worst/1").status == 404
    assert not list(models.iterdir())
    assert admin.ask("POST", "/api/teach/accept", {}).json["model"] == "mine-1.0"
    assert {each.name for each in (models / "mine-1.0").iterdir()} == {"manifest.toml", "model.fp32.onnx"}
    assert admin.ask("POST", "/api/teach/accept", {}).status == 409


def test_a_models_folder_that_cannot_be_written_is_told_with_what_to_type(page: Page) -> None:
    folder, models = running(page, ended="done"), page.plant.station.models_dir
    (folder / "mine-1.0").mkdir()
    replace_file(folder / "report.json", '{"model": "mine-1.0"}')
    models.rmdir()
    answer = page.visitor(Role.ADMIN).ask("POST", "/api/teach/accept", {})
    assert (answer.status, "cp -r" in answer.json["error"]) == (503, True)


def test_a_copy_that_a_full_disk_ended_leaves_no_half_of_a_model(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, models = running(page, ended="done"), page.plant.station.models_dir
    (folder / "mine-1.0").mkdir()
    (folder / "mine-1.0" / "manifest.toml").write_text("x")
    replace_file(folder / "report.json", '{"model": "mine-1.0"}')
    (models / ".mine-1.0.new").mkdir()  # what a power cut left
    admin = page.visitor(Role.ADMIN)

    def full(*_args: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as failing:
        failing.setattr(teach.shutil, "copyfile", full)
        assert "No space left" in admin.ask("POST", "/api/teach/accept", {}).json["error"]
    assert list(models.iterdir()) == []
    assert admin.ask("POST", "/api/teach/accept", {}).status == 200
    assert [each.name for each in models.iterdir()] == ["mine-1.0"]


def test_the_line_needs_the_cores_when_a_part_was_late_or_little_time_was_left() -> None:
    plain = verdict(1)
    span = plain.due_ns - plain.part.announced_ns
    assert teach.busy([replace(plain, decided_ns=plain.due_ns - span // 2)]) == ""
    assert "only 10 %" in teach.busy([replace(plain, decided_ns=plain.due_ns - span // 10)])
    late = replace(plain, decision=Decision.NOT_INSPECTED, reason=Reason.LATE)
    assert teach.busy([late]) == "a part was late"
    assert teach.busy([replace(late, reason=Reason.INFERENCE_FAILED)]) == "", "a station without a model has no limits"
